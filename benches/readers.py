"""What reading costs: the age of frames and Squint's own part of it, with nobody reading and with eight who read as fast as they can.

Runs the release binary with the test camera at 30 frames a second, in pairs, the order of a pair changing each time: once alone, once
with three clients that ask `GET /status` over and over, two that ask `GET /metrics` and three that watch (`/status?watch`), eight in all, which is
what the control socket seats. The readers run at the lowest priority, so that it is Squint's answering that costs and not their asking.
Each run gives the 99th percentiles of `age_us` and `overhead_us` over its records after the first 60; printed are
the medians of the pairs and of the ratio within a pair, with the spread, and Squint's CPU time. A machine with other work on it tells
little of the former: mind the spread of the runs alone.

    python3 benches/readers.py [--squint target/release/squint] [--pairs 5] [--seconds 30] [--pause 0]
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
READERS = ["/status"] * 3 + ["/metrics"] * 2 + ["/status?watch"] * 3
WARM = 60


def crowd(door: str, pause: float, over: multiprocessing.Event, counts: multiprocessing.Array) -> None:
    """A process with all readers."""
    os.nice(19)
    readers = [threading.Thread(target=read, args=(door, route, pause, over, counts)) for route in READERS]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()


def read(door: str, route: str, pause: float, over: multiprocessing.Event, counts: multiprocessing.Array) -> None:
    """One reader, until it is over; an answer taken whole is counted, and so is each one that a busy server refused."""
    while not over.is_set():
        time.sleep(pause)
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(3)
                stream.connect(door)
                stream.sendall(f"GET {route} HTTP/1.1\r\nHost: squint\r\n\r\n".encode())
                refused = (first := stream.recv(65536)).startswith(b"HTTP/1.1 503")
                while stream.recv(65536) and not over.is_set():
                    pass
                taken = bool(first) and not refused
        except OSError:
            taken = False
        with counts.get_lock():
            counts[0 if taken else 1] += 1


def one(squint: str, seconds: float, pause: float, crowded: bool) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        door, records = f"{folder}/control", f"{folder}/records"
        (pathlib.Path(folder) / "squint.toml").write_text(
            f'[control]\nsocket = "{door}"\n[[camera]]\nname = "camera"\nsource = "test"\nrate-hz = 30\n')
        environment = dict(os.environ)
        environment.setdefault("ORT_DYLIB_PATH", str(ROOT / ".deps/onnxruntime/libonnxruntime.so"))
        over, counts = multiprocessing.Event(), multiprocessing.Array("q", 2)
        command = [squint, "run", "--config", f"{folder}/squint.toml", "--json", "--frames", str(int(30 * seconds) + WARM)]
        with open(records, "w") as out, open(f"{folder}/log", "w") as log:
            daemon = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=log, env=environment)
            while not os.path.exists(door):
                if daemon.poll() is not None:
                    sys.exit(pathlib.Path(f"{folder}/log").read_text())
                time.sleep(0.01)
            readers = multiprocessing.Process(target=crowd, args=(door, pause, over, counts))
            if crowded:
                readers.start()
            used = os.wait4(daemon.pid, 0)[2]
            over.set()
            if crowded:
                readers.join()
        told = [json.loads(line) for line in open(records)][WARM:]
        answered = [record for record in told if record["outcome"] in ("answered", "abstained")]

        def p99(values: list) -> float:
            return statistics.quantiles(values, n=100, method="inclusive")[98] / 1000

        return {
            "age": p99([record["age_us"] for record in answered]),
            "overhead": p99([record["times"]["overhead_us"] for record in answered]),
            "cpu": 100 * (used.ru_utime + used.ru_stime) / seconds,
            "answered": len(answered),
            "reads": counts[0] / seconds,
            "refused": counts[1],
        }


def show(values: list, digits: int = 2) -> str:
    return f"{statistics.median(values):8.{digits}f}   [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--squint", default=str(ROOT / "target/release/squint"))
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--seconds", type=float, default=30)
    options.add_argument("--pause", type=float, default=0, help="seconds between an answer and the reader's next question")
    given = options.parse_args()

    alone, crowded = [], []
    for pair in range(given.pairs):
        for with_readers in (False, True) if pair % 2 == 0 else (True, False):
            (crowded if with_readers else alone).append(one(given.squint, given.seconds, given.pause, with_readers))
        print(f"pair {pair + 1} of {given.pairs}: alone {alone[-1]}, read {crowded[-1]}", file=sys.stderr)

    print(f"{given.pairs} pairs of {given.seconds:g} s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; median [least, most]")
    for what in ("age", "overhead"):
        before, after = [run[what] for run in alone], [run[what] for run in crowded]
        print(f"{what} p99, nobody reads, ms     {show(before)}")
        print(f"{what} p99, eight read, ms       {show(after)}")
        print(f"{what} p99, ratio in a pair      {show([b / a for a, b in zip(before, after)])}")
    print(f"CPU, nobody reads, % of a core    {show([run['cpu'] for run in alone], 1)}")
    print(f"CPU, eight read, % of a core      {show([run['cpu'] for run in crowded], 1)}")
    print(f"frames answered, nobody / eight  {show([run['answered'] for run in alone], 0)} / {show([run['answered'] for run in crowded], 0)}")
    print(f"answers read a second            {show([run['reads'] for run in crowded], 0)}; refused {sum(run['refused'] for run in crowded)}")


if __name__ == "__main__":
    main()
