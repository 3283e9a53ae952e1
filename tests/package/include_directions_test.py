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
SOUND = ("sndfile", "mpg123.h")
TEXTS = ("unicode/",)
FONTS = ("ft2build.h", "freetype/", "hb", "fontconfig/", "fribidi")
ROOMS = {
    # folder: what none of its files may include
    "cuda": SCRIPT + LOGGING + JSON + PICTURES + SOUND + TEXTS + FONTS + ("gaze/render/", "gaze/hooks/", "gaze/gaze.hpp"),
    "render": SCRIPT + LOGGING + ("gaze/hooks/", "gaze/gaze.hpp"),
    "hooks": PICTURES + SOUND + TEXTS + FONTS + ("gaze/render/opencv.hpp",),
}
KERNELS = ("torch/", "ATen/", "c10/", "gaze/render/", "gaze/hooks/", "gaze/gaze.hpp", "spdlog/", "nlohmann/", "opencv2/")
# The rooms below each room, whose public headers it may include.
BELOW = {"cuda": {"ops"}, "render": {"ops", "render"}, "hooks": {"ops", "render", "hooks"}}
# Inside a room: which folders of its src/ a folder may include. "" are the files beside the folders.
FOLDERS = {
    "render": {
        "base": set(),
        "geometry": {"base"},
        "tokens": {"base"},
        "profile": {"base", "geometry", "tokens"},
        "device": {"base"},
        "codecs": {"base", "device"},
        "maps": {"base", "geometry", "profile", "tokens", "device", "codecs"},
        "page": {"base", "maps"},
        "media": {"base", "geometry", "device", "codecs", "maps", "page"},
        "picture": {"base", "geometry", "device", "codecs", "maps", "page", "media"},
        "sound": {"base", "device", "codecs", "maps", "page", "media"},
        "text": {"base", "profile", "device", "codecs", "tokens", "maps", "page", "media"},
        "parts": {"codecs", "picture", "sound", "text"},
        "report": {"base", "media"},
        "drift": {"base", "profile"},
        "operate": {"base", "maps"},
        "redact": {"geometry", "device", "maps", "tokens", "sound", "text"},
        "ledger": {"base"},
        "bundle": {"ledger", "base", "profile", "device", "maps", "page", "media", "picture", "sound", "text", "parts", "report", "redact"},
    },
    "hooks": {
        "process": set(),
        "config": set(),
        "graph": set(),
        "capture": {"process"},
        "delivery": {"process", "config", "capture"},
        "operate": {"process", "config", "delivery"},
        "request": {"process", "capture", "delivery", "operate"},
        "torchscript": {"process", "capture", "graph", "request"},
        "dispatcher": {"process", "capture", "request", ""},
        "aoti": {"process", "capture", ""},
        "probe": {"capture", "graph", "torchscript"},
        "heads": {"capture", "request", "torchscript"},
        "": {"capture", "config", "delivery", "operate", "request", "torchscript"},
    },
}
# Neither of them reaches the other, by whatever way.
APART = [{"picture", "sound", "text"}]
# What a second front end stands on: nothing in there reaches TorchScript.
SCRIPT_FREE = ("process", "config", "capture", "delivery", "operate", "request")


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
    """The folders of SCRIPT_FREE, and what says of itself that it knows no TorchScript, get none of it: not through another
    header, nor from a precompiled one."""
    wrong = []
    free = [p for folder in SCRIPT_FREE for p in files(f"hooks/src/{folder}")]
    says = [p for p in files("hooks/src") if "Knows no TorchScript" in "".join(p.read_text().splitlines(True)[:4])]
    free += says + [p.with_suffix(".cpp") for p in says if p.suffix == ".hpp" and p.with_suffix(".cpp").is_file()]
    lists = re.sub(r"#.*", "", (SOURCE / "hooks/CMakeLists.txt").read_text())
    scripted = re.search(r"gaze_library\(hooks(.*?)\n\s*PUBLIC", lists, re.DOTALL)[1].split()
    for path in sorted(set(free)):
        if way := way_to_script(path, set()):
            wrong.append(f"{path.relative_to(SOURCE)} must not know TorchScript: " + " -> ".join(way))
        if str(path.relative_to(SOURCE / "hooks")) in scripted:
            wrong.append(f"{path.relative_to(SOURCE)} must not know TorchScript, but gets it precompiled: hooks/CMakeLists.txt")
    return wrong, len(set(free))


