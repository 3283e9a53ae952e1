#!/usr/bin/env python3
"""Makes the pictures of pages in docs/images, from the demo as it is: make_pictures.py GAZE OUT. Needs Chromium and OpenCV's Python."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy

sys.path.insert(0, str(Path(__file__).parent))
from chromium import Chromium  # noqa: E402

GAZE, OUT = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
READY = "document.documentElement.dataset.ready === '1'"


def bundle_of(folder: Path, request: str) -> Path:
    return next(path.parent for path in folder.glob("*/request.json") if json.loads(path.read_text())["request_id"] == request)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, Chromium() as browser:
        folder = Path(scratch)
        (folder / "samples").symlink_to(Path(__file__).resolve().parents[2] / "samples")

        def shot(page: Path, script: str, width: int, height: int, dark: bool = False) -> numpy.ndarray:
            browser.window(width, height, dark)
            browser.navigate(page)
            browser.wait_until(script)
            browser.screenshot(folder / "shot.png", width, height, dark)
            return cv2.imread(str(folder / "shot.png"))

        def report(bundle: Path, word: int, width: int, height: int, dark: bool = False) -> numpy.ndarray:
            return shot(bundle / "report.html", f"{READY} && (choose({word}, false), true)", width, height, dark)

        for out, arguments, detail in (("demo", [], "off"), ("speech", ["--speech"], "off"), ("detail", [], "all")):
            # Short names: the pages show where things lie.
            subprocess.run([str(GAZE), "demo", *arguments, "--data", "samples", "--out", out], check=True, stdout=subprocess.DEVNULL, cwd=folder,
                           env={**os.environ, "OMP_NUM_THREADS": "1", "GAZE_DETAIL": detail})
        subprocess.run([str(GAZE), "run", "samples/models/reader/reader.pt", "--generate", "step", "--text", "samples/data/reader/question.json", "--out", "reader"], check=True,
                       stdout=subprocess.DEVNULL, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"})
        read = next((folder / "reader").glob("*/report.html")).parent
        right = bundle_of(folder / "demo", "rocket.jpg: describe the stickers :")
        layer = "const s = document.querySelector('.detail input'); s.value = 2; s.dispatchEvent(new Event('input')); document.querySelectorAll('.heads button')[3].click()"
        closer = bundle_of(folder / "detail", "rocket.jpg: describe the stickers :") / "report.html"
        pictures = {
            "report-heads.jpg": shot(closer, f"{READY} && (() => {{ choose(1, false); {layer}; return true; }})()", 1440, 1080),
            "text.jpg": cv2.imread(str(read / "text.jpg")),
            "report-text.jpg": report(read, 0, 1300, 1110),
            "report.jpg": report(right, 3, 1440, 900),
            "report-sound.jpg": report(bundle_of(folder / "speech", "long.ogg"), 6, 1440, 900, dark=True),
            "answers.jpg": shot(folder / "demo" / "index.html", "document.querySelectorAll('img').length >= 5 && [...document.images].every(i => i.complete)", 1440, 900),
        }
        for name, picture in pictures.items():
            cv2.imwrite(str(OUT / name), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
            print(OUT / name, picture.shape[1], "x", picture.shape[0])


main()
