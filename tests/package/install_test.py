"""cmake --install into a new folder, then a host outside the tree finds, builds and runs with it."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import elf

parser = argparse.ArgumentParser(description=__doc__)
for name in ("cmake", "build", "source", "compiler", "torch", "opencv", "samples"):
    parser.add_argument("--" + name, required=True)
arguments = parser.parse_args()
source = Path(arguments.source)
clean = {name: value for name, value in os.environ.items() if not name.startswith("GAZE_")}


def run(*command, fails: str = "", **environment: str) -> str:
    done = subprocess.run([str(word) for word in command], env=clean | environment, capture_output=True, text=True, cwd=folder)
    if fails:
        if done.returncode == 0 or fails not in " ".join(done.stderr.split()):
            sys.exit(f"{command}: expected to fail with {fails!r}, got {done.returncode}\n{done.stderr}")
    elif done.returncode != 0:
        sys.exit(f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


with tempfile.TemporaryDirectory() as folder:
    prefix = Path(folder, "prefix")
    run(arguments.cmake, "--install", arguments.build, "--prefix", prefix)
    for header in (p for room in ("cuda", "render", "hooks") for p in (source / room / "include").rglob("*.hpp")):
        assert (prefix / "include" / header.relative_to(source / header.relative_to(source).parts[0] / "include")).exists(), header
    assert (prefix / "share/doc/Gaze/LICENSE").exists()
    # The core looks for its parts in its own folder.
    (ops,) = prefix.rglob("libgaze_ops.so")
    built = {path.name for path in Path(arguments.build, "lib").glob("libgaze_*.so")}
    assert built == {path.name for path in ops.parent.glob("libgaze_*.so")} and ("libgaze_opencv.so" in built) == (arguments.opencv == "1"), built
    problems = [problem for path in elf.built(prefix) for problem in elf.run_path_problems(path)]
    assert not problems, problems
    # Nothing that was installed may look into the build tree.
    for library in prefix.rglob("*.so"):
        assert os.fsencode(arguments.build) not in library.read_bytes(), library

    def configure(where: str, **options: str) -> list[str]:
        values = {"CMAKE_PREFIX_PATH": prefix, "Torch_DIR": Path(arguments.torch, "share/cmake/Torch"), "CMAKE_CXX_COMPILER": arguments.compiler,
                  "CMAKE_BUILD_TYPE": "Release"} | options
        return [arguments.cmake, "-S", str(source / "tests/package/consumer"), "-B", str(Path(folder, where)), "-G", "Ninja",
                *(f"-D{name}={value}" for name, value in values.items())]

    run(*configure("build"))
    run(arguments.cmake, "--build", Path(folder, "build"))
    host = Path(folder, "build/host")
    model = source / "samples/models/stickers/stickers_sdpa.pt"
    capture = {"GAZE_CAPTURE": "1", "GAZE_OUT_DIR": str(Path(folder, "out")), "GAZE_PROFILE": str(model.parent / "profile.json")}
    off = run(host, model)
    assert not Path(folder, "out").exists() and off.startswith("gaze 0."), off
    on = run(host, model, **capture)
    assert on == off, (on, off)
    (bundle,) = (path.parent for path in Path(folder, "out").glob("*/request.json"))
    request = json.loads((bundle / "request.json").read_text())
    if arguments.opencv == "1":
        assert request["error"] is None and (bundle / "overlay.jpg").exists(), request
    else:
        assert "GAZE_WITH_OPENCV" in json.dumps(request["error"]), request

    if arguments.samples == "1":
        program = prefix / "bin/gaze"
        assert run(program, "--version") == off.split(",")[0] + "\n"
        if arguments.opencv == "1":
            # The samples beside it, not those of the source tree.
            words = prefix / "share/gaze/samples/data/demo/demo.json"
            demo = json.loads(words.read_text())
            demo["pictures"] = demo["pictures"][:1]
            words.write_text(json.dumps(demo))
            # And a picture without stickers.
            assert run(program, "demo", "--out", "demo").count("overlays") == len(demo["pictures"][0]["prompts"]) + 1

    # A LibTorch of another minor version is refused, not linked.
    other = Path(folder, "torch")
    other.mkdir()
    for entry in Path(arguments.torch).iterdir():
        if entry.name != "version.py":
            (other / entry.name).symlink_to(entry)
    (other / "version.py").write_text("__version__ = '2.99.0'\n")
    run(*configure("other", Torch_DIR=other / "share/cmake/Torch"), fails="expected LibTorch")
    # The official zip has another shape than the wheel: a few folders, and its version in a file of its own.
    zipped = Path(folder, "libtorch")
    zipped.mkdir()
    for entry in ("bin", "include", "lib", "share"):
        (zipped / entry).symlink_to(Path(arguments.torch, entry))
    release = re.search(r"__version__ = '([^']+)'", Path(arguments.torch, "version.py").read_text())[1]
    (zipped / "build-version").write_text(release + "\n")
    for names in ({"Torch_DIR": zipped / "share/cmake/Torch"}, {"Torch_DIR": "", "CMAKE_PREFIX_PATH": f"{prefix};{zipped}"}):
        told = run(*configure("zipped", **names))
        assert f"LibTorch: {release} in {zipped.resolve()}" in told, told
    run(arguments.cmake, "--build", Path(folder, "zipped"))
    (zipped / "build-version").write_text("2.99.0+cpu\n")
    run(*configure("zipped_other", Torch_DIR=zipped / "share/cmake/Torch"), fails="expected LibTorch")
    (zipped / "build-version").unlink()
    # Conda's says it for CMake alone.
    told = run(*configure("zipped_without", Torch_DIR=zipped / "share/cmake/Torch"))
    assert f"LibTorch: {release.split('+')[0]}" in told, told
    (zipped / "share").unlink()
    (zipped / "share/cmake/Torch").mkdir(parents=True)
    for file in Path(arguments.torch, "share/cmake/Torch").iterdir():
        if file.name != "TorchConfigVersion.cmake":
            (zipped / "share/cmake/Torch" / file.name).symlink_to(file)
    run(*configure("versionless", Torch_DIR=zipped / "share/cmake/Torch"), fails="build-version")
    # The project itself is configured with it too: what it says of CUDA comes from the same line.
    (zipped / "build-version").write_text(release + "\n")
    told = run(arguments.cmake, "-S", source, "-B", Path(folder, "project"), "-G", "Ninja", f"-DTorch_DIR={zipped / 'share/cmake/Torch'}",
               "-DGAZE_BUILD_TESTS=OFF", "-DGAZE_BUILD_SAMPLES=OFF", f"-DCMAKE_CXX_COMPILER={arguments.compiler}")
    assert f"LibTorch: {release} in {zipped.resolve()}" in told and "CUDA part: " in told, told

    # What people read, and the sample as they would copy it.
    assert (prefix / "share/doc/Gaze/docs/profiles.md").exists() and (prefix / "share/gaze/profile.schema.json").exists()
    run(arguments.cmake, "-S", prefix / "share/gaze/samples/wrap", "-B", Path(folder, "wrap"), "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DTorch_DIR={Path(arguments.torch, 'share/cmake/Torch')}", f"-DCMAKE_CXX_COMPILER={arguments.compiler}")
    run(arguments.cmake, "--build", Path(folder, "wrap"))
print("installed, found, built, run")
