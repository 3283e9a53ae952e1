#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hosts without a line of Gaze, started with libgaze_preload.so: what they load is attached, and answers as ever.

Usage: preload_test.py --preload LIBRARY --gaze PROGRAM --host PROGRAM --library LIBRARY --opens PROGRAM --model MODEL.pt [--python PYTHON_WITH_TORCH]
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FORMS = ("file", "file_extra", "stream", "stream_extra")
PROFILE = {"gaze_profile": 1, "sites": {"match": ["layers.*.cross_attn"]}, "text": {}}
PYTHON = """
import hashlib, io, sys, torch
form, file = sys.argv[1:]
model = torch.jit.load(io.BytesIO(open(file, "rb").read()) if form == "memory" else file)
with torch.inference_mode():
    for call in range(3):
        out = model(torch.ones(1, 2, 16), torch.arange(96.0).view(1, 6, 16) / 96)
print(hashlib.sha256(out.numpy().tobytes()).hexdigest(), "gaze_loaded" in open("/proc/self/maps").read())
"""


def run(command, preload, out, capture):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GAZE_") and key != "LD_PRELOAD"}
    environment |= {"OMP_NUM_THREADS": "1"}
    if preload:
        environment["LD_PRELOAD"] = preload
    if capture:
        profile = Path(out) / "profile.json"
        profile.write_text(json.dumps(PROFILE))
        environment |= {"GAZE_CAPTURE": "1", "GAZE_PROFILE": str(profile), "GAZE_OUT_DIR": str(Path(out) / "bundles"), "GAZE_LOG": "info"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    requests = list((Path(out) / "bundles").glob("*/request.json"))
    return done.returncode, done.stdout, done.stderr, requests


def check(name, command, preload, attached=True):
    """The same answer off, preloaded and off, preloaded and on."""
    with tempfile.TemporaryDirectory() as out:
        status, plain, _, _ = run(command, None, out, False)
        assert status == 0 and plain, f"{name}: the host itself failed"
        status, off, said, bundles = run(command, preload, out, False)
        assert (status, off) == (0, plain) and not said and not bundles, f"{name}, off: status {status}, said {said}"
        status, on, said, bundles = run(command, preload, out, True)
        assert status == 0 and on.split()[0] == plain.split()[0], f"{name}, on: status {status}, answer {on}, said {said}"
        assert said.count("attached: ") == (1 if attached else 0), f"{name}: said {said}"
        assert bool(bundles) == attached, f"{name}: {len(bundles)} bundles, said {said}"
        for request in bundles:
            facts = json.loads(request.read_text())
            assert facts["sites"] and not facts.get("error"), f"{name}: {facts.get('error')}"
    print(f"{name}: passed", flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("preload", "gaze", "host", "library", "opens", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--python", default="")
    given = parser.parse_args()
    symbols = subprocess.run(["readelf", "-d", given.preload], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].split("]")[0] for line in symbols.splitlines() if "(NEEDED)" in line]
    assert needed == ["libc.so.6"], f"expected a library that needs the C library alone, got {needed}"
    for form in FORMS:
        check(f"a C++ host, {form}", [given.host, form, given.model], given.preload)
    check("a host that opens torch for itself alone", [given.opens, "local", given.library, "file", given.model], given.preload)
    # What is bound to its own libraries first asks nobody else: docs/hosts.md says so.
    check("a host that binds deep", [given.opens, "deep", given.library, "file", given.model], given.preload, attached=False)
    for command in (["/bin/true"], ["/bin/sh", "-c", "exit 5"], [sys.executable, "-c", "print(1)"]):
        with tempfile.TemporaryDirectory() as out:
            before, after = run(command, None, out, True), run(command, given.preload, out, True)
            assert before == after, f"{command}: {before}, preloaded {after}"
    # A file that is none: torch's exception passes through.
    with tempfile.TemporaryDirectory() as out:
        status, said, _, _ = run([given.host, "file", given.host], given.preload, out, True)
        assert (status, said) == (3, "threw\n"), f"a file that is none: {status} {said}"
    # What ends with the process is written, after a bundle was drawn as well.
    with tempfile.TemporaryDirectory() as out:
        status, _, said, bundles = run([given.host, "file", given.model, str(Path(out) / "bundles")], given.preload, out, True)
        assert status == 0 and len(bundles) == 3, f"the last answers: status {status}, {len(bundles)} bundles, said {said}"
    # By the program that sets it up.
    with tempfile.TemporaryDirectory() as out:
        profile = Path(out) / "profile.json"
        profile.write_text(json.dumps(PROFILE))
        environment = dict(os.environ, GAZE_PROFILE=str(profile), GAZE_OUT_DIR=str(Path(out) / "bundles"), OMP_NUM_THREADS="1")
        done = subprocess.run([given.gaze, "preload", "--", given.host, "file", given.model], env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0 and "attached: " in done.stderr, f"gaze preload: {done.returncode} {done.stderr}"
        assert list((Path(out) / "bundles").glob("*/request.json")), "gaze preload: no bundle"
        gone = subprocess.run([given.gaze, "preload", "--", "no-such-program"], env=environment, capture_output=True, text=True, timeout=60)
        assert gone.returncode == 1 and "no-such-program" in gone.stderr, f"gaze preload: {gone.returncode} {gone.stderr}"
    print("gaze preload: passed")
    if given.python:
        for form in ("file", "memory"):
            check(f"Python, {form}", [given.python, "-c", PYTHON, form, given.model], given.preload)
    else:
        print("Python: left out, no interpreter with torch was named")


main()
