"""Compiles a kernel's source for one GPU architecture and reads what the compiler says of each kernel in it."""
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

# The disassembler is no part of a small toolkit: then its Python package, in this version, stands in the cache (`install_disassembler`).
DISASSEMBLER_PACKAGE = "nvidia-cuda-nvdisasm==13.5.37"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gaze" / DISASSEMBLER_PACKAGE.replace("==", "-")
ENTRY = re.compile(r"Compiling entry function '(\w+)'")
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
MOST_THREADS = 0x05  # EIATTR_MAX_THREADS: what __launch_bounds__ says


def find_program(name: str) -> str | None:
    beside = [Path(os.environ[home]) / "bin" for home in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(home)]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, beside), "/usr/local/cuda/bin"])
    return shutil.which(name, path=path)


def find_disassembler() -> str | None:
    in_cache = sorted(CACHE.glob("lib/*/site-packages/nvidia/*/bin/nvdisasm"))
    return find_program("nvdisasm") or (str(in_cache[0]) if in_cache else None)


def install_disassembler() -> None:
    if find_disassembler() is None:
        subprocess.run([sys.executable, "-m", "venv", "--clear", CACHE], check=True)
        subprocess.run([CACHE / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", DISASSEMBLER_PACKAGE], check=True)


def output_of(*command) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def resources(report: str) -> dict[str, dict[str, int]]:
    """What nvcc --resource-usage says of each kernel, by its mangled name."""
    found: dict[str, dict[str, int]] = {}
    kernel = None
    for line in report.splitlines():
        if match := ENTRY.search(line):
            kernel = found.setdefault(match[1], {"registers": 0, "spill_bytes": 0, "shared_bytes": 0})
        elif kernel is None:
            continue
        elif match := SPILLS.search(line):
            kernel["spill_bytes"] = int(match[1]) + int(match[2])
        elif match := USED.search(line):
            shared = SHARED.search(line)
            kernel["registers"] = int(match[1])
            kernel["shared_bytes"] = int(shared[1]) if shared else 0
            kernel = None
    return found


def most_threads(cubin: bytes) -> dict[str, int]:
    """Threads of a block, as each kernel's launch bounds say, from the ELF section that the driver reads them from."""
    table, = struct.unpack_from("<Q", cubin, 40)
    entry_bytes, count, names_section = struct.unpack_from("<3H", cubin, 58)
    sections = [struct.unpack_from("<2I4Q", cubin, table + at * entry_bytes) for at in range(count)]
    names = sections[names_section][4]
    found = {}
    for name, _, _, _, offset, size in sections:
        title = cubin[names + name:cubin.index(b"\0", names + name)].decode()
        if not title.startswith(".nv.info."):
            continue
        at = offset
        while at < offset + size:
            form, attribute, value = struct.unpack_from("<2BH", cubin, at)
            if form == 4 and attribute == MOST_THREADS:
                x, y, z = struct.unpack_from("<3I", cubin, at + 4)
                found[title.removeprefix(".nv.info.")] = x * y * z
            at += 4 + (value if form == 4 else 0)
    return found


def short_names(mangled: list[str]) -> dict[str, str]:
    """draw_overlay<16>: without namespaces, parameters and the type of a template's value."""
    plain = output_of("c++filt", *mangled).splitlines() if mangled else []
    return dict(zip(mangled, map(short_name, plain)))


def short_name(plain: str) -> str:
    plain = plain.replace("(anonymous namespace)", "anonymous")
    plain = re.sub(r"\((?:\w+::)*\w+\)(?=-?\d)", "", plain)  # the type of an enumeration's value
    plain = plain[:plain.index("(")] if "(" in plain else plain
    return re.sub(r"(?:\w+::)+", "", plain).removeprefix("void ")
