"""Squint's features a second time, with OpenCV and NumPy, written from the definitions and not from the Rust code.

    features_reference.py --golden PICTURES... > tests/data/features_golden.json
    features_reference.py --time [RAW]        JSON: CPU milliseconds per 640x480 RGB frame; RAW holds 921 600 bytes

For the golden file the area average is exact (whole numbers) and hue bins are cut in whole numbers, so that the comparison is
not blurred by rounding; `area_difference` tells how far `cv2.resize(INTER_AREA)` is from it. For timing both are what one
would write with OpenCV: `INTER_AREA` and the float HSV conversion. Everything else is the same code in both modes.
"""

import argparse
import json
import math
import pathlib
import re
import sys
import time

import cv2
import numpy as np

AREA = 160 * 120
NAMES = (
    ["n_keypoints", "avg_brightness", "brightness_rms", "avg_perceived_brightness", "perceived_brightness_rms", "contrast"]
    + [f"edge_length{i}" for i in range(1, 8)]
    + [f"edge_angle{i}" for i in range(1, 8)]
    + ["area_by_perim", "aspect_ratio"]
    + [f"hue{i}" for i in range(1, 8)]
    + ["edge_density", "sharpness", "under_exposed", "over_exposed", "change"]
)
FAST = cv2.FastFeatureDetector_create(20, True, cv2.FAST_FEATURE_DETECTOR_TYPE_9_16)
PERCEIVED = np.array([[0.241, 0.691, 0.068]], np.float32)


def working_size(width, height):
    """The sides of the working image: the same shape with 19 200 pixels, never more than the picture has."""
    if width * height <= AREA:
        return width, height
    across = round(math.sqrt(AREA * width / height))
    down = round(math.sqrt(AREA * height / width))
    return min(max(across, 1), width), min(max(down, 1), height)


def overlaps(length, target):
    """Matrix [target, length]: how much of each source pixel lies under each target pixel, in 1/target of a pixel."""
    start, end = np.arange(target)[:, None] * length, (np.arange(target)[:, None] + 1) * length
    low, high = np.arange(length)[None] * target, (np.arange(length)[None] + 1) * target
    return np.clip(np.minimum(end, high) - np.maximum(start, low), 0, None).astype(np.int64)


