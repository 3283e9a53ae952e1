"""Every public header compiles by itself. Usage: headers_test.py SOURCE_DIR NAME_TO_SKIP_OR_- COMPILER FLAG..."""
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

source, skip, *command = sys.argv[1:]
headers = sorted(header for room in ("cuda", "render", "hooks") for header in Path(source, room, "include").rglob("*.hpp"))
headers = [header for header in headers if header.name != skip]


def compile_alone(header: Path) -> tuple[Path, str]:
    # Twice: the second time only the include guard may speak.
    text = f'#include "{header}"\n#include "{header}"\n'
    done = subprocess.run([*command, "-x", "c++", "-"], input=text, capture_output=True, text=True)
    return header, "" if done.returncode == 0 else done.stderr


with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
    failures = [(header, errors) for header, errors in pool.map(compile_alone, headers) if errors]
for header, errors in failures:
    print(f"{header} does not compile alone:\n{errors}")
print(f"{len(headers)} public headers, {len(failures)} of them do not compile alone")
sys.exit(1 if failures or len(headers) < 10 else 0)
