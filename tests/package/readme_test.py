"""README.md shows the lines of samples/wrap/wrap.cpp, and its commands are one line each. Usage: readme_test.py SOURCE_DIR"""
import re
import sys
import textwrap
from pathlib import Path

source = Path(sys.argv[1])
readme = (source / "README.md").read_text()
wrap = (source / "samples/wrap/wrap.cpp").read_text()
problems = []

region = re.search(r"^[^\n]*\[readme\]\n(.*?)^[^\n]*\[/readme\]", wrap, re.MULTILINE | re.DOTALL)
shown = [textwrap.dedent(block) for block in re.findall(r"```cpp\n(.*?)```", readme, re.DOTALL)]
if region is None:
    problems.append("samples/wrap/wrap.cpp: expected the marks [readme] and [/readme]")
elif textwrap.dedent(region[1]) not in shown:
    problems.append("README.md: expected a cpp block equal to samples/wrap/wrap.cpp between its marks:\n" + textwrap.dedent(region[1]))

commands = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
for preset in ("demo", "test"):
    ends = [c for c in commands if c.rstrip().endswith(f"cmake --workflow --preset {preset}")]
    if len(ends) != 1 or len(ends[0].strip().splitlines()) != 1:
        problems.append(f"README.md: expected one sh block of one line that ends with cmake --workflow --preset {preset}")
for target in re.findall(r"\]\((?!https?:)([^)#]+)", readme):
    if not (source / target).exists():
        problems.append(f"README.md: links to {target}, which does not exist")
print("\n".join(problems) or "README.md agrees with the sample")
sys.exit(1 if problems else 0)
