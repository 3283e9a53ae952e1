# SPDX-License-Identifier: MIT
"""Finds the bundles of one request in the folder that they appear in."""
import json
from pathlib import Path

from .answer import Answer
from .errors import BundleError

_MARK = "python_request"


def find_answers(out_dir: str, mark: str, ids: list[str]) -> list[Answer | None]:
    """The answers whose attributes hold `mark`, in the order of `ids`; None of one that left no bundle."""
    found: dict[str, list[Answer]] = {}
    # Names begin with the time: the newest are looked at first.
    folders = sorted((each for each in Path(out_dir).iterdir() if each.name[:1].isdigit()), reverse=True) if Path(out_dir).is_dir() else []
    left = len(ids)
    for folder in folders:
        if left == 0:
            break
        file = folder / "request.json"
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # of another writer, or removed meanwhile
        if (facts.get("attributes") or {}).get(_MARK) == mark:
            found.setdefault(facts["request_id"], []).append(Answer(folder))
            left -= 1
    answers: list[Answer | None] = []
    for each in ids:
        same = found.get(each)
        answers.append(same.pop(0) if same else None)
    if not any(answers):
        raise BundleError(f"Request '{ids[0]}' left no bundle in '{out_dir}': the log says why, and `stats` counts the reasons.")
    return answers
