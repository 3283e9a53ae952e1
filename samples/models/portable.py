"""TorchScript files that hold no folder of the machine that wrote them."""
import re
from contextlib import contextmanager
from unittest import mock

import torch


@contextmanager
def portable_sources():
    """TorchScript files keep the path of every source line: here without the folders of the machine that wrote them."""
    found = torch._sources.get_source_lines_and_file

    def shortened(*arguments):
        lines, first, path = found(*arguments)
        return lines, first, path and re.sub(r".*/(site-packages|samples/models)/", "", path)

    with mock.patch("torch._sources.get_source_lines_and_file", shortened):
        yield
