"""Writes preprocess_expected.txt: what Pillow makes of a small drawn picture, the yardstick for src/engine/preprocess.rs.

Usage: python3 tests/reference/preprocess_reference.py   (needs Pillow; written with 12.x)
One line a case: name, source size, target size, filter, box, then the RGB samples as hex, row after row.
"""

import pathlib

from PIL import Image

CASES = [
    # name, source, target, filter, area, share
    ("whole-bilinear", (61, 47), (16, 12), "bilinear", "whole", 1.0),
    ("whole-bicubic", (61, 47), (16, 12), "bicubic", "whole", 1.0),
    ("centre-bilinear", (61, 47), (14, 14), "bilinear", "centre", 0.875),
    ("centre-bicubic", (40, 64), (15, 9), "bicubic", "centre", 0.875),
    ("larger", (5, 3), (12, 8), "bilinear", "whole", 1.0),
    ("same", (9, 7), (9, 7), "bilinear", "whole", 1.0),
]


def drawn(width, height):
    """The same picture as `drawn` in src/engine/preprocess/tests.rs."""
    picture = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            # Between 50 and 200, so that overshoot is not cut off: Pillow and the resizer do that after different passes.
            samples = ((x * 4 + y) % 256, (x * x + 3 * y) % 256, 255 if (x // 5 + y // 4) % 2 else 10)
            picture.putpixel((x, y), tuple(50 + sample * 150 // 255 for sample in samples))
    return picture


def box(source, target, area, share):
    """The centred part that counts, not rounded."""
    width, height = source
    if area == "centre":
        aspect = target[0] / target[1]
        width, height = min(width, height * aspect), min(height, width / aspect)
    width, height = width * share, height * share
    left, top = (source[0] - width) / 2, (source[1] - height) / 2
    return (left, top, left + width, top + height)


def main():
    lines = []
    for name, source, target, kind, area, share in CASES:
        method = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[kind]
        part = box(source, target, area, share)
        small = drawn(*source).resize(target, method, box=part)
        sizes = f"{source[0]} {source[1]} {target[0]} {target[1]}"
        lines.append(f"{name} {sizes} {kind} {area} {share} {small.tobytes().hex()}\n")
    pathlib.Path(__file__).with_name("preprocess_expected.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
