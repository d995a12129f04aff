"""Draws the synthetic pictures of tests/data/features/: draw_pictures.py FOLDER. The PNG files are committed; draw again only
to add one. Sizes are chosen so that whole boxes, split boxes and no shrinking at all occur."""

import pathlib
import sys

import cv2
import numpy as np


def grid(width, height):
    y, x = np.mgrid[0:height, 0:width]
    return x, y


def grey(values):
    return np.repeat(np.clip(values, 0, 255).astype(np.uint8)[..., None], 3, -1)


def gradient_across():
    x, _ = grid(320, 240)
    return grey(x * 255 / 319)


def gradient_colour():
    x, y = grid(300, 200)
    return np.stack([x * 255 / 299, y * 255 / 199, 255 - x * 255 / 299], -1).astype(np.uint8)


def checkerboard():
    x, y = grid(160, 120)
    return grey(((x // 9 + y // 9) % 2) * 255)


def checkerboard_fine():
    x, y = grid(640, 480)
    return grey(((x // 6 + y // 5) % 2) * 180 + 40)


def circles():
    x, y = grid(317, 211)
    frame = np.full((211, 317, 3), (30, 60, 40), np.uint8)
    for cx, cy, radius, colour in [(60, 60, 40, (220, 30, 30)), (180, 100, 70, (240, 220, 40)), (280, 170, 25, (40, 80, 230))]:
        frame[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = colour
    return frame


def dark_object():
    x, y = grid(240, 180)
    bent = ((x - 90) ** 2 / 2500 + (y - 90) ** 2 / 900 < 1) | ((np.abs(x - y - 30) < 9) & (x > 80) & (x < 170))
    return grey(np.where(bent, 30 + (x + y) % 17, 205 + (x * 7 + y * 3) % 23))


def noise():
    return np.random.default_rng(7).integers(0, 256, (131, 203, 3), dtype=np.uint8)


def noise_soft():
    values = np.random.default_rng(8).normal(120, 60, (120, 160))
    return grey(cv2.GaussianBlur(values, (0, 0), 1.2) * 2 - 120)


def flat():
    return np.full((90, 160, 3), (120, 120, 120), np.uint8)


def black():
    return np.zeros((5, 7, 3), np.uint8)


def bars():
    colours = [(255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0)]
    x, _ = grid(400, 100)
    return np.array(colours, np.uint8)[x // 50]


def text():
    random = np.random.default_rng(9)
    page = np.full((400, 300, 3), 244, np.uint8)
    for top in range(20, 380, 18):
        left = 20
        while left < 270:
            width = int(random.integers(3, 9))
            for _ in range(3):
                a, b = random.integers(0, width + 1), random.integers(0, 11)
                c, d = random.integers(0, width + 1), random.integers(0, 11)
                ends = (left + int(a), top + int(b)), (left + int(c), top + int(d))
                cv2.line(page, *ends, (25, 25, 40), 2)
            left += width + (8 if random.random() < 0.2 else 3)
    return page


def tall():
    x, y = grid(64, 700)
    return np.stack([(x * 4) % 256, (y // 3) % 256, (x * y // 50) % 256], -1).astype(np.uint8)


def hues():
    x, y = grid(150, 126)
    hsv = np.stack([x * 180 / 150, 255 - y * 2, 40 + y], -1).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def main():
    folder = pathlib.Path(sys.argv[1])
    drawings = [gradient_across, gradient_colour, checkerboard, checkerboard_fine, circles, dark_object, noise, noise_soft]
    for draw in drawings + [flat, black, bars, text, tall, hues]:
        path = folder / f"{draw.__name__}.png"
        cv2.imwrite(str(path), cv2.cvtColor(draw(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
