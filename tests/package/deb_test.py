#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cpack makes a Debian package that holds what it should, says what it needs, and whose program runs from where it is unpacked.

Usage: deb_test.py BUILD_DIR
"""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

build = sys.argv[1]
missing = [tool for tool in ("cpack", "dpkg", "dpkg-shlibdeps") if shutil.which(tool) is None]
if missing:
    print(f"gaze-skip: {', '.join(missing)} not found")
    sys.exit(0)
with tempfile.TemporaryDirectory() as folder:
    subprocess.run(["cpack", "-B", folder], cwd=build, check=True, stdout=subprocess.DEVNULL)
    packages = list(Path(folder).glob("gaze_*.deb"))
    assert len(packages) == 1, f"expected one package, got {packages}"
    needs = subprocess.run(["dpkg", "-f", packages[0], "Depends"], check=True, capture_output=True, text=True).stdout
    assert "libc6" in needs and "libssl3" in needs and "torch" not in needs, f"expected what Debian has, got {needs}"
    root = Path(folder) / "root"
    subprocess.run(["dpkg", "-x", packages[0], root], check=True)
    for wanted in ("bin/gaze", "include/gaze/gaze.hpp", "include/gaze/hooks/dispatcher.hpp", "lib/libgaze_hooks.so", "lib/libgaze_preload.so", "lib/libgaze_loaded.so", "lib/libgaze_observe.so",
                   "lib/cmake/Gaze/GazeConfig.cmake", "share/doc/Gaze/docs/hosts.md", "share/gaze/profile.schema.json", "share/gaze/python/gaze/__init__.py", "lib/libgaze_python.so", "share/gaze/samples/wrap/wrap.cpp"):
        found = list((root / "usr").glob(wanted.replace("/doc/Gaze/", "/doc/*/")))
        assert found, f"expected usr/{wanted}, got none"
    program = root / "usr/bin/gaze"
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    assert said.startswith("gaze "), said
    preload = subprocess.run([program, "preload", "--", "true"], capture_output=True, text=True)
    assert preload.returncode == 0 and not preload.stderr, f"gaze preload: {preload.returncode} {preload.stderr}"
print("the package is whole")
