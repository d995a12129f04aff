"""How much of a frame's difficulty is its scene's: the figure behind `src/simulate/frames.rs`, from the profile of a labelled stream.

Of each network: how often it is right on two frames of the same photo, against how often it is right at all, and from that the correlation of a
latent difficulty (standard normal, right where it stays below a limit: a tetrachoric correlation). Photos are taken in three classes by how much they
move, which is the median over their frames of the largest change of a block of the glimpse from one frame to the next. Docs: docs/background/simulate.md.

    squint profile --stream street.stream.toml --images DIR --labels DIR/labels.csv --out street.parquet    # docs/background/streams.md
    python3 benches/scene_share.py street.parquet       # needs pyarrow and numpy
"""
import math
import statistics
import sys

import numpy
import pyarrow.parquet

GAPS_MS = {"0.1 s": (50, 150), "1 s and more": (1000, 5000)}
MOTIONS = [(0.0, 0.02), (0.02, 0.05), (0.05, 1.0)]


def both_below(limit: float, correlation: float) -> float:
    """Chance that two standard normals with this correlation are both below `limit`."""
    common = numpy.linspace(-8, 8, 4001)
    weight = numpy.exp(-common * common / 2) / math.sqrt(2 * math.pi)
    own = (limit - math.sqrt(correlation) * common) / math.sqrt(max(1 - correlation, 1e-9))
    below = numpy.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in own])
    return float(numpy.sum(weight * below * below) * (common[1] - common[0]))


def correlation(right: float, both: float) -> float:
    """The latent correlation of which `both` comes, where one alone is right as often as `right`."""
    limit = statistics.NormalDist().inv_cdf(right)
    low, high = 0.0, 0.9999
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if both_below(limit, middle) < both else (low, middle)
    return low


def main() -> None:
    table = pyarrow.parquet.read_table(sys.argv[1])
    photo, at_ms = numpy.array(table["group"]), numpy.array(table["at_ms"])
    glimpses = numpy.array([list(one) for one in table["glimpse"].to_pylist()], dtype=float)
    change = numpy.zeros(len(photo))
    change[1:] = numpy.abs(glimpses[1:] - glimpses[:-1]).max(axis=1) / 255
    photos = numpy.unique(photo)
    motion = {one: numpy.median(change[photo == one][1:]) for one in photos if (photo == one).sum() > 1}
    for least, most in MOTIONS:
        shown = [one for one, moves in motion.items() if least <= moves < most]
        if not shown:
            continue
        print(f"motion {least:g} to {most:g}: {len(shown)} photos, mean {statistics.mean(motion[one] for one in shown):.3f}")
        for name in table.column_names:
            if not name.endswith(".correct1"):
                continue
            right = numpy.array(table[name]).astype(float)
            for gap, (nearest, farthest) in GAPS_MS.items():
                pairs = []
                for one in shown:
                    mine, when = right[photo == one], at_ms[photo == one]
                    apart = when[None, :] - when[:, None]
                    of = (apart >= nearest) & (apart <= farthest)
                    if of.any():
                        pairs.append(((mine[:, None] * mine[None, :])[of].mean(), mine.mean()))
                both, alone = numpy.mean(pairs, axis=0)
                print(f"  {name.removesuffix('.correct1'):<28} {gap:<13} right {alone:.3f}, both {both:.3f}, latent correlation {correlation(alone, both):.3f}")


if __name__ == "__main__":
    main()
