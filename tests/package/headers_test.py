"""Every public header compiles by itself. Usage: headers_test.py SOURCE_DIR NAME_TO_SKIP_OR_- COMPILER FLAG..."""
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

source, skip, *command = sys.argv[1:]
headers = sorted(header for room in ("cuda", "render", "hooks") for header in Path(source, room, "include").rglob("*.hpp"))
headers = [header for header in headers if header.name != skip]
TENSOR = "#include <ATen/core/Tensor.h>"


def reaches_tensor(header: Path) -> bool:
    text = header.read_text()
    names = re.findall(r"#include <(gaze/[^>]+)>", text)
    found = (Path(source, room, "include", name) for name in names for room in ("cuda", "render", "hooks"))
    return TENSOR in text or any(reaches_tensor(other) for other in found if other.is_file())


def compile_alone(header: Path, precompiled: list[str]) -> tuple[Path, str]:
    # What it includes, by itself or through another of them, may be there before it.
    before = precompiled if reaches_tensor(header) else []
    # Twice: the second time only the include guard may speak.
    text = f'#include "{header}"\n#include "{header}"\n'
    done = subprocess.run([*command, *before, "-x", "c++", "-"], input=text, capture_output=True, text=True)
    return header, "" if done.returncode == 0 else done.stderr


with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
    tensor = Path(folder, "tensor.hpp")
    tensor.write_text(TENSOR + "\n")
    compiles = [flag for flag in command if flag != "-fsyntax-only"]
    subprocess.run([*compiles, "-x", "c++-header", tensor, "-o", f"{tensor}.gch"], check=True)
    failures = [(header, errors) for header, errors in pool.map(lambda each: compile_alone(each, ["-include", str(tensor)]), headers) if errors]
for header, errors in failures:
    print(f"{header} does not compile alone:\n{errors}")
print(f"{len(headers)} public headers, {len(failures)} of them do not compile alone")
sys.exit(1 if failures or len(headers) < 10 else 0)
