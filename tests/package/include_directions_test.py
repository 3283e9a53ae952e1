"""Who may include what: the table of docs/design.md. Usage: include_directions_test.py SOURCE_DIR"""
import re
import sys
from pathlib import Path

SOURCE = Path(sys.argv[1])
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
SCRIPT = ("torch/script.h", "torch/torch.h", "torch/csrc/jit/")
LOGGING = ("spdlog/", "fmt/")
JSON = ("nlohmann/",)
PICTURES = ("opencv2/", "jpeglib.h", "jerror.h", "png.h")
SOUND = ("sndfile",)
ROOMS = {
    # folder: what none of its files may include
    "cuda": SCRIPT + LOGGING + JSON + PICTURES + SOUND + ("gaze/render/", "gaze/hooks/", "gaze/gaze.hpp"),
    "render": SCRIPT + LOGGING + ("gaze/hooks/", "gaze/gaze.hpp"),
    "hooks": PICTURES + SOUND + ("gaze/render/opencv.hpp",),
}
KERNELS = ("torch/", "ATen/", "c10/", "gaze/render/", "gaze/hooks/", "gaze/gaze.hpp", "spdlog/", "nlohmann/", "opencv2/")
# The rooms below each room, whose public headers it may include.
BELOW = {"cuda": {"ops"}, "render": {"ops", "render"}, "hooks": {"ops", "render", "hooks"}}


def files(folder: str) -> list[Path]:
    return sorted(p for p in (SOURCE / folder).rglob("*") if p.suffix in (".cpp", ".hpp", ".cu", ".cuh", ".h") and p.is_file())


def includes(path: Path) -> list[tuple[str, str]]:
    return INCLUDE.findall(path.read_text())


def resolve(path: Path, mark: str, name: str) -> Path | None:
    """The file of ours that an include means."""
    if mark == '"':
        for base in (path.parent, *(SOURCE / room / "src" for room in ROOMS if (SOURCE / room) in path.parents)):
            if (base / name).is_file():
                return base / name
    return next((p for room in ROOMS if (p := SOURCE / room / "include" / name).is_file()), None)


def way_to_script(path: Path, seen: set[Path]) -> list[str]:
    """The includes that lead from `path` to a header of TorchScript; empty: none does."""
    seen.add(path)
    for mark, name in includes(path):
        if name.startswith(SCRIPT):
            return [name]
        inner = resolve(path, mark, name)
        if inner is not None and inner not in seen and (way := way_to_script(inner, seen)):
            return [name, *way]
    return []


def check_script_free() -> tuple[list[str], int]:
    """What says of itself that it knows no TorchScript gets none of it: not through another header, nor from a
    precompiled one."""
    wrong = []
    free = [p for p in files("hooks/src") if "Knows no TorchScript" in "".join(p.read_text().splitlines(True)[:4])]
    free += [p.with_suffix(".cpp") for p in free if p.suffix == ".hpp" and p.with_suffix(".cpp").is_file()]
    lists = re.sub(r"#.*", "", (SOURCE / "hooks/CMakeLists.txt").read_text())
    without = re.search(r"set_source_files_properties\(([^)]*)\bPROPERTIES SKIP_PRECOMPILE_HEADERS ON\)", lists)
    skipped = set(without[1].split()) if without else set()
    for path in free:
        if way := way_to_script(path, set()):
            wrong.append(f"{path.relative_to(SOURCE)} says it knows no TorchScript: " + " -> ".join(way))
        if path.suffix == ".cpp" and str(path.relative_to(SOURCE / "hooks")) not in skipped:
            wrong.append(f"{path.relative_to(SOURCE)} says it knows no TorchScript, but gets it precompiled: hooks/CMakeLists.txt")
    return wrong, len(free)


def check() -> tuple[list[str], int]:
    wrong: list[str] = []
    seen = 0

    def refuse(path: Path, name: str, why: str) -> None:
        wrong.append(f"{path.relative_to(SOURCE)} includes {name}: {why}")

    for room, forbidden in ROOMS.items():
        for path in files(room):
            for mark, name in includes(path):
                seen += 1
                if name.startswith(forbidden):
                    refuse(path, name, f"not in {room}/")
                module = re.match(r"gaze/(\w+)/", name)
                if module and module[1] not in BELOW[room]:
                    refuse(path, name, f"{room}/ stands below it")
                if mark == '"' and ".." in name:
                    refuse(path, name, "no way around the include directories")
    for path in files("render/src"):
        for _, name in includes(path):
            if name.startswith(("opencv2/", "gaze/render/opencv.hpp")) and not path.stem.endswith("_opencv"):
                refuse(path, name, "only the OpenCV part's *_opencv files")
            if name == "sndfile.h" and not path.stem.endswith("_sndfile"):
                refuse(path, name, "only the libsndfile part's *_sndfile files")
    for path in files("cuda/src/cpu") + files("cuda/src/cuda"):
        for _, name in includes(path):
            if name.startswith(KERNELS):
                refuse(path, name, "kernels work on raw pointers")
    for room in ROOMS:
        for path in files(f"{room}/include"):
            for mark, name in includes(path):
                if mark == '"':
                    refuse(path, name, "a public header includes with <>")
                if name.startswith(SCRIPT + LOGGING + JSON + SOUND):
                    refuse(path, name, "not in a public header")
                if name.startswith(PICTURES) and path.name != "opencv.hpp":
                    refuse(path, name, "only gaze/render/opencv.hpp")
                if name.startswith(("ATen/", "c10/", "torch/")) and name != "ATen/core/Tensor.h":
                    refuse(path, name, "at most ATen/core/Tensor.h in a public header")
    public = {str(p.relative_to(SOURCE / room / "include")) for room in ROOMS for p in files(f"{room}/include")}
    for path in files("samples"):
        for mark, name in includes(path):
            seen += 1
            if ".." in name or "src" in name.split("/"):
                refuse(path, name, "samples include public headers only")
            if name.startswith("gaze/") and name not in public:
                refuse(path, name, "no such public header")
            if mark == '"' and not (path.parent / name).exists():
                refuse(path, name, "no such file beside it")
    for room in (*ROOMS, "samples"):
        for path in files(room):
            for _, name in includes(path):
                if name.startswith(("samples/", "tests/", "support/")) or "catch2" in name:
                    refuse(path, name, "nothing includes samples or tests")
    for path in files("tests"):
        for _, name in includes(path):
            seen += 1
            if "catch2" in name and path != SOURCE / "tests/support/test.hpp":
                refuse(path, name, "only tests/support/test.hpp, which sets CATCH_CONFIG_PREFIX_ALL")
    return wrong, seen


problems, count = check()
leaks, free = check_script_free()
problems += leaks
for problem in problems:
    print(problem)
if count < 100:
    sys.exit(f"include directions: expected to see hundreds of includes, saw {count}; is {SOURCE} the repository?")
if free < 20:
    sys.exit(f"include directions: expected to find the files of hooks/src that know no TorchScript, found {free}")
print(f"{count} includes looked at, {len(problems)} against the rules")
sys.exit(1 if problems else 0)