def folder_of(room: str, path: Path) -> str | None:
    """The folder of a room's src/ that a file belongs to; a public header to that of its source or private header.
    Those of hooks are words that all of it shares."""
    source = SOURCE / room / "src"
    if room == "hooks" and source not in path.parents:
        return None
    if source in path.parents:
        return path.relative_to(source).parts[0] if path.parent != source else ""
    homes = {p.relative_to(source).parts[0] if p.parent != source else "" for p in source.rglob(path.stem + ".*")}
    return homes.pop() if len(homes) == 1 else None


def check_folders() -> list[str]:
    wrong, seen = [], 0
    for room, table in FOLDERS.items():
        reach = {folder: set(below) for folder, below in table.items()}
        for _ in table:
            reach = {folder: below.union(*(reach[each] for each in below)) for folder, below in reach.items()}
        wrong += [f"{room}/src/{folder}: a circle of folders" for folder, below in reach.items() if folder in below]
        for apart in APART:
            wrong += [f"{room}/src/{one} reaches {other}" for one in apart & table.keys() for other in apart - {one} if other in reach[one]]
        used: dict[str, set[str]] = {folder: set() for folder in table}
        for path in files(room):
            folder = folder_of(room, path)
            if folder is None:
                continue
            if folder not in table:
                wrong.append(f"{path.relative_to(SOURCE)}: no such folder in the table of this test")
                continue
            for mark, name in includes(path):
                inner = resolve(path, mark, name)
                if inner is None or SOURCE / room not in inner.parents:
                    continue
                below = folder_of(room, inner)
                seen += 1
                if below is None or below == folder:
                    continue
                used[folder].add(below)
                if below not in table[folder]:
                    wrong.append(f"{path.relative_to(SOURCE)} includes {name}: {folder or 'src'} must not reach {below or 'src'}")
        for folder, below in table.items():
            wrong += [f"{room}/src/{folder} may include {each}, and does not: the table of this test says more than is so" for each in below - used[folder]]
    if seen < 300:
        wrong.append(f"expected to see hundreds of includes within rooms, saw {seen}")
    return wrong


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
            if name.startswith(TEXTS) and not path.stem.endswith("_icu"):
                refuse(path, name, "only the ICU part's *_icu files")
            if name.startswith(FONTS) and not path.stem.endswith("_text"):
                refuse(path, name, "only the text part's *_text files")
    for path in files("cuda/src/cpu") + files("cuda/src/cuda"):
        for _, name in includes(path):
            if name.startswith(KERNELS):
                refuse(path, name, "kernels work on raw pointers")
    for room in ROOMS:
        for path in files(f"{room}/include"):
            for mark, name in includes(path):
                if mark == '"':
                    refuse(path, name, "a public header includes with <>")
                if name.startswith(SCRIPT + LOGGING + JSON + SOUND + TEXTS + FONTS):
                    refuse(path, name, "not in a public header")
                if name.startswith(PICTURES) and path.name != "opencv.hpp":
                    refuse(path, name, "only gaze/render/opencv.hpp")
                if name.startswith(("ATen/", "c10/", "torch/")) and name != "ATen/core/Tensor.h":
                    refuse(path, name, "at most ATen/core/Tensor.h in a public header")
    public = {str(p.relative_to(SOURCE / room / "include")) for room in ROOMS for p in files(f"{room}/include")}
    # The front end of the tests is one that others could write.
    for path in [*files("samples"), SOURCE / "tests/hooks/fake_front_end.hpp"]:
        for mark, name in includes(path):
            seen += 1
            if ".." in name or "src" in name.split("/"):
                refuse(path, name, "public headers only")
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
problems += check_folders()
for problem in problems:
    print(problem)
if count < 100:
    sys.exit(f"include directions: expected to see hundreds of includes, saw {count}; is {SOURCE} the repository?")
if free < 20:
    sys.exit(f"include directions: expected to find the files of hooks/src that know no TorchScript, found {free}")
print(f"{count} includes looked at, {len(problems)} against the rules")
sys.exit(1 if problems else 0)
