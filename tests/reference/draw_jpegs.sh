#!/bin/sh
# Draws tests/data/jpegs: one smooth picture in every form that a JPEG may have, by libjpeg's own tools (libjpeg-turbo-progs).
# The picture is drawn by a formula, which tests/source/pictures.rs knows too. CMYK and YCCK want Python with Pillow.
set -eu
out=$(cd "$(dirname "$0")/../data/jpegs" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 - "$work/picture.ppm" <<'P'
import sys
rows = ((4 * x, 255 - 5 * y, 2 * x + 2 * y) for y in range(45) for x in range(61))
open(sys.argv[1], "wb").write(b"P6 61 45 255\n" + bytes(v for pixel in rows for v in pixel))
P
draw() { name=$1; shift; cjpeg -quality 95 -optimize "$@" -outfile "$out/$name.jpg" "$work/picture.ppm"; }
for s in 1x1,1x1,1x1 2x1,1x1,1x1 2x2,1x1,1x1 1x2,1x1,1x1 4x1,1x1,1x1 1x4,1x1,1x1 4x2,1x1,1x1 2x4,1x1,1x1 2x2,2x1,2x1 2x2,1x2,1x2 \
  1x1,2x2,1x1 1x1,2x1,1x2 2x2,2x1,1x2 2x1,1x2,1x1 3x1,1x1,1x1 1x3,1x1,1x1 1x2,2x1,1x1; do
  draw "base-$s" -sample $s
  draw "progressive-$s" -sample $s -progressive
done
printf '0;\n1;\n2;\n' > "$work/apart"
printf '2;\n0 1;\n' > "$work/mixed"
for s in 1x1,1x1,1x1 2x2,1x1,1x1 2x1,1x1,1x1 4x2,1x1,1x1; do
  draw "apart-$s" -sample $s -scans "$work/apart"
  draw "mixed-$s" -sample $s -scans "$work/mixed"
  draw "apart-restarts-$s" -sample $s -scans "$work/apart" -restart 3B
  draw "restarts-$s" -sample $s -restart 1B
  draw "progressive-restarts-$s" -sample $s -progressive -restart 2B
done
for s in 1x1 2x2 3x3; do draw "grey-$s" -grayscale -sample $s; draw "grey-progressive-$s" -grayscale -sample $s -progressive; done
draw rgb -rgb
cjpeg -quality 95 -arithmetic -outfile "$out/arithmetic.jpg" "$work/picture.ppm"
cjpeg -quality 90 -outfile "$out/standard-tables.jpg" "$work/picture.ppm"
python3 - "$work/picture.ppm" "$out" <<'P'
import sys
from PIL import Image
picture, out = Image.open(sys.argv[1]), sys.argv[2]
black = Image.new("L", picture.size, 0)
inks = [plane.point(lambda v: 255 - v) for plane in picture.split()]
Image.merge("CMYK", [*inks, black]).save(out + "/cmyk.jpg", quality=95, optimize=True)
# YCCK: luma and chroma of the inks, and black. Pillow writes 255 minus what it is given.
planes = [plane.point(lambda v: 255 - v) for plane in Image.merge("RGB", inks).convert("YCbCr").split()]
Image.merge("CMYK", [*planes, black]).save(out + "/ycck.jpg", quality=95, optimize=True)
data = bytearray(open(out + "/ycck.jpg", "rb").read())
data[data.index(b"Adobe") + 11] = 2
open(out + "/ycck.jpg", "wb").write(data)
P
