"""TorchScript files that hold no folder of the machine that wrote them."""
import re
from contextlib import contextmanager
from pathlib import Path
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


def leave_out_sources(file: Path) -> None:
    """Takes the places in sources out of a TorchScript file: traced ones hold whole paths, whatever `portable_sources` says."""
    reader = torch._C.PyTorchFileReader(str(file))
    written_anew = (".data/serialization_id", "version", ".data/version")
    records = {name: reader.get_record(name) for name in reader.get_all_records() if name not in written_anew and not name.endswith(".debug_pkl")}
    version = int(reader.get_record(next(name for name in ("version", ".data/version") if reader.has_record(name))))
    writer = torch._C.PyTorchFileWriter(str(file))
    writer.set_min_version(version)
    for name, record in records.items():
        writer.write_record(name, record, len(record))
    writer.write_end_of_file()
