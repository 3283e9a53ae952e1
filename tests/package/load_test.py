"""What a host must load for Gaze, and how it fares when a part of it is missing or damaged."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import elf

MOST_LIBRARIES = 20  # beside LibTorch's
HIJACKED = 66

parser = argparse.ArgumentParser(description=__doc__)
for name in ("host", "plugin", "loader", "libraries", "compiler", "source", "opencv", "sndfile", "icu"):
    parser.add_argument("--" + name, required=True)
parser.add_argument("--program")
arguments = parser.parse_args()
source = Path(arguments.source)
version = re.search(r'GAZE_VERSION "([^"]+)"', (source / "cuda/include/gaze/ops/api.hpp").read_text())[1].encode() + b"\0"
model = source / "samples/models/stickers/stickers_sdpa.pt"
clean = {name: value for name, value in os.environ.items() if not name.startswith("GAZE_") and name != "LD_LIBRARY_PATH"}
# Part, what uses it, an input, the option that builds it, a symbol of what it brings.
PARTS = [part for part, built in (
    (("libgaze_opencv.so", "picture", source / "samples/data/demo/cup.jpg", "-DGAZE_WITH_OPENCV=ON", "_ZN2cv6rotateERKNS_11_InputArrayERKNS_12_OutputArrayEi"), arguments.opencv),
    (("libgaze_sndfile.so", "sound", source / "samples/data/speech/held_out.ogg", "-DGAZE_WITH_SNDFILE=ON", "sf_open_virtual"), arguments.sndfile)) if built == "1"]
THAI, THAI_WORDS = "สวัสดีชาวโลก", "สวัสดี ชาว โลก"


def run(*command: str | Path, cwd: str | Path = "/", status: int = 0, **environment: str) -> list[str]:
    done = subprocess.run([str(word) for word in command], env=clean | environment, capture_output=True, text=True, cwd=cwd)
    if done.returncode != status:
        sys.exit(f"{command}: expected exit {status}, got {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout.splitlines()


def libraries(lines: list[str]) -> list[str]:
    return [Path(line.split()[1]).name for line in lines if line.startswith("library ")]


def parts_in(names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(("libgaze_opencv", "libgaze_sndfile", "libgaze_icu", "libgaze_text", "libgaze_cuda", "libopencv", "libsndfile", "libicu", "libharfbuzz", "libfontconfig", "libfribidi"))]


def only(lines: list[str], *beginnings: str) -> None:
    if len(lines) != len(beginnings) or not all(line.startswith(text) for line, text in zip(lines, beginnings)):
        sys.exit(f"expected lines that begin with {beginnings}, got {lines}")


def loads_little() -> None:
    torch = set(libraries(run(arguments.loader)))
    spaced = ("words", "red five", "words", "привет", "words", "안녕하세요", "words", "ไ")
    for command in ((arguments.host, "libraries"), (arguments.host, "answer", model, "libraries"), (arguments.host, *spaced, "libraries")):
        names = libraries(run(*command))
        more = sorted(set(names) - torch)
        if not {"libgaze_hooks.so", "libgaze_render.so", "libgaze_ops.so"} <= set(more) or len(more) > MOST_LIBRARIES or parts_in(more):
            sys.exit(f"{command}: expected at most {MOST_LIBRARIES} libraries beside LibTorch's and no part, got {len(more)}: {more}")
    print(f"beside LibTorch's: {more}")


def parts_stay_local() -> None:
    for file, verb, media, _, symbol in PARTS:
        for command in ((arguments.host,), (arguments.loader, arguments.plugin)):
            # What it brings is there, and nobody else sees it.
            lines = run(*command, verb, media, "global", symbol, "global", file.removesuffix(".so").removeprefix("lib") + "_table", "libraries")
            only(lines[:3], "done ", "unknown", "unknown")
            names = libraries(lines)
            assert file in names, (file, names)
            brought = [Path(line.split(" ", 1)[1]) for line in lines[3:]]
            assert any(symbol in elf.read("nm", "-D", path) for path in brought if path.name.startswith(("libopencv_core", "libsndfile"))), brought
            # Its errors are those of the library.
            bad = Path(folder, "bad")
            bad.write_bytes(media.read_bytes()[:200])
            only(run(*command, verb, bad), f"refused decode_failed: {'picture' if verb == 'picture' else 'audio'} '{bad}': expected ")


def words_are_looked_up_unseen() -> None:
    for command in ((arguments.host,), (arguments.loader, arguments.plugin)):
        lines = run(*command, "words", THAI, "libraries")
        only(lines[:1], "words ICU ")
        assert lines[0].endswith(f": {THAI_WORDS}") and "libgaze_icu.so" in libraries(lines), lines
        (icu,) = [Path(line.split(" ", 1)[1]) for line in lines[1:] if Path(line).name.startswith("libicuuc.")]
        symbol = re.search(r" (ubrk_open_\d+)$", elf.read("nm", "-D", icu), re.MULTILINE)[1]
        only(run(*command, "words", THAI, "global", symbol, "global", "gaze_icu_table"), "words ICU ", "unknown", "unknown")


def draws_without_showing_it() -> None:
    """A request's pictures are drawn and written by the worker; the host sees none of what that takes."""
    out = Path(folder, "out")
    capture = {"GAZE_CAPTURE": "1", "GAZE_OUT_DIR": str(out), "GAZE_PROFILE": str(model.parent / "profile.json")}
    lines = run(arguments.host, "answer", model, "global", PARTS[0][4], "libraries", **capture)
    only(lines[:2], "done ", "unknown")
    assert "libgaze_opencv.so" in libraries(lines) and "libgaze_sndfile.so" not in libraries(lines), lines
    # Texts are ASCII: what they look like must not depend on the machine's fonts.
    assert not [name for name in libraries(lines) if name.startswith(("libgaze_text", "libharfbuzz"))], lines
    assert list(out.glob("*/overlay.jpg")), list(out.rglob("*"))


