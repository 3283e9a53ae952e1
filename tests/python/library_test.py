# SPDX-License-Identifier: MIT
"""Loading the library: what is wrong is said in one sentence, and with capture off nothing is loaded."""
import os
import shutil
import subprocess
import sys
import unittest

import support

support.need_library()

LIBRARY = os.environ["GAZE_LIBRARY"]
ATTACH = "import sys; sys.path.insert(0, sys.argv[1]); import torch, gaze\nmodel = torch.nn.MultiheadAttention(8, 2).eval()\n"
PROFILE = '{"gaze_profile": 1, "sites": {"match": ["*"]}, "text": {}}'


class Library(support.Case):
    def run_python(self, code: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", ATTACH + code, str(support.SOURCE / "hooks" / "python")], capture_output=True, text=True,
                              env=os.environ | {"GAZE_LIBRARY": LIBRARY, "GAZE_OUT_DIR": self.out_dir} | environment)

    def says(self, code: str, *words: str, **environment: str) -> None:
        done = self.run_python(f"try:\n    {code}\nexcept ImportError as problem:\n    assert isinstance(problem, gaze.Error)\n    print(problem)\n",
                               **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 1, done.stdout)
        for word in words:
            self.assertIn(word, done.stdout)

    def test_off_loads_nothing_and_hooks_nothing(self) -> None:
        code = f"""
g = gaze.attach(model, {PROFILE}, capture=sys.argv[-1] == "on")
assert not g.enabled and not model._forward_pre_hooks
with g.request() as r: model(*[torch.randn(3, 1, 8)] * 3)
assert r.answer is None and "libgaze" not in open("/proc/self/maps").read()
print("inert")
"""
        for environment in ({}, {"GAZE_CAPTURE": "0"}, {"GAZE_CAPTURE": "1", "GAZE_DISABLED": "1"}, {"GAZE_CAPTURE": "maybe"}):
            done = self.run_python(code.replace('sys.argv[-1] == "on"', str(environment != {})), **environment)
            self.assertEqual((done.returncode, done.stdout), (0, "inert\n"), done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), int(environment == {"GAZE_CAPTURE": "maybe"}), done.stderr)

    def test_the_environment_turns_it_on(self) -> None:
        done = self.run_python(f"print(gaze.attach(model, {PROFILE}, capture=False).enabled)", GAZE_CAPTURE="yes")
        self.assertEqual(done.stdout, "True\n", done.stderr)

    def test_another_torch(self) -> None:
        self.says(f"torch.__version__ = '2.9.1+cpu'; gaze.attach(model, {PROFILE}, capture=True)", "was built for torch 2.", "2.9.1",
                  "build Gaze again")

    def test_a_local_version_is_the_same_torch(self) -> None:
        done = self.run_python("torch.__version__ = torch.__version__.split('+')[0] + '+mine'\n"
                               f"print(gaze.attach(model, {PROFILE}, capture=True).enabled)")
        self.assertEqual(done.stdout, "True\n", done.stderr)

    def test_no_library(self) -> None:
        self.says(f"gaze.attach(model, {PROFILE}, capture=True)", "libgaze_python.so", "/nowhere.so", GAZE_LIBRARY="/nowhere.so")
        self.says(f"gaze.attach(model, {PROFILE}, capture=True)", "libgaze_python.so", "GAZE_LIBRARY", GAZE_LIBRARY="")

    def test_no_operators(self) -> None:
        self.says("gaze.load_ops()", "libgaze_observe.so", "cannot be loaded", GAZE_LIBRARY="/nowhere.so")
        done = self.run_python("gaze.load_ops()\ngaze.load_ops()\nprint(torch.ops.gaze.observe_weights(torch.ones(1, 2), 'a', False))")
        self.assertEqual(done.stdout, "None\n", done.stderr)

    def test_a_file_that_is_no_library(self) -> None:
        file = os.path.join(self.out_dir, "libgaze_python.so")
        with open(file, "w") as out:
            out.write("not a library")
        self.says(f"gaze.attach(model, {PROFILE}, capture=True)", file, "cannot be loaded", GAZE_LIBRARY=file)

    def test_two_libraries_in_one_process(self) -> None:
        other = os.path.join(self.out_dir, "libgaze_python.so")
        shutil.copy(LIBRARY, other)
        self.says(f"gaze.attach(model, {PROFILE}, capture=True).shutdown(); import os; os.environ['GAZE_LIBRARY'] = {other!r}; "
                  f"gaze.attach(model, {PROFILE}, capture=True)", "has loaded", other)
        self.says(f"torch.classes.load_library({LIBRARY!r}); gaze.attach(model, {PROFILE}, capture=True)", "Another copy", other, GAZE_LIBRARY=other)


if __name__ == "__main__":
    unittest.main(verbosity=2)
