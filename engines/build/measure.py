#!/usr/bin/env python3
"""Measures the engines of this family and writes the figures into their manifests.

    python measure.py --photos DIR ../lite0-224-int8            # print only
    python measure.py --photos DIR --update ..                  # all, rewrite manifests
    python measure.py --latency --update ..                     # times only

DIR holds the photos and labels.csv (file,class_index,wnid,class_name).
Accuracy: top-1 and top-5 over all of them, Wilson 95 % interval.
Latency: the network's run alone on one thread (no decoding, no resizing), wall
clock, p50 and p95 of the round with the lowest p95, after a warm-up.
An ensemble runs its members one after the other and averages their softmax.
"""

import argparse
import csv
import math
import os
import re
import sys
import time
import tomllib
from pathlib import Path

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the library is loaded, or it looks up a host of its maker's
import onnxruntime as ort  # noqa: E402
from PIL import Image

DATA = "{n} ILSVRC2012 validation photos, pre-scaled to 227x227 (an easy subset; not the full set)"
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def wilson(right, n, z=1.959964):
    p = right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def open_session(path, threads):
    o = ort.SessionOptions()
    o.intra_op_num_threads = threads
    o.inter_op_num_threads = 1
    o.log_severity_level = 3
    return ort.InferenceSession(str(path), o, providers=["CPUExecutionProvider"])


def crop_box(width, height, view, aspect):
    """The part of the frame that a view sees, as (left, top, right, bottom)."""
    w, h = float(width), float(height)
    if view.get("area", "whole") == "centre":
        w, h = min(w, h * aspect), min(h, w / aspect)
    share = view.get("share", 1.0)
    w, h = w * share, h * share
    left, top = (width - w) / 2, (height - h) / 2
    return left, top, left + w, top + h


class Network:
    def __init__(self, folder, manifest, threads):
        self.m = manifest
        i = manifest["input"]
        self.size = i["width"], i["height"]
        self.mean = np.asarray(i["mean"], np.float32)
        self.std = np.asarray(i["std"], np.float32)
        self.view = manifest.get("view", {})
        self.filter = FILTERS[i.get("filter", "bilinear")]
        self.logits = manifest["output"]["kind"] == "logits"
        self.session = open_session(folder / manifest["model"]["file"], threads)
        self.name = self.session.get_inputs()[0].name

    def prepare(self, image):
        box = crop_box(*image.size, self.view, self.size[0] / self.size[1])
        a = np.asarray(image.resize(self.size, self.filter, box), np.float32)
        a = (a - self.mean) / self.std
        if self.view.get("mirror", False):
            a = a[:, ::-1]
        return np.ascontiguousarray(a.transpose(2, 0, 1)[None])

    def run(self, x):
        return self.session.run(None, {self.name: x})[0][0]

    def probabilities(self, image):
        y = self.run(self.prepare(image)).astype(np.float64)
        return softmax(y) if self.logits else y


class Engine:
    def __init__(self, folder, threads=1):
        self.folder = Path(folder).resolve()
        self.manifest = tomllib.loads((self.folder / "engine.toml").read_text())
        self.id = self.manifest["id"]
        if self.manifest["runtime"] == "ensemble":
            e = self.manifest["ensemble"]
            members = [self.folder.parent / m for m in e["members"]]
            self.weights = np.asarray(e.get("weights", [1.0] * len(members)))
        else:
            members, self.weights = [self.folder], np.ones(1)
        self.networks = [
            Network(f, tomllib.loads((f / "engine.toml").read_text()), threads)
            for f in members
        ]

    def probabilities(self, image):
        ps = np.stack([n.probabilities(image) for n in self.networks])
        return self.weights @ ps / self.weights.sum()


def read_labels(photos):
    with open(photos / "labels.csv", newline="") as f:
        return [(r["file"], int(r["class_index"])) for r in csv.DictReader(f)]


