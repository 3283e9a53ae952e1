"""README.md and pages of docs/ show lines of code that is compiled and tested, and README's commands are one line each.
Usage: readme_test.py SOURCE_DIR"""
import re
import sys
import textwrap
from pathlib import Path

source = Path(sys.argv[1])
# A page, the file whose lines it shows, and the marks they stand between.
SHOWN = [
    ("README.md", "samples/wrap/wrap.cpp", "page"),
    ("docs/front-ends.md", "tests/hooks/fake_front_end.hpp", "front end"),
    ("docs/sinks.md", "tests/hooks/sink_page.cpp", "page"),
]
problems = []

for page, file, mark in SHOWN:
    text = (source / page).read_text()
    region = re.search(rf"^[^\n]*\[{mark}\]\n(.*?)^[^\n]*\[/{mark}\]", (source / file).read_text(), re.MULTILINE | re.DOTALL)
    blocks = [textwrap.dedent(block) for block in re.findall(r"```cpp\n(.*?)```", text, re.DOTALL)]
    if region is None:
        problems.append(f"{file}: expected the marks [{mark}] and [/{mark}]")
    elif textwrap.dedent(region[1]) not in blocks:
        problems.append(f"{page}: expected a cpp block equal to {file} between its marks:\n" + textwrap.dedent(region[1]))
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        if not (source / page).parent.joinpath(target).exists():
            problems.append(f"{page}: links to {target}, which does not exist")

commands = re.findall(r"```sh\n(.*?)```", (source / "README.md").read_text(), re.DOTALL)
for preset in ("demo", "test"):
    ends = [c for c in commands if c.rstrip().endswith(f"cmake --workflow --preset {preset}")]
    if len(ends) != 1 or len(ends[0].strip().splitlines()) != 1:
        problems.append(f"README.md: expected one sh block of one line that ends with cmake --workflow --preset {preset}")
print("\n".join(problems) or "the pages agree with the code")
sys.exit(1 if problems else 0)
