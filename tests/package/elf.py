"""What must hold for every program and library that we build."""
import subprocess
from collections.abc import Iterator
from pathlib import Path


def built(folder: Path) -> Iterator[Path]:
    """Programs and shared libraries; CMake's own trials are not ours."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and "CMakeFiles" not in path.parts:
            with path.open("rb") as file:
                head = file.read(18)
            if head[:4] == b"\x7fELF" and head[16] in (2, 3):
                yield path


def read(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout


def dynamic(path: Path, tag: str) -> list[str]:
    """The values of a tag of the dynamic section."""
    return [line.split(")", 1)[1].strip() for line in read("readelf", "-dW", path).splitlines() if f"({tag})" in line]


def bracketed(value: str) -> str:
    return value[value.index("[") + 1:value.rindex("]")]


def needed(path: Path) -> list[str]:
    return [bracketed(value) for value in dynamic(path, "NEEDED")]


def is_library(path: Path) -> bool:
    return ".so" in path.name


def run_path_problems(path: Path) -> list[str]:
    """An empty or relative element is a folder of whoever starts the program."""
    elements = [element for tag in ("RPATH", "RUNPATH") for value in dynamic(path, tag) for element in bracketed(value).split(":")]
    return [f"{path}: run path element {element!r}" for element in elements if not (element.startswith("/") or element.split("/")[0] == "$ORIGIN")]


def hardening_problems(path: Path) -> list[str]:
    segments = {line.split()[0]: line.split()[-2] for line in read("readelf", "-lW", path).splitlines() if line.strip().startswith(("GNU_STACK", "GNU_RELRO"))}
    missing = []
    if "GNU_RELRO" not in segments:
        missing.append("read-only relocations")
    if segments.get("GNU_STACK", "E").find("E") >= 0:
        missing.append("a stack that cannot be executed")
    if not any("NOW" in value for tag in ("FLAGS", "FLAGS_1") for value in dynamic(path, tag)):
        missing.append("binding at start")
    if is_library(path) and "__stack_chk_fail" not in read("nm", "-D", path):
        missing.append("a stack protector")
    if not is_library(path) and not any("PIE" in value for value in dynamic(path, "FLAGS_1")):
        missing.append("position independence")
    return [f"{path}: expected {what}" for what in missing]


def fortified(path: Path) -> bool:
    return any(line.split()[-1].split("@")[0].endswith("_chk") for line in read("nm", "-D", path).splitlines())
