"""What a build costs the engines on the CPU: looks of `squint run` with nobody building and while `squint engines build` runs over and over.

Builds are real as far as that goes without a GPU: NVIDIA's TensorRT-RTX (`scripts/deps tensorrt-rtx`, `scripts/shims`) parses the model, optimises it
and writes the plan, which takes it about a second of one core; then its runtime wants a real driver (here tests/vendor/fake_cuda.c) and the plan is
thrown away, so that the next one begins. Started as the daemon starts them: `ionice -c 3 nice -n 19`. TensorRT on a board times kernels on the GPU for
minutes instead; what that costs the CPU is not measured here.

Runs the release binary with the test camera and its default policy in pairs, the order of a pair changing each time. Each run gives the median and
the 95th percentile of the engines' own time (`run_us` of each look) of its answers after the first 60; printed are the medians of the pairs and of the ratio
within a pair, with the spread.

    python3 benches/builds.py [--squint target/release/squint] [--pairs 5] [--seconds 20] [--model lite2-260-f32]
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
WARM = 60
RATE = 15


def build(given: argparse.Namespace, folder: str, over: threading.Event, count: list) -> None:
    """Builds, one after the other, until it is over."""
    rtx = ROOT / ".deps/tensorrt-rtx"
    environment = dict(os.environ, LD_LIBRARY_PATH=f"{folder}:{rtx}", SQUINT_ENGINES__TENSORRT=str(rtx / "libtensorrt_rtx.so.1"))
    command = ["ionice", "-c", "3", "nice", "-n", "19", given.squint, "engines", "build", given.model, "--again", "--plans", f"{folder}/plans"]
    while not over.is_set():
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if "its own plan does not load" not in done.stdout + done.stderr and done.returncode != 0:
            sys.exit(f"the build did not get as far as a plan: {done.stdout}{done.stderr}")
        count[0] += 1


def one(given: argparse.Namespace, folder: str, building: bool) -> dict:
    environment = dict(os.environ)
    environment.setdefault("ORT_DYLIB_PATH", str(ROOT / ".deps/onnxruntime/libonnxruntime.so"))
    over, count = threading.Event(), [0]
    builder = threading.Thread(target=build, args=(given, folder, over, count))
    if building:
        builder.start()
    frames = int(RATE * given.seconds) + WARM
    command = [given.squint, "run", "--source", "test", "--rate-hz", str(RATE), "--json", "--frames", str(frames)]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    over.set()
    if building:
        builder.join()
    records = [json.loads(line) for line in told.splitlines()][WARM:]
    looks = [step["run_us"] / 1000 for record in records for step in record["engines"] if step["answered"]]
    ages = [record["age_us"] / 1000 for record in records if record["outcome"] == "answered"]
    at = lambda values, percent: statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
    return {"p50": at(looks, 50), "p95": at(looks, 95), "age": at(ages, 95), "answered": len(ages), "frames": len(records), "builds": count[0]}


def show(values: list) -> str:
    return f"{statistics.median(values):8.2f}   [{min(values):.2f}, {max(values):.2f}]"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--squint", default=str(ROOT / "target/release/squint"))
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--model", default="lite2-260-f32")
    given = options.parse_args()
    alone, beside = [], []
    with tempfile.TemporaryDirectory() as folder:
        driver = ["cc", "-shared", "-fPIC", "-o", f"{folder}/libcuda.so.1", str(ROOT / "tests/vendor/fake_cuda.c"), "-lpthread"]
        subprocess.run(driver, check=True)
        for pair in range(given.pairs):
            for building in (False, True) if pair % 2 == 0 else (True, False):
                (beside if building else alone).append(one(given, folder, building))
            print(f"pair {pair + 1} of {given.pairs}: alone {alone[-1]}, beside builds {beside[-1]}", file=sys.stderr)
    print(f"{given.pairs} pairs of {given.seconds:g} s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; median [least, most]")
    for what, words in (("p50", "look p50"), ("p95", "look p95"), ("age", "age of frames p95")):
        before, after = [run[what] for run in alone], [run[what] for run in beside]
        print(f"{words + ', nobody builds, ms':<36}{show(before)}")
        print(f"{words + ', beside builds, ms':<36}{show(after)}")
        print(f"{words + ', ratio in a pair':<36}{show([b / a for a, b in zip(before, after)])}")
    print(f"{'builds in a run':<36}{show([run['builds'] for run in beside])}")


if __name__ == "__main__":
    main()