def shrink_exactly(rgb):
    height, width = rgb.shape[:2]
    w, h = working_size(width, height)
    down, across = overlaps(height, h), overlaps(width, w)
    planes = [down @ rgb[..., c].astype(np.int64) @ across.T for c in range(3)]
    total = width * height
    return np.stack([(2 * plane + total) // (2 * total) for plane in planes], -1).astype(np.uint8)


def shrink_opencv(rgb):
    height, width = rgb.shape[:2]
    return cv2.resize(rgb, working_size(width, height), interpolation=cv2.INTER_AREA)


def hue_exactly(rgb):
    """Seven bins in whole numbers: hue / 60 = sextant + n / d reaches bin k where 7 (sextant d + n) >= 6 k d."""
    r, g, b = (rgb[..., c].astype(np.int64).ravel() for c in range(3))
    top = np.maximum(np.maximum(r, g), b)
    d = top - np.minimum(np.minimum(r, g), b)
    numerator = np.where(top == r, (g - b) % np.maximum(6 * d, 1), np.where(top == g, 2 * d + b - r, 4 * d + r - g))
    coloured = (d > 0) & (10 * d >= top)
    return np.bincount(7 * numerator[coloured] // (6 * d[coloured]), minlength=7)


def hue_opencv(rgb):
    hsv = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    coloured = hsv[..., 0][hsv[..., 1] >= 0.1]
    return np.bincount((coloured * (7 / 360)).astype(np.int32).clip(0, 6), minlength=7)


def edges(luma):
    height, width = luma.shape
    marked = cv2.Canny(luma, 100, 200)
    _, _, stats, _ = cv2.connectedComponentsWithStats(marked, connectivity=8)
    lengths = stats[1:, cv2.CC_STAT_AREA] / max(width, height)
    lines = np.bincount(np.minimum((lengths * 7).astype(int), 6), minlength=7)
    where = np.nonzero(marked)
    dx = cv2.Sobel(luma, cv2.CV_16S, 1, 0, borderType=cv2.BORDER_REPLICATE)[where].astype(np.float64)
    dy = cv2.Sobel(luma, cv2.CV_16S, 0, 1, borderType=cv2.BORDER_REPLICATE)[where].astype(np.float64)
    turns = np.where(dy == 0, 0.0, np.arctan2(dy, dx) / np.pi % 1.0)
    angles = np.bincount(np.minimum((turns * 7).astype(int), 6), minlength=7)
    pixels = len(where[0])
    return lines / max(lines.sum(), 1), angles / max(pixels, 1), pixels / luma.size


def main_object(luma):
    height, width = luma.shape
    side = max(width, height)
    _, bright = cv2.threshold(luma, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    inner = bright[1:-1, 1:-1]
    on_border = int(cv2.sumElems(bright)[0]) - (int(cv2.sumElems(inner)[0]) if inner.size else 0)
    border = luma.size - inner.size
    mask = bright if on_border <= border - on_border else 1 - bright
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if len(areas) == 0 or areas.max() * 100 <= luma.size:
        area, perimeter, w, h = luma.size, 2 * (width - 1 + height - 1), width, height
    else:
        largest = np.flatnonzero(areas == areas.max()) + 1
        if len(largest) > 1:  # the first in reading order
            flat = labels.ravel()
            largest = flat[np.isin(flat, largest)][:1]
        label = int(largest[0])
        x, y, w, h, area = (int(v) for v in stats[label])
        part = (labels[y : y + h, x : x + w] == label).astype(np.uint8)
        contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        perimeter = cv2.arcLength(contours[0], True)
    return (area / perimeter / side if perimeter > 0 else 0.0), min(max(w / h, 0.1), 10.0)


def measure(rgb, earlier_luma, hue):
    """All features of a working image, in the order of NAMES, and its Y."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    n = luma.size
    mean, spread = (float(v[0, 0]) for v in cv2.meanStdDev(luma))
    colours = rgb.astype(np.float32)
    squares = cv2.transform(colours * colours, PERCEIVED)
    lines, angles, density = edges(luma)
    area_by_perimeter, aspect_ratio = main_object(luma)
    laplacian = cv2.Laplacian(luma, cv2.CV_16S, ksize=1, borderType=cv2.BORDER_REFLECT_101)
    change = cv2.norm(luma, earlier_luma, cv2.NORM_L1) / (255 * n) if earlier_luma is not None else 0.0
    values = [
        len(FAST.detect(luma)),
        mean,
        cv2.norm(luma, cv2.NORM_L2) / math.sqrt(n),
        cv2.mean(cv2.sqrt(squares))[0],
        math.sqrt(cv2.mean(squares)[0]),
        spread,
        *lines,
        *angles,
        area_by_perimeter,
        aspect_ratio,
        *(hue(rgb) / n),
        density,
        float(cv2.meanStdDev(laplacian)[1][0, 0]) ** 2,
        cv2.countNonZero(cv2.compare(luma, 16, cv2.CMP_LT)) / n,
        cv2.countNonZero(cv2.compare(luma, 239, cv2.CMP_GT)) / n,
        change,
    ]
    return [float(v) for v in values], luma


def glimpse(luma):
    def spans(length, blocks):
        if length < blocks:
            return [((2 * i + 1) * length // (2 * blocks), (2 * i + 1) * length // (2 * blocks) + 1) for i in range(blocks)]
        return [(i * length // blocks, (i + 1) * length // blocks) for i in range(blocks)]

    height, width = luma.shape
    means = []
    for top, bottom in spans(height, 12):
        for left, right in spans(width, 16):
            block = luma[top:bottom, left:right]
            means.append(int((int(block.sum()) + block.size // 2) // block.size))
    return means


def golden(paths):
    pictures = {}
    for path in sorted(paths, key=lambda p: pathlib.Path(p).name):
        rgb = cv2.cvtColor(cv2.imread(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        small = shrink_exactly(rgb)
        # The earlier frame is the same picture mirrored left to right.
        mirrored = cv2.cvtColor(shrink_exactly(np.ascontiguousarray(rgb[:, ::-1])), cv2.COLOR_RGB2GRAY)
        values, luma = measure(small, mirrored, hue_exactly)
        pictures[pathlib.Path(path).name] = {
            "working_size": [small.shape[1], small.shape[0]],
            "area_difference": int(np.abs(shrink_opencv(rgb).astype(int) - small).max()),
            "values": dict(zip(NAMES, values, strict=True)),
            "glimpse": glimpse(luma),
        }
    return {"opencv": cv2.__version__, "numpy": np.__version__, "pictures": pictures}


def synthetic_frame():
    """640x480: smooth shading, coloured discs, bars and a little noise."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:480, 0:640]
    frame = np.stack([x / 640 * 200, y / 480 * 200, (x + y) / 1120 * 180], -1)
    for _ in range(60):
        cx, cy, radius = random.integers(0, 640), random.integers(0, 480), random.integers(6, 60)
        frame[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = random.integers(0, 256, 3)
    return np.clip(frame + random.normal(0, 6, frame.shape), 0, 255).astype(np.uint8)


def timing(raw, rounds):
    cv2.setNumThreads(1)
    frame = np.frombuffer(pathlib.Path(raw).read_bytes(), np.uint8).reshape(480, 640, 3) if raw else synthetic_frame()
    # glibc hands large buffers back to the kernel until one larger was freed; without this each frame pays for page faults.
    np.ones(24 << 20, np.uint8)
    earlier = None
    for _ in range(20):
        _, earlier = measure(shrink_opencv(frame), earlier, hue_opencv)
    times = []
    for _ in range(rounds):
        start = time.process_time_ns()
        _, earlier = measure(shrink_opencv(frame), earlier, hue_opencv)
        times.append((time.process_time_ns() - start) / 1e6)
    times.sort()
    return {
        "what": "all features of one 640x480 RGB frame, OpenCV and NumPy, CPU time, one thread",
        "p50_ms": times[len(times) // 2],
        "min_ms": times[0],
        "p95_ms": times[len(times) * 95 // 100],
        "frames": rounds,
        "opencv": cv2.__version__,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--golden", nargs="+", metavar="PICTURE")
    mode.add_argument("--time", nargs="?", const="", metavar="RAW")
    parser.add_argument("--frames", type=int, default=300, help="frames to time")
    arguments = parser.parse_args()
    result = golden(arguments.golden) if arguments.golden else timing(arguments.time, arguments.frames)
    text = json.dumps(result, indent=1)
    # One line for each glimpse.
    text = re.sub(r"\[[^\[\]]*\]", lambda m: "[" + ", ".join(m.group()[1:-1].replace(",", " ").split()) + "]", text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
