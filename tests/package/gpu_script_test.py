#!/usr/bin/env python3
"""tests/gpu.sh itself, with stand-ins for the GPU and for all that it starts: what passes, fails, is not possible and reaches a limit is
reported as such, and step by step."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(sys.argv[1])

CTEST = """#!/bin/sh
mkdir -p build/gpu/Testing/Temporary
cat <<'END'
 1/3 Test  #1: ops on cuda: reduce ...........   Passed    1.25 sec
 2/3 Test  #2: hooks_device on cuda: device ..   Passed    2.00 sec
END
echo "skipped (two devices): layers on two GPUs" >build/gpu/Testing/Temporary/LastTest.log
"""
BENCH = """#!/bin/sh
for word; do case $word in --markdown=*) echo '| overlay | >= 0.8 | 0.9 | pass |' >"${word#--markdown=}" ;; esac; done
"""


class Machine:
    """A copy of the script, and a folder of programs that come first."""

    def __init__(self, folder, limit=540):
        self.folder = pathlib.Path(folder)
        self.programs = self.folder / "programs"
        self.programs.mkdir()
        (self.folder / "tests").mkdir()
        text = (SOURCE / "tests/gpu.sh").read_text().replace("limit=540", f"limit={limit}")
        assert f"limit={limit}" in text
        (self.folder / "tests/gpu.sh").write_text(text.replace("/usr/local/cuda", f"{folder}/nowhere"))
        self.program("nvidia-smi", "#!/bin/sh\necho 'NVIDIA H200, 580.1'\n")
        self.program("cmake", "#!/bin/sh\nexit 0\n")
        for tool in ("ninja", "g++", "nvcc"):
            self.program(tool, "#!/bin/sh\nexit 0\n")
        self.program("ctest", CTEST)
        self.program("compute-sanitizer", "#!/bin/sh\necho '========= ERROR SUMMARY: 0 errors'\n")
        self.program("gaze_bench", BENCH, self.folder / "build/gpu/tests/bench")

    def program(self, name, text, folder=None):
        path = (folder or self.programs) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(self, *steps):
        # The machine's own toolkit is none of the test's.
        others = [folder for folder in os.environ["PATH"].split(":") if not (pathlib.Path(folder) / "nvcc").exists()]
        path = ":".join([str(self.programs), *others])
        run = subprocess.run(["bash", "tests/gpu.sh", *steps], cwd=self.folder, env={**{key: value for key, value in os.environ.items() if key != "CUDACXX"}, "PATH": path}, text=True, capture_output=True,
                             timeout=120)
        summary = self.folder / "build/gpu/report/summary.md"
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in summary.read_text().splitlines() if line.startswith("| 20")]
        self.verdicts = {row[3]: row[4] for row in rows}
        self.summary = summary.read_text()
        return run.returncode


def everything_can_pass(machine):
    assert machine.run() == 0, machine.summary
    assert set(machine.verdicts.values()) == {"passed"}, machine.summary
    assert set(machine.verdicts) == {"configure", "build", "tests", "ops on cuda: reduce", "hooks_device on cuda: device", "memcheck", "racecheck",
                                     "initcheck", "synccheck", "bench kernels", "bench steps"}, machine.summary
    assert "layers on two GPUs" in machine.summary and "NVIDIA H200, 580.1" in machine.summary


def a_failed_test_fails_no_tool(machine):
    machine.program("ctest", CTEST + "exit 8\n")
    assert machine.run("tests", "sanitizer") == 1
    assert machine.verdicts["tests"] == "failed (8)"
    assert {machine.verdicts[tool] for tool in ("memcheck", "racecheck", "initcheck", "synccheck")} == {"passed"}, machine.summary


def a_skipped_case_is_named_and_fails(machine):
    machine.program("ctest", CTEST.replace("two devices", "no CUDA device"))
    assert machine.run("tests") == 1
    assert machine.verdicts["tests"] == "failed (1): cases skipped: 1" and "no CUDA device" in machine.summary


def a_failure_beside_a_skip_stays_one(machine):
    machine.program("ctest", CTEST.replace("two devices", "no CUDA device") + "exit 8\n")
    assert machine.run("tests") == 1 and machine.verdicts["tests"] == "failed (8): cases skipped: 1", machine.summary


def a_tool_that_finds_something_fails(machine):
    machine.program("compute-sanitizer", "#!/bin/sh\n[ $2 = racecheck ] && exit 9\nexit 0\n")
    assert machine.run("sanitizer") == 1
    assert machine.verdicts["racecheck"] == "failed (9)" and machine.verdicts["memcheck"] == "passed", machine.summary


def a_machine_that_refuses_the_sanitizer_fails_nothing(machine):
    machine.program("compute-sanitizer", "#!/bin/sh\necho '========= Error: Device not supported. Please refer to the manual'\nexit 255\n")
    assert machine.run("sanitizer") == 0
    assert machine.verdicts["memcheck"] == "not possible here: compute-sanitizer says Device not supported", machine.summary
    (machine.programs / "compute-sanitizer").unlink()
    if not shutil.which("compute-sanitizer"):
        assert machine.run("memcheck") == 0
        assert machine.verdicts["memcheck"].startswith("not possible here: compute-sanitizer is neither"), machine.summary


def a_limit_is_said_and_is_one_step_s(machine):
    machine.program("ctest", "#!/bin/sh\nexec sleep 60\n")
    assert machine.run("tests", "bench") == 1
    assert machine.verdicts["tests"].startswith("stopped at its limit of 3 s"), machine.summary
    assert machine.verdicts["bench kernels"] == "passed", machine.summary


def steps_of_later_calls_add_to_the_report(machine):
    machine.program("cmake", "#!/bin/sh\nexit 1\n")
    assert machine.run("build") == 1 and machine.verdicts["configure"] == "failed (1)"
    machine.program("cmake", "#!/bin/sh\nexit 0\n")
    assert machine.run("build") == 0 and machine.verdicts == {"configure": "passed", "build": "passed"}
    assert machine.run("bench") == 0 and len(machine.verdicts) == 4


def a_missed_gate_is_counted(machine):
    machine.program("gaze_bench", BENCH.replace("0.9 | pass", "0.2 | **miss**") + "exit 1\n", machine.folder / "build/gpu/tests/bench")
    assert machine.run("bench") == 1 and machine.verdicts["bench kernels"] == "failed (1): gates missed: 1", machine.summary


def without_a_gpu_it_builds_and_says_so(machine):
    machine.program("nvidia-smi", "#!/bin/sh\nexit 1\n")
    assert machine.run() == 1
    assert machine.verdicts == {"configure": "passed", "build": "passed", "tests": "did not run: no GPU", "sanitizer": "did not run: no GPU",
                                "bench": "did not run: no GPU"}, machine.summary


def what_is_missing_for_a_build_is_named(machine):
    (machine.programs / "nvcc").unlink()
    assert machine.run("build") == 1
    assert machine.verdicts == {"build": "did not run: missing nvcc. ./get.sh installs all but nvcc, which CUDA's toolkit brings"}, machine.summary


for case in (everything_can_pass, a_failed_test_fails_no_tool, a_skipped_case_is_named_and_fails, a_failure_beside_a_skip_stays_one,
             a_tool_that_finds_something_fails, a_machine_that_refuses_the_sanitizer_fails_nothing, a_limit_is_said_and_is_one_step_s,
             steps_of_later_calls_add_to_the_report, what_is_missing_for_a_build_is_named, a_missed_gate_is_counted, without_a_gpu_it_builds_and_says_so):
    with tempfile.TemporaryDirectory() as folder:
        case(Machine(folder, limit=3 if case is a_limit_is_said_and_is_one_step_s else 540))
    print(f"{case.__name__}: passed")
