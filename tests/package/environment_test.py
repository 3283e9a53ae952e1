"""docs/environment.md, hooks/src/config/environment.cpp and the Options struct name the same variables. Usage: environment_test.py SOURCE_DIR"""
import re
import sys
from pathlib import Path

source = Path(sys.argv[1])
code = (source / "hooks/src/config/environment.cpp").read_text()
options = (source / "hooks/include/gaze/hooks/options.hpp").read_text()
page = (source / "docs/environment.md").read_text()

rows = re.findall(r'\{\s*"(GAZE_\w+)",\s*"([^"]*)",\s*Kind::(\w+),', code)
in_code = {name: allowed for name, allowed, _ in rows}
NOT_UNDERSTOOD = {"Limits": "capture off", "Decorates": "ignored"}
not_understood = {name: NOT_UNDERSTOOD[kind] for name, _, kind in rows}
# "  double sample_rate = 1.0;  ///< GAZE_SAMPLE_RATE: ...", where the initialiser may stand on the next line
in_options = {name: field for field, name in re.findall(r"^\s+[\w:<>]+\s+(\w+)(?:\s*=\s*[^;]*?)?;\s*///< (GAZE_\w+)", options, re.MULTILINE)}
in_page = {}
for row in re.findall(r"^\| `(GAZE_\w+)` \|(.*)\|\s*$", page, re.MULTILINE):
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row[1])]
    in_page[row[0]] = cells

problems = []
for other, where in ((in_options, "hooks/include/gaze/hooks/options.hpp"), (in_page, "docs/environment.md")):
    problems += [f"{name}: in hooks/src/config/environment.cpp, not in {where}" for name in in_code if name not in other]
    problems += [f"{name}: in {where}, not in hooks/src/config/environment.cpp" for name in other if name not in in_code]
for name, cells in in_page.items():
    if len(cells) != 5 or not all(cells):
        problems.append(f"{name}: expected allowed, default, field, not understood and effect in docs/environment.md, got {cells}")
        continue
    if name in in_options and cells[2].strip("`") != in_options[name]:
        problems.append(f"{name}: docs/environment.md says field {cells[2]}, options.hpp says {in_options[name]}")
    if cells[3] != not_understood.get(name):
        problems.append(f"{name}: docs/environment.md says {cells[3]} when not understood, environment.cpp says {not_understood.get(name)}")
    for word in re.findall(r"\b(?:mean|max|min|last|weighted|rollout|turbo|inferno|viridis|cividis|gray|png|jpeg|webp|map|frame|off|error|warn|info|debug)\b",
                           in_code.get(name, "")):
        if word not in cells[0]:
            problems.append(f"{name}: environment.cpp allows {word}, docs/environment.md does not say so")
print("\n".join(problems) or f"{len(in_code)} variables agree")
sys.exit(1 if problems or len(in_code) < 10 else 0)
