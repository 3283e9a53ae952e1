# SPDX-License-Identifier: MIT
"""Finds the bundles of one request in the folder that they appear in."""
import json
import os
import time
from pathlib import Path

from .answer import Answer

MARK = "python_request"  # attribute by which a bundle is found again, whatever ids the host gives


def now() -> str:
    """As names of bundles begin. Empty where SOURCE_DATE_EPOCH holds the time."""
    return "" if os.environ.get("SOURCE_DATE_EPOCH") else time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def find_answers(out_dir: str, mark: str, ids: list[str], since: str) -> list[Answer | None]:
    """The answers whose attributes hold `mark`, in the order of `ids`; None of one that left no bundle. Older ones than `since` are not looked at."""
    found: dict[str, list[Answer]] = {}
    there = Path(out_dir).iterdir() if Path(out_dir).is_dir() else ()
    folders = sorted((each for each in there if each.name[:1].isdigit() and each.name >= since), reverse=True)
    left = len(ids)
    for folder in folders:
        if left == 0:
            break
        file = folder / "request.json"
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # of another writer, or removed meanwhile
        if (facts.get("attributes") or {}).get(MARK) == mark:
            found.setdefault(facts["request_id"], []).append(Answer(folder))
            left -= 1
    answers: list[Answer | None] = []
    for each in ids:
        same = found.get(each)
        answers.append(same.pop(0) if same else None)
    return answers
