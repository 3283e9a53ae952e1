#!/usr/bin/env python3
"""cmake/GazeCuda.cmake tells nvcc's that cannot build the CUDA part from those that can, by what `nvcc --version` prints."""
import pathlib
import subprocess
import sys
import tempfile

MODULE = pathlib.Path(sys.argv[1]) / "cmake/GazeCuda.cmake"


def answer(folder, nvcc, torch, wanted):
    compiler = folder / f"nvcc-{nvcc}"
    compiler.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {nvcc}, V{nvcc}.89'\n")
    compiler.chmod(0o755)
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib/libc10_cuda.so").touch()
    run = subprocess.run(["cmake", f"-DGAZE_CUDA={wanted}", f"-DGAZE_NVCC={compiler}", f"-DGAZE_TORCH_ROOT={folder}", f"-DGAZE_TORCH_CUDA={torch}",
                          "-P", str(MODULE)], capture_output=True, text=True)
    return run.returncode, " ".join((run.stdout + run.stderr).split())


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    for nvcc in ("11.8", "12.0"):
        status, text = answer(folder, nvcc, nvcc, "ON")
        assert status != 0 and f"nvcc is of CUDA {nvcc}, and kernels with more than 4 KB of parameters need 12.1" in text, text
        status, text = answer(folder, nvcc, nvcc, "AUTO")
        assert status == 0 and "CUDA part: not built" in text, text
    status, text = answer(folder, "13.0", "12.8", "ON")
    assert status != 0 and "nvcc is of CUDA 13, LibTorch of CUDA 12" in text, text
    # These are taken: what a script cannot do, enabling the language, comes next.
    for nvcc, torch in (("12.1", "12.8"), ("12.9", "12.6"), ("13.0", "13.0")):
        status, text = answer(folder, nvcc, torch, "ON")
        assert "nvcc is of" not in text and "enable_language" in text, text
print("11.8 and 12.0 are refused, 12.1 and later taken")
