"""gaze run --weights on the sample models equals what the eager Python model computes.

Usage: parity_test.py --gaze PROGRAM --source DIR --python PYTHON_WITH_TORCH
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT = 1e-5

COMPARE = """
import json, struct, sys
import numpy as np
import torch

file, reference = sys.argv[1:]
raw = open(file, "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8:8 + size])
header.pop("__metadata__", None)
expected = torch.load(reference)
assert set(header) == set(expected), (sorted(header), sorted(expected))
worst = 0.0
for name, entry in header.items():
    assert entry["dtype"] == "F32", entry
    begin, end = entry["data_offsets"]
    got = np.frombuffer(raw[8 + size + begin:8 + size + end], dtype=np.float32).reshape(entry["shape"])
    want = expected[name].numpy()
    assert got.shape == want.shape, (name, got.shape, want.shape)
    worst = max(worst, float(np.abs(got - want).max()))
print(worst)
"""

parser = argparse.ArgumentParser()
for name in ("gaze", "source", "python"):
    parser.add_argument("--" + name, required=True)
arguments = parser.parse_args()
if not arguments.python:
    print("gaze-skip: GAZE_TEST_PYTHON is not set; give a python3 with torch, numpy and opencv")
    sys.exit(0)
models = Path(arguments.source, "samples/models")
for folder, files in (("stickers", ("stickers_softmax.pt", "stickers_sdpa.pt")), ("captioner", ("captioner.pt",)), ("reader", ("reader.pt",))):
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        subprocess.run([arguments.python, "-B", models / folder / "reference.py", "--out", here], check=True)
        for model in files:
            weights = here / (model + ".safetensors")
            subprocess.run([arguments.gaze, "run", models / folder / model, "--inputs", here / "forward_inputs.pt", "--weights", weights, "--out",
                            here / "out"], check=True, stdout=subprocess.DEVNULL)
            worst = float(subprocess.run([arguments.python, "-c", COMPARE, weights, here / "forward_attention.pt"], check=True,
                                         capture_output=True, text=True).stdout)
            print(f"{model}: largest difference {worst:.3g}")
            if not worst <= LIMIT:
                sys.exit(f"{model}: expected at most {LIMIT}, got {worst}")
