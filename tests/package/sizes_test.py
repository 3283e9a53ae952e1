"""No function of hooks, render and cuda is longer than 80 lines, no file longer than 500. Usage: sizes_test.py SOURCE_DIR"""
import re
import sys
from pathlib import Path

SOURCE = Path(sys.argv[1])
FOLDERS = ("hooks/src", "hooks/include", "render/src", "render/include", "cuda/src", "cuda/include")
FUNCTION, FILE = 80, 500
# What is one table, by its file, or file and function, and why it is not cut.
TABLES = {
    "hooks/src/config/environment.cpp variables": "one row for each variable, as docs/environment.md has them",
}

NOISE = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | (?:\b(?:u8|[uUL])?R"(?P<end>[^(\s]*)\(.*?\)(?P=end)") | "(?:\\.|[^"\\\n])*" | (?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'""",
    re.DOTALL | re.VERBOSE)
DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w+)(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
BRANCH = {"if": "\1", "ifdef": "\1", "ifndef": "\1", "else": "\2", "elif": "\2", "endif": "\3"}
ACCESS = re.compile(r"\b(?:public|private|protected)\s*:(?!:)")


def stripped(text: str) -> str:
    """As many lines, without comments and literals; of preprocessor lines only where branches begin and end."""
    text = NOISE.sub(lambda match: ("" if match[0].startswith("/") else "0") + "\n" * match[0].count("\n"), text)
    return DIRECTIVE.sub(lambda match: BRANCH.get(match[1], "") + "\n" * match[0].count("\n"), text)


def kind_of(header: str) -> str:
    """What a brace behind this text opens."""
    header = re.sub(r"^template\s*<.*?>\s*(?=class|struct|union)", "", ACCESS.sub("", header).strip(), flags=re.DOTALL)
    if re.match(r"(?:inline\s+)?namespace\b|extern\s*0?$|(?:class|struct|union|enum)\b", header):
        return "room"
    if "(" not in header or header.endswith("="):
        return "other"
    if re.search(r"\)[\w\s]*:(?!:)", header) and re.search(r"[\w>]$", header):
        return "initialiser"  # of a member, before the body
    return "function"


def functions(text: str) -> tuple[list[tuple[str, int, int]], list[str]]:
    """(name, first line, number of lines) of each function that no other one holds; what could not be read."""
    text = stripped(text)
    found: list[tuple[str, int, int]] = []
    wrong: list[str] = []
    opened: list[tuple[str, str, int, int]] = []  # kind, header, its line, its column
    branches: list[list[tuple[str, str, int, int]]] = []
    header, start, left, parens, line, newline = "", 0, 0, 0, 1, -1
    for place, char in enumerate(text):
        column = place - newline - 1
        if char == "\n":
            line, newline = line + 1, place
        if char == "\1":
            branches.append(list(opened))
        elif char == "\2":
            opened = list(branches[-1])
        elif char == "\3":
            branches.pop()
        elif char == "{" and parens == 0:
            inside = any(outer[0] != "room" for outer in opened)
            opened.append(("other" if inside else kind_of(header), header, start, left))
            header = ""
        elif char == "}" and parens == 0:
            if not opened:
                return found, [f"{line}: a brace too many"]
            kind, outer, start, left = opened.pop()
            if kind == "function":
                name = re.search(r"operator\b\s*(?:\(\)|[^\w\s(]+|[\w ]+)|[~\w]+(?=\s*\()", outer)
                found.append((name[0] if name else outer.strip(), start, line - start + 1))
                if not text[newline + 1 : place].strip() and column != left:
                    wrong.append(f"{start}: begins in column {left} and ends in column {column}")
            header = outer + "0" if kind == "initialiser" else ""
        elif char == ";" and parens == 0:
            header = ""
        else:
            if char > " " and not ACCESS.sub("", header).strip():
                start, left = line, column
            header += char
            parens += (char == "(") - (char == ")")
    if opened or parens or branches:
        wrong.append("braces, parentheses or branches that are not closed")
    return found, wrong


def check_reader() -> list[str]:
    """Whether the reader sees what is long in the forms that our code has."""
    body = "\n".join("  if (x) { f(\"}\"); }  // {" for _ in range(10))
    forms = {
        "free": f"int free(int a = {{}}) {{\n{body}\n}}",
        "Made": f"Made::Made(int a)\n    : a_{{a}}, b_(2) {{\n{body}\n}}",
        "member": f"struct S {{\n public:\n  int member() const {{\n{body}\n  }}\n  int b = 1;\n}};",
        "operator": f"bool operator==(const A& a, const B& b) {{\n{body}\n}}",
        "kernel": f"template <typename T>\nauto kernel(T* t) -> int {{\n#if A\n  if (t) {{\n#else\n  if (x) {{\n#endif\n  }}\n{body}\n}}",
    }
    wrong = []
    for name, text in forms.items():
        found, problems = functions("namespace gaze {\n" + text + "\n}  // namespace gaze\n")
        if problems or not any(length >= 12 for _, _, length in found):
            wrong.append(f"this test cannot read the form {name}: {problems or found}")
    return wrong


def main() -> None:
    problems, seen, used = check_reader(), 0, set()
    for folder in FOLDERS:
        for path in sorted((SOURCE / folder).rglob("*")):
            if path.suffix not in (".cpp", ".hpp", ".inl", ".cu", ".cuh") or not path.is_file():
                continue
            name = str(path.relative_to(SOURCE))
            text = path.read_text()
            found, wrong = functions(text)
            problems += [f"{name}:{each}; this test cannot read the file" for each in wrong]
            seen += len(found)
            lines = text.count("\n")
            long = [(name, 1, f"{FILE} lines", lines)] if lines > FILE else []
            long += [(f"{name} {function}", first, f"{FUNCTION} lines of a function", length) for function, first, length in found if length > FUNCTION]
            for key, first, most, got in long:
                used.add(key)
                if key not in TABLES:
                    problems.append(f"{key} (line {first}): expected at most {most}, got {got}. Cut it by what its parts do.")
    problems += [f"{key} is in the list of this test, and is no longer than others" for key in TABLES.keys() - used]
    for problem in problems:
        print(problem)
    if seen < 1000:
        sys.exit(f"sizes: expected to see more than a thousand functions, saw {seen}; is {SOURCE} the repository?")
    print(f"{seen} functions looked at, {len(problems)} problems")
    sys.exit(1 if problems else 0)


main()
