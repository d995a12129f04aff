"""`make bench`: Squint beside its rivals, in turns, on this machine, now.

Rivals: OpenCV (tests/reference/features_reference.py --time) for the features, ONNX Runtime's Python binding for the networks. Both sides
are CPU time of one thread; each ratio is Squint's median over the rival's, taken round by round, and the middle of the rounds is
quoted with its spread. Prints what `squint bench --json` prints, plus `opencv_ratio` and `onnxruntime_ratio` (the middle of all
networks, each in `onnxruntime_ratio_engines`).

    python benches/compare.py --squint target/release/squint [--rounds 5] [--json]
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(*command: object) -> dict:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def spread(ratios: list[float]) -> dict:
    return {"median": round(statistics.median(ratios), 4), "min": round(min(ratios), 4), "max": round(max(ratios), 4), "rounds": len(ratios)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--squint", default="target/release/squint")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()

    bench = run(given.squint, "bench", "--json")
    singles = [engine["id"] for engine in bench["engines"] if not engine["ensemble"]]
    opencv, onnx = [], {engine: [] for engine in singles}
    for number in range(given.rounds):
        print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
        ours = run(given.squint, "bench", "--json", "--cpu-only")
        theirs = run(sys.executable, "tests/reference/features_reference.py", "--time")
        opencv.append(ours["features_cpu_us"]["p50"] / (theirs["p50_ms"] * 1e3))
        networks = run(sys.executable, "benches/onnxruntime_rival.py", *(f"engines/{engine}" for engine in singles))
        for engine in ours["engines"]:
            if engine["id"] in networks:
                onnx[engine["id"]].append(engine["cpu_ms"] / networks[engine["id"]]["cpu_ms"])
    bench["opencv_ratio"] = round(statistics.median(opencv), 4)
    bench["opencv_ratio_rounds"] = spread(opencv)
    ratios = {engine: spread(rounds) for engine, rounds in onnx.items()}
    bench["onnxruntime_ratio"] = round(statistics.median(ratio["median"] for ratio in ratios.values()), 4)
    bench["onnxruntime_ratio_engines"] = ratios
    if given.json:
        print(json.dumps(bench, indent=2))
        return
    print(json.dumps({key: value for key, value in bench.items() if key not in ("engines", "onnxruntime_ratio_engines", "opencv_ratio_rounds")}, indent=2))
    print("\nSquint's CPU time over the rival's (below 1 is faster), median [min, max] of the rounds")
    print(f"  features over OpenCV and NumPy          {show(bench['opencv_ratio_rounds'])}")
    print(f"  networks over ONNX Runtime in Python    {bench['onnxruntime_ratio']:.3f} (middle of the engines)")
    for engine, ratio in ratios.items():
        print(f"    {engine:<37} {show(ratio)}")


def show(ratio: dict) -> str:
    return f"{ratio['median']:.3f} [{ratio['min']:.3f}, {ratio['max']:.3f}]"


if __name__ == "__main__":
    main()