def stands_until_told() -> None:
    """What is to run before parts end finds them whole."""
    picture = PARTS[0][2]
    only(run(arguments.host, "at_exit", picture, "picture", picture), "done ", "done ")
    only(run(arguments.host, "at_exit", picture))


def damaged(here: Path, file: str, brings: tuple[str, ...]):
    """A part in every bad state that a file can be in, one after the other: (state, what must be said of it). Whole again at the end."""
    whole = (here / file).read_bytes()
    foreign = next((here / other).read_bytes() for other in ("libgaze_ops.so", "libgaze_render.so"))
    assert whole.count(version) == 1, f"{file}: expected its version once"
    needed = next(name for name in elf.needed(here / file) if name.startswith(brings)).encode()
    states = {"empty": (b"", "file too short"), "no library": (b"#!/bin/sh\n" * 99, "invalid ELF header"),
              "foreign": (foreign, "is not of this build"), "older": (whole.replace(version, b"0.0.9\0"), "is not of this build"),
              "needs what is not there": (whole.replace(needed, b"libnone" + needed[7:]), "libnone"),
              **{f"cut after {eighths}/8": (whole[:len(whole) * eighths // 8], "is cut short") for eighths in (1, 4, 7)},
              "cut by a byte": (whole[:-1], "is cut short"), "missing": (None, "No such file")}
    for name, (content, why) in states.items():
        (here / file).unlink()
        if content is not None:
            (here / file).write_bytes(content)
        yield name, why
        (here / file).unlink(missing_ok=True)
        (here / file).write_bytes(whole)


def lives_without_parts() -> None:
    here = Path(folder, "lib")
    here.mkdir()
    for library in Path(arguments.libraries).glob("libgaze_*.so"):
        shutil.copy(library, here)
    for file, verb, media, option, _ in PARTS:
        for name, why in damaged(here, file, ("libopencv_core", "libsndfile")):
            # Twice: it is tried once, and said each time. What needs no part goes on.
            lines = run(arguments.host, verb, media, verb, media, "answer", model, LD_LIBRARY_PATH=str(here))
            only(lines, "refused decode_failed: ", "refused decode_failed: ", "done ")
            assert why in lines[0] and option in lines[0] and lines[0] == lines[1], (name, lines)
        only(run(arguments.host, verb, media, LD_LIBRARY_PATH=str(here)), "done ")
        # A host may change its directory: what is beside a relative path may then be anything.
        lines = run(arguments.host, verb, media, LD_LIBRARY_PATH="lib", cwd=folder)
        assert "not an absolute one" in lines[0], lines
    # Words are told by tokens then, and why is said.
    for name, why in damaged(here, "libgaze_icu.so", ("libicuuc",)) if arguments.icu == "1" else [("not built", "No such file")]:
        lines = run(arguments.host, "words", THAI, "words", THAI, LD_LIBRARY_PATH=str(here))
        only(lines, "words tokens: ส วั ส ดี ช า ว โ ล ก (expected Gaze's ICU part, got: ", "words tokens: ")
        assert why in lines[0] and "-DGAZE_WITH_ICU=ON" in lines[0] and lines[0] == lines[1], (name, lines)


def loads_nothing_from_here() -> None:
    """Libraries planted in the current directory, under every name that ours need, stay untouched."""
    here = Path(folder, "here")
    here.mkdir()
    planted = Path(folder, "planted.c")
    planted.write_text(f"#include <unistd.h>\n__attribute__((constructor)) static void run(void) {{ _exit({HIJACKED}); }}\n")
    run(arguments.compiler, "-x", "c", "-shared", "-fPIC", planted, "-o", Path(folder, "planted.so"))
    ours = [*Path(arguments.libraries).glob("libgaze_*.so"), Path(arguments.host)]
    names = {name for path in ours for name in elf.needed(path)} | {"libgaze_opencv.so", "libgaze_sndfile.so", "libgaze_icu.so", "libgaze_text.so"}
    for name in names:
        shutil.copy(Path(folder, "planted.so"), here / name)
    run(arguments.loader, here / "libgaze_opencv.so", status=HIJACKED)  # one that is loaded is noticed
    media = [word for _, verb, file, _, _ in PARTS for word in (verb, file)]
    only(run(arguments.host, *media, "words", THAI, cwd=here), *("done " for _ in PARTS), "words ")
    if arguments.program:
        only(run(arguments.program, "--version", cwd=here), "gaze ")


with tempfile.TemporaryDirectory() as folder:
    loads_little()
    parts_stay_local()
    if arguments.icu == "1":
        words_are_looked_up_unseen()
    if arguments.opencv == "1":
        draws_without_showing_it()
        stands_until_told()
    lives_without_parts()
    loads_nothing_from_here()
print("little is loaded, and nothing from elsewhere")
