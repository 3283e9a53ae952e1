# SPDX-License-Identifier: MIT
"""Where frozen files are read otherwise than plain ones, and why: the tables of docs/frozen.md."""
from dataclasses import dataclass

FILES = ("frozen", "optimised")
ALL = (*FILES, "frozen after loading")

# What a reason is called below: what differs, and why.
REASONS = {
    "calls": "Calls of one module are listed one by one: its weights are a constant, and equal constants may as well be two layers that were "
             "initialised alike, of which freezing keeps one.",
    "unused": "Modules that forward does not call are not listed: freezing leaves nothing of them.",
    "list": "The frozen file says more: the plain one appends queries and keys to a list before it takes them, which freezing resolves.",
    "towers": "What calls several modules without a numbered list is one tower in the plain file, by its names. Here those that do not add to one "
              "stream are apart.",
}


@dataclass(frozen=True)
class Known:
    models: str                # pattern of NAME.FORM.WAY
    variants: tuple[str, ...]
    fields: tuple[str, ...]
    reason: str


KNOWN: list[Known] = [
]
