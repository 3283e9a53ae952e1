"""Who reads graphs takes an operator's inputs by name: hooks/src/graph/arguments.hpp. Usage: named_inputs_test.py SOURCE_DIR"""
import re
import sys
from pathlib import Path

SOURCE = Path(sys.argv[1])
FOLDERS = ("hooks/src/graph", "hooks/src/torchscript", "hooks/src/probe", "hooks/src/heads")
# Where names become numbers.
HOME = "hooks/src/graph/arguments.cpp"
# A node is a pointer; a graph, whose inputs are a method's arguments, is a reference here.
BY_NUMBER = re.compile(
    r"->\s*input\s*\(\s*[^)\s]"  # node->input(1)
    r"|->\s*inputs\s*\(\s*\)\s*(?:\[|\.\s*(?:at|front|back|data|slice|vec)\b)"
    r"|=\s*[\w.>()-]*->\s*inputs\s*\(\s*\)\s*;"  # inputs kept, to be numbered later
    r"|->\s*namedInput\b|\bargumentIndexWithName\b"  # a second way by name, which throws
    r"|\buse\.offset\s*[=!]=\s*\d|\d\s*-\s*use\.offset")  # what a value is used as
SAMPLES = {
    "Value* dim = node->input(1);": True,
    "x = node->input(first + 1);": True,
    "node->inputs()[2]": True,
    "node->inputs().at(2)": True,
    "node->inputs().front()": True,
    "const auto inputs = list->node()->inputs();": True,
    "if (use.offset != 0) continue;": True,
    "user->input(1 - use.offset)": True,
    "1 - use.offset": True,
    "node->inputs().size() == 2": False,
    "for (Value* input : node->inputs()) seen(input);": False,
    "std::equal(x->inputs().begin(), x->inputs().end(), y->inputs().begin(), same)": False,
    "graph.inputs()[at]": False,
    "element(list, 2)": False,
    "argument(node, Arg::Dim)": False,
    "owner->output(use.offset - skip)": False,
    "if (use.offset > 0) follow(owner->output(use.offset));": False,  # of a loop
}


def main() -> None:
    problems = [f"this test does not see right: {code}" for code, found in SAMPLES.items() if bool(BY_NUMBER.search(code)) != found]
    lines = asked = 0
    for folder in FOLDERS:
        for path in sorted((SOURCE / folder).glob("*.?pp")):
            name = str(path.relative_to(SOURCE))
            for number, line in enumerate(path.read_text().splitlines(), 1):
                code = re.sub(r"//.*", "", line)
                lines += 1
                asked += code.count("Arg::")
                if name != HOME and BY_NUMBER.search(code):
                    problems.append(f"{name}:{number}: expected argument(node, Arg::...), or element(node, n) of what has no schema, got {code.strip()}")
    for problem in problems:
        print(problem)
    if lines < 3000 or asked < 100:
        sys.exit(f"inputs by name: expected thousands of lines that ask for a hundred arguments, saw {lines} and {asked}; is {SOURCE} the repository?")
    print(f"{lines} lines looked at, {asked} arguments asked for, {len(problems)} problems")
    sys.exit(1 if problems else 0)


main()
