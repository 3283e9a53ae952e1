# SPDX-License-Identifier: MIT
"""What a family says of a model: which attention looks at the medium, and where a request's picture lies among the keys."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

import torch

from ..errors import InputError, ProfileError
from ..native import Site

Model = Any  # a torch.nn.Module of transformers, which has a config


@dataclass
class Prompts:
    """What a batch's requests and its first inputs say."""
    ids: list[list[int]]
    inputs: Mapping[str, Any]
    sizes: list[tuple[int, int] | None]  # height and width of each request's own picture
    picture: int = 0  # which of a prompt's pictures that one is


@dataclass
class Place:
    """Where one request's picture lies among the keys."""
    spans: list[dict[str, int]]  # of all pictures of the prompt
    geometry: dict[str, Any] = field(default_factory=dict)  # of the chosen one, beside what the profile says of all; None takes a field away
    seen: tuple[float, float] | None = None  # what the input holds, as parts of the picture's height and width: above 1 it was padded, below cut


@dataclass
class Knowledge:
    """A profile without its sites' names, or why there is none."""
    profile: dict[str, Any] | None
    wanted: Callable[[Site], bool] = lambda site: True  # which sites look at the medium
    through: Callable[[Site], bool] | None = None
    reason: str = ""
    is_no_step: Callable[[Mapping[str, Any]], bool] = lambda inputs: False  # a call of the model that makes no token
    ids_in_steps: bool = False  # the first step is given the prompt's ids, which say more
    places: Callable[[Prompts], list[Place]] | None = None  # None: the profile says all of the picture
    needs_picture: bool = False  # keys depend on the picture's size
    notes: list[str] = field(default_factory=list)


@dataclass
class Family:
    """Of one or several model types."""
    knowledge: Callable[[Model, Any], Knowledge]  # of a model and its processor, or None
    inputs: Callable[[Model], dict[str, torch.Tensor]]  # the smallest that the model takes


def profile(kind: str | None, **fields: Any) -> dict[str, Any]:
    """A profile of these fields, without sites."""
    return {"gaze_profile": 1, "name": kind or "unnamed", **fields}


# ---- which attention

def is_decoders_cross(site: Site) -> bool:
    """Whether a site is a decoder's that looks at what an encoder made."""
    return site.in_step and site.relation == "cross"


def is_language_self(site: Site) -> bool:
    """Whether a site is the language model's own, by its name."""
    tower = ("vision", "visual", "qformer", "image", "resampler", "audio")
    return site.in_step and site.relation == "self" and not any(part in site.name for part in tower)


def language_self(config: Any) -> tuple[Callable[[Site], bool], list[str]]:
    """The decoder's self-attention; of one whose layers take turns with windows, which lose the picture, the others alone."""
    layers = getattr(config.text_config, "layer_types", None) or []
    if len(set(layers)) < 2 or "full_attention" not in layers:
        return is_language_self, []
    whole = {number for number, kind in enumerate(layers) if kind == "full_attention"}

    def wanted(site: Site) -> bool:
        number = re.search(r"\.layers\.(\d+)\.", site.name)
        return is_language_self(site) and number is not None and int(number[1]) in whole

    return wanted, ["layers whose attention has a window are left out, for it loses the picture"]


# ---- sizes

def pair(value: Any) -> tuple[int, int]:
    """Height and width of a size that may be one number."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def sides(vision: Any) -> tuple[int, int, int, int]:
    """Rows, columns, and the input's height and width."""
    (height, width), (patch_height, patch_width) = pair(vision.image_size), pair(vision.patch_size)
    return height // patch_height, width // patch_width, height, width


def number_list(values: Any) -> list[list[int]]:
    """Rows of whole numbers, whatever they come as."""
    return torch.as_tensor(values).reshape(-1, torch.as_tensor(values).shape[-1]).tolist()


# ---- the prompt's ids

def image_token(config: Any) -> int:
    """The id that stands in the prompt for keys of a picture."""
    for name in ("image_token_id", "image_token_index"):
        if getattr(config, name, None) is not None:
            return int(getattr(config, name))
    raise ProfileError(f"attach: expected a profile, for the config of '{config.model_type}' names no image_token_id.")


def spans_of(ids: Sequence[int], placeholder: int) -> list[dict[str, int]]:
    """The runs of the placeholder in a prompt."""
    spans: list[dict[str, int]] = []
    for place, each in enumerate(ids):
        if each != placeholder:
            continue
        if spans and spans[-1]["first_key"] + spans[-1]["keys"] == place:
            spans[-1]["keys"] += 1
        else:
            spans.append({"first_key": place, "keys": 1})
    return spans


def spans_of_pictures(ids: Sequence[int], placeholder: int, keys_of_picture: int) -> list[dict[str, int]]:
    """The same where pictures may stand side by side: a run of twice the keys is two of them."""
    spans = []
    for span in spans_of(ids, placeholder):
        pieces = max(1, span["keys"] // keys_of_picture) if keys_of_picture and span["keys"] % keys_of_picture == 0 else 1
        spans += [{"first_key": span["first_key"] + piece * (span["keys"] // pieces), "keys": span["keys"] // pieces} for piece in range(pieces)]
    return spans


def check_picture(spans: Sequence[Any], picture: int, placeholder: int) -> None:
    """Raises InputError unless the prompt holds the wanted picture."""
    if not spans:
        raise InputError(f"request: expected the picture's placeholder {placeholder} in the prompt's ids, found none")
    if not 0 <= picture < len(spans):
        raise InputError(f"request: expected picture to be one of the prompt's {len(spans)}, from 0, got {picture}")


def plain_ids(config: Any, count: int) -> list[int]:
    """Ids that are nothing special."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    special: set[Any] = set()
    for holder in (config, text):
        for name, value in vars(holder).items():
            if name.endswith(("token_id", "token_index")):
                special.update(value if isinstance(value, (list, tuple)) else [value])
    plain = [each for each in range(min(text.vocab_size, 64)) if each not in special]
    return (plain * count)[:count]


def prompt_inputs(model: Model, ids: list[int]) -> dict[str, torch.Tensor]:
    """One prompt of these ids, all of them visible."""
    ids_bt = torch.tensor([ids], device=next(model.parameters()).device)
    return {"input_ids": ids_bt, "attention_mask": torch.ones_like(ids_bt)}


def pixels(model: Model, *shape: int) -> torch.Tensor:
    """Grey, and not quite black: a picture of zeros counts as none in some families."""
    parameter = next(model.parameters())
    return torch.full(shape, 0.5, device=parameter.device, dtype=parameter.dtype)
