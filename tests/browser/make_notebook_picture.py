#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs samples/python/attention.ipynb and makes docs/images/notebook.jpg of it: make_notebook_picture.py LIBRARY OUT. Needs Chromium, OpenCV's Python, nbconvert, ipykernel and torch."""
import os
import sys
import tempfile
from pathlib import Path

import cv2
import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor

sys.path.insert(0, str(Path(__file__).parent))
from chromium import Chromium  # noqa: E402

NOTEBOOK = Path(__file__).resolve().parents[2] / "samples" / "python" / "attention.ipynb"
WIDTH, HEIGHT = 1200, 840
SHOWN = "document.querySelector('iframe') && document.querySelector('iframe').contentDocument.documentElement.dataset.ready === '1'"


def main() -> None:
    os.environ |= {"GAZE_LIBRARY": str(Path(sys.argv[1]).resolve()), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as scratch, Chromium() as browser:
        os.environ["GAZE_OUT_DIR"] = str(Path(scratch) / "overlays")
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        ExecutePreprocessor(kernel_name="python3").preprocess(notebook, {"metadata": {"path": str(NOTEBOOK.parent)}})
        page, shot = Path(scratch) / "page.html", Path(scratch) / "shot.png"
        page.write_text(HTMLExporter().from_notebook_node(notebook)[0])
        browser.window(WIDTH, HEIGHT)
        browser.navigate(page)
        browser.wait_until(SHOWN)
        # The call of `show`, and the report below it.
        browser.evaluate("document.querySelector('iframe').closest('.jp-Cell').scrollIntoView({block: 'end'})")
        browser.screenshot(shot, WIDTH, HEIGHT)
        cv2.imwrite(sys.argv[2], cv2.imread(str(shot)), [cv2.IMWRITE_JPEG_QUALITY, 80])


main()
