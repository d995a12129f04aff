"""The rival for Squint's ONNX Runtime: the same model in ONNX Runtime's own Python binding, one thread, CPU time.

    python benches/onnxruntime_rival.py engines/lite0-224-int8 [more engine folders]

Prints one JSON object: {"<engine id>": {"cpu_ms": p50, "p90": ..., "n": runs}}. Called by benches/compare.py, which runs it in turn with
`squint bench`, so that both see the same machine at the same time.
"""
import json
import os
import pathlib
import sys
import time
import tomllib

import numpy

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the library is loaded, or it looks up a host of its maker's
import onnxruntime  # noqa: E402


def measure(folder: pathlib.Path, runs: int = 60) -> dict:
    manifest = tomllib.loads((folder / "engine.toml").read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(folder / manifest["model"]["file"]), options, providers=["CPUExecutionProvider"])
    size = manifest["input"]
    picture = numpy.random.default_rng(1).uniform(-1, 1, (1, 3, size["height"], size["width"])).astype(numpy.float32)
    name = session.get_inputs()[0].name
    for _ in range(10):
        session.run(None, {name: picture})
    costs = []
    for _ in range(runs):
        begun = time.process_time_ns()
        session.run(None, {name: picture})
        costs.append((time.process_time_ns() - begun) / 1e6)
    costs.sort()
    return {"cpu_ms": costs[len(costs) // 2], "p90": costs[len(costs) * 9 // 10], "min": costs[0], "n": runs}


if __name__ == "__main__":
    print(json.dumps({pathlib.Path(folder).name: measure(pathlib.Path(folder)) for folder in sys.argv[1:]}))
