# SPDX-License-Identifier: MIT
"""The one place that talks to the native library: Python's values become the lists and texts that its classes take."""
import json
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

import torch

from .errors import AttachError, InputError, ProfileError, RequestError


@dataclass
class Site:
    """An attention call of a step of the model."""
    name: str
    relation: str = "unknown"
    heads: int = 0
    kv_heads: int = 0
    head_size: int = 0
    in_step: bool = True


@dataclass
class Row:
    """What is known of one batch row when its request begins."""
    id: str
    prompt: str = ""
    prompt_tokens: int = 0
    capture: bool | None = None
    prompt_ids: Sequence[int] = ()
    image: torch.Tensor | None = None
    image_path: str = ""
    geometry: Mapping[str, Any] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def _text_of_site(site: Site) -> dict[str, str]:
    return {"name": site.name, "relation": site.relation, "heads": str(site.heads), "kv_heads": str(site.kv_heads),
            "head_size": str(site.head_size), "in_step": "1" if site.in_step else "0"}


def _text_of_row(row: Row) -> dict[str, str]:
    text = {"id": row.id, "prompt": row.prompt}
    if row.prompt_tokens:
        text["prompt_tokens"] = str(row.prompt_tokens)
    if row.capture is not None:
        text["capture"] = "1" if row.capture else "0"
    if row.image_path:
        text["image_path"] = row.image_path
    if row.geometry is not None:
        text["geometry"] = json.dumps(row.geometry)
    if row.prompt_ids:
        text["prompt_ids"] = " ".join(map(str, row.prompt_ids))
    text.update({f"attribute.{name}": str(value) for name, value in row.attributes.items()})
    return text


def capture(script_module: Any, sites: Sequence[Site], options: Mapping[str, str]) -> Any:
    """A torch.classes.gaze.Capture of a ScriptModule, or with None of what runs through the dispatcher."""
    try:
        return torch.classes.gaze.Capture(None if script_module is None else script_module._c, [_text_of_site(each) for each in sites], dict(options))
    except RuntimeError as problem:
        sentence = sentence_of(problem)
        raise (ProfileError if "profile" in sentence else AttachError)(sentence) from None


def control(native: Any, changes: Mapping[str, Any]) -> dict[str, str]:
    """Changes what decides which requests are captured; what decides now."""
    lines = []
    for name, value in changes.items():
        text = ("on" if value else "off") if isinstance(value, bool) else str(value)
        if "\n" in text or "\r" in text:
            raise InputError(f"control: expected {name} in one line, got {text!r}")
        lines.append(f"{name} = {text}")
    try:
        return dict(native.control("\n".join(lines)))
    except RuntimeError as problem:
        raise InputError(sentence_of(problem)) from None


def begin(native: Any, rows: Sequence[Row]) -> Any:
    """A torch.classes.gaze.Request of these rows."""
    empty = torch.empty(0, dtype=torch.uint8)
    try:
        return native.begin([_text_of_row(row) for row in rows], [empty if row.image is None else row.image for row in rows])
    except RuntimeError as problem:
        raise RequestError(sentence_of(problem)) from None


def sentence_of(problem: Exception) -> str:
    """Gaze's sentence, without the stack that torch puts behind it."""
    lines = [line for line in str(problem).splitlines() if line.strip()]
    kept = []
    for line in lines:
        if line.startswith(("Exception raised from", "frame #", "C++ CapturedTraceback")):
            break
        kept.append(line)
    return " ".join(kept) or type(problem).__name__
