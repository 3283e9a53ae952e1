# SPDX-License-Identifier: MIT
"""Gaze as a wheel has installed it: `python3 tests/python/wheel_test.py`, by a Python that has the wheel, torch and numpy. Nothing else of the
project or the machine is used: no PYTHONPATH, no GAZE_LIBRARY, and of the system's libraries those alone that Python and torch bring anyway."""
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
MODEL = SOURCE / "samples/models/stickers"
WORDS = json.loads((MODEL / "vocab.json").read_text())["words"]
PHOTO = SOURCE / "samples/data/demo/cup.jpg"

# What a host does: its own loop around a scripted model, fused attention, and what the process has loaded at its end.
HOST = """
import json, os, sys
import numpy, torch
from PIL import Image
torch.set_num_threads(1)
def loaded(): return sorted({line.split()[-1] for line in open("/proc/self/maps") if ".so" in line})
before = loaded()
model_path, profile, vocabulary, photo, out_dir = sys.argv[1:]
model = torch.jit.load(model_path)
words = json.load(open(vocabulary))["words"]
pixels = torch.from_numpy(numpy.array(Image.open(photo).convert("RGB")))
import gaze
g = gaze.attach(model, profile, out_dir=out_dir)
def answer():
    picture_bchw = (torch.nn.functional.adaptive_avg_pool2d(pixels.permute(2, 0, 1)[None].float() / 255, (96, 160)) - 0.45) / 0.27
    memory, cache, ids, step, sums = model.encode(picture_bchw), [], [], torch.tensor([[1, 3, 4, 5, 11]]), []
    while len(ids) < 11 and (not ids or ids[-1] != 2):
        logits, cache = model.decode_step(step, memory, cache)
        sums.append(logits.double().sum().item())
        step = logits.argmax(-1, keepdim=True)
        ids.append(step.item())
    return ids, sums
with torch.inference_mode(), g.request(image=pixels, prompt="describe the stickers", id="wheel") as r:
    ids, sums = answer()
    r.label([words[each] for each in ids if each != 2])
g.flush()
g.shutdown()
print(json.dumps({"ids": ids, "sums": sums, "gaze": gaze.__file__, "torch": torch.__file__, "before": before, "after": loaded(),
                  "bundle": str(r.bundle) if r.bundle else None}))
"""


class Wheel(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        files = importlib.metadata.files("gaze")
        cls.files = [Path(each.locate()) for each in files]
        cls.folder = Path(importlib.metadata.distribution("gaze").locate_file("gaze"))

    def run_host(self, form: str, **switches: str) -> dict:
        out_dir = tempfile.TemporaryDirectory(prefix="gaze-wheel-test-")
        self.addCleanup(out_dir.cleanup)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GAZE_", "PYTHON", "LD_"))}
        done = subprocess.run([sys.executable, "-c", HOST, MODEL / f"stickers_{form}.pt", MODEL / "profile.json", MODEL / "vocab.json", PHOTO, out_dir.name],
                              capture_output=True, text=True, env=environment | switches, cwd=out_dir.name)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def test_a_host_is_captured_with_the_same_answer(self) -> None:
        for form in ("sdpa", "softmax"):
            off, on = self.run_host(form), self.run_host(form, GAZE_CAPTURE="1")
            self.assertEqual((off["ids"], off["sums"]), (on["ids"], on["sums"]))
            self.assertIsNone(off["bundle"])
            bundle = Path(on["bundle"])
            request = json.loads((bundle / "request.json").read_text())
            self.assertEqual(request["answer"], " ".join(WORDS[each] for each in on["ids"] if each != 2))
            self.assertEqual({path.name for path in bundle.iterdir() if path.suffix == ".html"}, {"report.html"})
            self.assertTrue(list(bundle.glob("overlay.*")))
            self.assertEqual(Path(on["gaze"]).parent, self.folder)

    def test_it_loads_nothing_of_the_machine_that_python_and_torch_have_not(self) -> None:
        on = self.run_host("sdpa", GAZE_CAPTURE="1")
        own = (str(self.folder) + "/", str(Path(on["torch"]).parent) + "/")
        new = [path for path in on["after"] if path not in on["before"]]
        self.assertTrue([path for path in new if path.startswith(own[0])])
        self.assertEqual([path for path in new if not path.startswith(own)], [])

    def test_off_loads_none_of_it(self) -> None:
        self.assertEqual([path for path in self.run_host("sdpa")["after"] if str(self.folder) in path], [])

    def test_each_library_that_comes_along_says_who_made_it(self) -> None:
        names = {path.name for path in self.files}
        self.assertIn("LICENSE", names)
        others = [path for path in self.files if re.search(r"\.so(\.|$)", path.name) and not path.name.startswith("libgaze_")]
        licences = [path.stem.replace("zlib", "libz").replace("libssl", "libcrypto") for path in self.files if path.parent.name == "licences"]
        self.assertTrue(others)
        for path in others:
            library = re.match(r"lib[a-z]+", path.name)[0]
            self.assertTrue([each for each in licences if library.startswith(re.match(r"lib[a-z]+", each)[0])], f"{path.name}: {licences}")
        for path in self.files:
            self.assertTrue(path.exists(), path)

    def test_it_names_the_torch_it_was_built_for(self) -> None:
        needed = importlib.metadata.requires("gaze")
        minor = ".".join(importlib.metadata.version("torch").split(".")[:2])
        self.assertIn(f"torch=={minor}.*", needed)


if __name__ == "__main__":
    unittest.main()
