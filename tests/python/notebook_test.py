# SPDX-License-Identifier: MIT
"""Runs the code cells of samples/python/attention.ipynb, and those of docs/python.md, each in one namespace; no Jupyter is needed."""
import ast
import json
import os
import re
import sys
import types
import unittest

import support

support.need_library()
support.need("PIL")

NOTEBOOK = support.SAMPLES / "python" / "attention.ipynb"
PAGE = support.SOURCE / "docs" / "python.md"


def stand_in_for_ipython() -> None:
    """`show` needs a class that takes HTML; where IPython is there it is IPython's."""
    try:
        import IPython.display  # noqa: F401
    except ImportError:
        display = types.ModuleType("IPython.display")
        display.HTML = type("HTML", (), {"__init__": lambda self, data: setattr(self, "data", data)})
        sys.modules["IPython"], sys.modules["IPython.display"] = types.ModuleType("IPython"), display


def run_cell(source: str, names: dict) -> object:
    """As Jupyter does: the value of the last expression is the cell's."""
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    return None if last is None else eval(compile(last, "<cell>", "eval"), names)


class Notebook(support.Case):
    def setUp(self) -> None:
        super().setUp()
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        stand_in_for_ipython()

    def test_the_notebook(self) -> None:
        notebook = json.loads(NOTEBOOK.read_text())
        self.assertEqual(notebook["nbformat"], 4)
        self.assertTrue(all(cell["cell_type"] in ("markdown", "code") and cell["id"] for cell in notebook["cells"]))
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
        self.assertTrue(all(not cell.get("outputs") for cell in notebook["cells"]), "outputs are not committed")
        os.chdir(NOTEBOOK.parent)
        names: dict = {}
        values = [run_cell(cell.replace('"overlays"', repr(self.out_dir)), names) for cell in cells]
        self.assertIn("yellow four cyan five purple seven orange two red zero", values)
        self.assertIn((10, 6, 10), values)
        shown = next(value for value in values if type(value).__name__ == "HTML")
        self.assertIn("<iframe srcdoc=", shown.data)

    def test_the_page(self) -> None:
        support.need("transformers")
        os.environ["GAZE_OUT_DIR"] = self.out_dir
        self.addCleanup(os.environ.pop, "GAZE_OUT_DIR")
        os.chdir(support.SOURCE)
        blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        self.assertGreaterEqual(len(blocks), 3)
        names: dict = {}
        for block in blocks:
            run_cell(block, names)
        self.assertTrue(self.bundles())


if __name__ == "__main__":
    unittest.main(verbosity=2)
