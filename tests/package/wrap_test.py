"""samples/wrap: nothing without GAZE_CAPTURE, one bundle with it, the same answer both times. Usage: wrap_test.py PROGRAM SOURCE_DIR"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

program, source = sys.argv[1:]
stickers = Path(source, "samples/models/stickers")
command = [program, stickers / "stickers_sdpa.pt", Path(source, "samples/data/demo/cup.jpg")]
clean = {name: value for name, value in os.environ.items() if not name.startswith("GAZE_")}
with tempfile.TemporaryDirectory() as folder:
    off = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)
    assert off.returncode == 0, off.stderr
    assert os.listdir(folder) == [], os.listdir(folder)
    on = subprocess.run(command, cwd=folder, capture_output=True, text=True,
                        env=clean | {"GAZE_CAPTURE": "1", "GAZE_PROFILE": str(stickers / "profile.json")})
    assert on.returncode == 0, on.stderr
    assert on.stdout == off.stdout and off.stdout.startswith("answer: "), (on.stdout, off.stdout)
    bundles = [path.parent for path in Path(folder, "overlays").glob("*/request.json")]
    assert len(bundles) == 1, bundles
    request = json.loads((bundles[0] / "request.json").read_text())
    assert request["error"] is None and request["request_id"] == "42", request
    assert (bundles[0] / "overlay.jpg").read_bytes().startswith(b"\xff\xd8\xff")
print("one bundle, same answer")