def accuracy(engine, photos, rows):
    probs = np.empty((len(rows), 1000), np.float32)
    for k, (name, _) in enumerate(rows):
        with Image.open(photos / name) as image:
            probs[k] = engine.probabilities(image.convert("RGB"))
    truth = np.array([c for _, c in rows])
    order = np.argsort(-probs, axis=1, kind="stable")
    top1 = int((order[:, 0] == truth).sum())
    top5 = int((order[:, :5] == truth[:, None]).any(axis=1).sum())
    return probs, top1, top5


def latency(engine, rounds, runs):
    rng = np.random.default_rng(0)
    xs = [
        rng.uniform(-1, 1, (1, 3, n.size[1], n.size[0])).astype(np.float32)
        for n in engine.networks
    ]
    best = None
    for r in range(rounds):
        times = []
        for k in range(runs + 5):
            t = time.perf_counter()
            for n, x in zip(engine.networks, xs):
                n.run(x)
            times.append((time.perf_counter() - t) * 1e3)
        p50, p95 = np.percentile(times[5:], [50, 95])
        if best is None or p95 < best[1]:
            best = float(p50), float(p95)
        time.sleep(0.05)
    return best


def section(text, kind, new):
    """Replaces every [[measured.<kind>]] table by one new table."""
    parts = re.split(r"(?m)^(?=\[)", text)
    kept = [p for p in parts if not p.startswith(f"[[measured.{kind}]]")]
    return "".join(kept).rstrip("\n") + "\n\n" + new


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("engines", nargs="+", type=Path, help="engine folders, or their parent")
    p.add_argument("--photos", type=Path, help="folder with photos and labels.csv")
    p.add_argument("--latency", action="store_true")
    p.add_argument("--rounds", type=int, default=10)
    p.add_argument("--runs", type=int, default=60)
    p.add_argument("--machine", default="AMD EPYC (AVX-512 VNNI)")
    p.add_argument("--update", action="store_true", help="rewrite the manifests")
    p.add_argument("--probs", type=Path, help="write softmax outputs as .npz here")
    a = p.parse_args()
    folders = []
    for e in a.engines:
        if (e / "engine.toml").exists():
            folders.append(e)
        else:
            folders += sorted(m.parent for m in e.glob("*/engine.toml"))
    rows = read_labels(a.photos) if a.photos else []
    for folder in folders:
        engine, line = Engine(folder), []
        path = folder / "engine.toml"
        text = path.read_text()
        if rows:
            probs, top1, top5 = accuracy(engine, a.photos, rows)
            n = len(rows)
            low, high = wilson(top1, n)
            line.append(f"top-1 {top1 / n:.4f} [{low:.4f}, {high:.4f}] top-5 {top5 / n:.4f}")
            text = section(
                text,
                "accuracy",
                "[[measured.accuracy]]\n"
                f'data = "{DATA.format(n=n)}"\n'
                f"n = {n}\n"
                f"top1 = {top1 / n:.4f}\n"
                f"top1_ci95 = [{low:.4f}, {high:.4f}]\n"
                f"top5 = {top5 / n:.4f}\n"
                'tool = "engines/build/measure.py"\n',
            )
            if a.probs:
                a.probs.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(
                    a.probs / f"{engine.id}.npz",
                    probs=probs,
                    truth=np.array([c for _, c in rows]),
                    files=np.array([f for f, _ in rows]),
                )
        if a.latency:
            p50, p95 = latency(engine, a.rounds, a.runs)
            line.append(f"p50 {p50:.2f} ms, p95 {p95:.2f} ms")
            text = section(
                text,
                "latency",
                "[[measured.latency]]\n"
                f'machine = "{a.machine}, 1 thread, onnxruntime {ort.__version__}"\n'
                "threads = 1\n"
                f"p50_ms = {p50:.2f}\n"
                f"p95_ms = {p95:.2f}\n",
            )
        print(f"{engine.id:24} " + "  ".join(line), flush=True)
        if a.update:
            path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
