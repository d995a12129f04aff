#!/usr/bin/env python3
"""What a reload costs the frame path: the longest gap between two answered frames around each reload, against the same without one.

    make build && python3 benches/reload.py [RELOADS]     # 40 if not told; about 3 s each
    python3 benches/reload.py --many [RELOADS]            # 1000 if not told, one after the other: memory, threads and descriptors

A live camera of 30 frames a second, the default policy, the release binary. Each round has two windows of one second: one begins with a
reload (POST /reload on the control socket), one has none. The gap is that between the capture of two frames that follow each other with an
answer; without any loss it is one frame interval, 33.3 ms. Prints medians, spread and how many windows exceed one interval.
"""
import json, os, re, socket, statistics, subprocess, sys, tempfile, threading, time
from datetime import datetime

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SQUINT = os.path.join(ROOT, "target/release/squint")
INTERVAL_MS = 1000 / 30


def main():
    many = sys.argv[1:2] == ["--many"]
    numbers = sys.argv[2:] if many else sys.argv[1:]
    rounds = int(numbers[0]) if numbers else 1000 if many else 40
    work = tempfile.mkdtemp(prefix="squint-reload-")
    control = os.path.join(work, "control.sock")
    with open(os.path.join(work, "squint.toml"), "w") as file:
        file.write(f'[control]\nsocket = "{control}"\n[output]\nstdout = "json"\nsummary = false\n[[camera]]\nname = "a"\n'
                   'source = "pipeline:videotestsrc is-live=true pattern=black ! video/x-raw,format=RGB,width=640,height=480,framerate=30/1"\n')
    environment = dict(os.environ, MALLOC_ARENA_MAX="1", MALLOC_TRIM_THRESHOLD_="131072")
    environment.setdefault("ORT_DYLIB_PATH", os.path.join(ROOT, ".deps/onnxruntime/libonnxruntime.so"))
    process = subprocess.Popen([SQUINT, "run", "--config", f"{work}/squint.toml"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True)
    captured = []  # seconds, of answered frames

    def gather():
        for line in process.stdout:
            record = json.loads(line)
            if record["outcome"] == "answered":
                captured.append(datetime.fromisoformat(record["captured_at"].replace("Z", "+00:00")).timestamp())

    threading.Thread(target=gather, daemon=True).start()
    while len(captured) < 60:
        time.sleep(0.1)

    def reload_now():
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(control)
            stream.sendall(b"POST /reload HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n")
            answer = b""
            while chunk := stream.recv(4096):
                answer += chunk
            assert b" 200 " in answer.split(b"\r\n")[0], answer

    if many:
        # One reading scatters by several MB with where ONNX Runtime's blocks happen to lie: each reload is read, each hundred summed up.
        print(f"{'reloads':>11} {'least':>8} {'median':>8} {'most':>8}  RSS, kB    {'threads':>8} {'fds':>8}")
        status = f"/proc/{process.pid}/status"
        medians = []
        for first in range(0, rounds, 100):
            readings = []
            for _ in range(min(100, rounds - first)):
                reload_now()
                with open(status) as file:
                    text = file.read()
                rss, threads = (int(re.search(rf"^{key}:\s+(\d+)", text, re.M)[1]) for key in ("VmRSS", "Threads"))
                readings.append(rss)
            medians.append(statistics.median(readings))
            span = f"{first + 1}-{first + len(readings)}"
            print(f"{span:>11} {min(readings):8} {medians[-1]:8.0f} {max(readings):8}  {'':9}  {threads:8} {len(os.listdir(f'/proc/{process.pid}/fd')):8}", flush=True)
        if len(medians) > 10:
            print(f"median of the hundred 1,000 reloads after the second: {(medians[min(len(medians) - 1, 11)] - medians[1]) / 1000:+.2f} MB")
        process.terminate()
        process.wait(10)
        return

    def window(reload):
        began = time.time()
        took = None
        if reload:
            reload_now()
            took = (time.time() - began) * 1000
        time.sleep(max(0.0, began + 1 - time.time()))
        ended = time.time()
        time.sleep(0.3)  # for the answers that are on their way
        inside = sorted(at for at in captured if began - 0.1 <= at <= ended)
        return max((b - a) * 1000 for a, b in zip(inside, inside[1:])), took

    gaps = {True: [], False: []}
    times = []
    for _ in range(rounds):
        for reload in (True, False):
            gap, took = window(reload)
            gaps[reload].append(gap)
            times += [took] if took is not None else []
    process.terminate()
    process.wait(10)
    for reload, name in ((False, "without"), (True, "with a reload")):
        found = sorted(gaps[reload])
        lost = sum(gap > 1.5 * INTERVAL_MS for gap in found)
        print(f"{name:14} longest gap: median {statistics.median(found):.1f} ms, {found[0]:.1f} to {found[-1]:.1f}; "
              f"{lost} of {len(found)} windows with a frame unanswered")
    print(f"a reload takes {statistics.median(times):.0f} ms in the middle, {min(times):.0f} to {max(times):.0f}")


main()
