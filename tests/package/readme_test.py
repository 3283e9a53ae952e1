"""README.md and pages of docs/ show the lines of programs that are built, and README's commands are one line each.
Usage: readme_test.py SOURCE_DIR"""
import re
import sys
import textwrap
from pathlib import Path

source = Path(sys.argv[1])
readme = (source / "README.md").read_text()
# page: the program whose lines between the marks [page] and [/page] it shows
PAGES = {"README.md": "samples/wrap/wrap.cpp", "docs/sinks.md": "tests/hooks/sink_page.cpp"}
problems = []

for page, program in PAGES.items():
    region = re.search(r"^[^\n]*\[page\]\n(.*?)^[^\n]*\[/page\]", (source / program).read_text(), re.MULTILINE | re.DOTALL)
    shown = [textwrap.dedent(block) for block in re.findall(r"```cpp\n(.*?)```", (source / page).read_text(), re.DOTALL)]
    if region is None:
        problems.append(f"{program}: expected the marks [page] and [/page]")
    elif textwrap.dedent(region[1]) not in shown:
        problems.append(f"{page}: expected a cpp block equal to {program} between its marks:\n" + textwrap.dedent(region[1]))

commands = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
for preset in ("demo", "test"):
    ends = [c for c in commands if c.rstrip().endswith(f"cmake --workflow --preset {preset}")]
    if len(ends) != 1 or len(ends[0].strip().splitlines()) != 1:
        problems.append(f"README.md: expected one sh block of one line that ends with cmake --workflow --preset {preset}")
for target in re.findall(r"\]\((?!https?:)([^)#]+)", readme):
    if not (source / target).exists():
        problems.append(f"README.md: links to {target}, which does not exist")
print("\n".join(problems) or "the pages agree with their programs")
sys.exit(1 if problems else 0)
