"""python -m unittest test_build   (needs requirements.txt, no network, no photos)"""

import hashlib
import os
import pickle
import tomllib
import unittest
from pathlib import Path

import build
import measure

ENGINES = Path(__file__).resolve().parent.parent


class Weights(unittest.TestCase):
    def test_other_names_are_refused(self):
        class Evil:
            def __reduce__(self):
                return os.system, ("true",)

        with self.assertRaises(pickle.UnpicklingError):
            build.read_pth(pickle.dumps(Evil(), 2))

    def test_junk_is_refused(self):
        for data in (b"", b"junk", pickle.dumps(1), pickle.dumps({"a": 1})):
            with self.assertRaises((pickle.UnpicklingError, ValueError, EOFError)):
                build.read_pth(data)

    def test_same_padding(self):
        self.assertEqual(build.same_padding(224, 3, 2), (0, 1))
        self.assertEqual(build.same_padding(65, 3, 2), (1, 1))
        self.assertEqual(build.same_padding(56, 5, 1), (2, 2))
        self.assertEqual(build.same_padding(7, 1, 1), (0, 0))

    def test_blocks(self):
        self.assertEqual([len(list(build.blocks_of(n))) for n in build.SCALING], [16, 21, 21])

    def test_files_are_as_pinned(self):
        for line in build.PINNED.read_text().splitlines():
            digest, name = line.split()
            self.assertEqual(build.sha256(build.WEIGHTS / name), digest)


class Family(unittest.TestCase):
    def test_manifests(self):
        folders = sorted(p.parent for p in ENGINES.glob("*/engine.toml"))
        self.assertTrue(folders)
        for folder in folders:
            m = tomllib.loads((folder / "engine.toml").read_text())
            self.assertEqual(m["id"], folder.name)
            if m["runtime"] == "ensemble":
                for member in m["ensemble"]["members"]:
                    self.assertTrue((ENGINES / member / "engine.toml").exists())
                continue
            data = (folder / m["model"]["file"]).read_bytes()
            self.assertEqual(hashlib.sha256(data).hexdigest(), m["model"]["sha256"])

    def test_labels(self):
        rows = [l.split("\t") for l in build.LABELS.read_text().splitlines()]
        self.assertEqual(len(rows), 1000)
        self.assertTrue(all(len(r) == 2 and r[1].strip() == r[1] != "" for r in rows))
        self.assertEqual([r[0] for r in rows], sorted({r[0] for r in rows}))

    def test_every_engine_runs(self):
        from PIL import Image

        grey = Image.new("RGB", (320, 240), (127, 127, 127))
        for path in sorted(ENGINES.glob("*/engine.toml")):
            p = measure.Engine(path.parent).probabilities(grey)
            self.assertEqual(p.shape, (1000,))
            self.assertAlmostEqual(float(p.sum()), 1.0, places=5)


class Measuring(unittest.TestCase):
    def test_wilson(self):
        low, high = measure.wilson(656, 800)
        self.assertAlmostEqual(low, 0.7919, places=4)
        self.assertAlmostEqual(high, 0.8451, places=4)

    def test_crop_box(self):
        self.assertEqual(measure.crop_box(640, 480, {}, 1.0), (0, 0, 640, 480))
        centre = {"area": "centre", "share": 0.5}
        self.assertEqual(measure.crop_box(640, 480, centre, 1.0), (200, 120, 440, 360))

    def test_section_is_replaced_not_repeated(self):
        text = "a = 1\n\n[[measured.latency]]\nx = 1\n\n[[measured.accuracy]]\ny = [1, 2]\n"
        new = measure.section(text, "latency", "[[measured.latency]]\nx = 2\n")
        d = tomllib.loads(new)["measured"]
        self.assertEqual(d, {"latency": [{"x": 2}], "accuracy": [{"y": [1, 2]}]})


if __name__ == "__main__":
    unittest.main()
