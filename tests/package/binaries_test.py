"""Run paths of every file in the build tree, and its hardening. Usage: binaries_test.py BUILD_DIR HARDENED"""
import sys
from pathlib import Path

import elf

files = list(elf.built(Path(sys.argv[1])))
problems = [problem for path in files for problem in elf.run_path_problems(path)]
if sys.argv[2] == "1":
    problems += [problem for path in files for problem in elf.hardening_problems(path)]
    problems += [f"{path}: expected checked string functions" for path in files if path.name == "libgaze_render.so" and not elf.fortified(path)]
for problem in problems:
    print(problem)
names = {path.name for path in files}
if not {"libgaze_ops.so", "libgaze_render.so", "libgaze_hooks.so"} <= names:
    sys.exit(f"expected the libraries in {sys.argv[1]}, saw {sorted(names)}")
print(f"{len(files)} files looked at, {len(problems)} problems")
sys.exit(1 if problems else 0)
