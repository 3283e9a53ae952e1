# SPDX-License-Identifier: MIT
"""A model of Hugging Face's transformers and its tokenizer: the profile that is made of it, texts of ids, and a run to try it with."""
from __future__ import annotations

import json
import os
import tempfile
from typing import Any, Callable, Mapping, Sequence

from . import families
from .errors import InputError
from .native import Site

def profile_with_sites(known: families.Knowledge, sites: Sequence[Site]) -> dict[str, Any] | None:
    """The profile with the names of the sites that a dry run found; None where it found none of the wanted."""
    wanted = [site.name for site in sites if known.wanted(site)]
    if known.profile is None or not wanted:
        return None
    profile = {**known.profile, "sites": {"match": wanted}}
    if known.through is not None:
        profile["through"] = {"match": [site.name for site in sites if known.through(site)]}
    return profile


def vocabulary_file(processor: Any, folder: str) -> str | None:
    """A file of the tokenizer that Gaze reads, written into `folder`; None where the tokenizer has none."""
    tokenizer = getattr(processor, "tokenizer", processor)
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "to_str"):
        return None
    path = os.path.join(folder, "tokenizer.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(backend.to_str())
    return path


def vocabulary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes when nothing refers to it any more."""
    return tempfile.TemporaryDirectory(prefix="gaze-vocabulary-")


def end_ids(model: families.Model) -> tuple[int, ...]:
    """The ids that end an answer."""
    for config in (getattr(model, "generation_config", None), getattr(model, "config", None)):
        end = getattr(config, "eos_token_id", None)
        ends = tuple(each for each in (end if isinstance(end, (list, tuple)) else [end]) if isinstance(each, int))
        if ends:
            return ends
    return ()


def end_id(model: families.Model) -> int | None:
    """The id that ends an answer, where there is one alone."""
    ends = end_ids(model)
    return ends[0] if len(ends) == 1 else None


def texts_of(ids: Sequence[int], tokenizer: Any) -> list[str]:
    """Each token's text as the tokenizer writes it; special ones in angle brackets.

    Takes a tokenizer of transformers or of tokenizers, a processor that holds one, a list or mapping from id to text, or a function of an id.
    """
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
    if isinstance(tokenizer, Mapping):
        return [str(tokenizer[each]) if each in tokenizer else f"#{each}" for each in ids]
    if isinstance(tokenizer, Sequence) and not isinstance(tokenizer, (str, bytes)):
        return [str(tokenizer[each]) if 0 <= each < len(tokenizer) else f"#{each}" for each in ids]
    if hasattr(tokenizer, "convert_ids_to_tokens"):
        texts, special = tokenizer.convert_ids_to_tokens(list(ids)), set(getattr(tokenizer, "all_special_ids", ()))
    elif hasattr(tokenizer, "id_to_token"):
        texts = [tokenizer.id_to_token(each) for each in ids]
        added: Mapping[int, Any] = getattr(tokenizer, "get_added_tokens_decoder", dict)()
        special = {each for each, token in added.items() if token.special}
    elif hasattr(tokenizer, "decode"):
        texts, special = [tokenizer.decode([each]) for each in ids], set()
    elif callable(tokenizer):
        texts, special = [tokenizer(each) for each in ids], set()
    else:
        raise InputError(f"tokens: expected a tokenizer, a processor, a list of texts or a function, got {type(tokenizer).__name__}.")
    return [_as_special(text) if each in special else _as_text(text, each) for each, text in zip(ids, texts)]


def _as_text(text: Any, each: int) -> str:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return f"#{each}" if text is None else str(text)


def _as_special(text: Any) -> str:
    text = str(text)
    return text if text.startswith("<") and text.endswith(">") else f"<{text}>"


# ---- inputs to find the sites with: the smallest that the model takes

def try_out(model: families.Model) -> Callable[[], Any]:
    """A run of two tokens on made-up inputs, as the model's own generate drives it."""
    inputs = families.made_up_inputs(model)
    if hasattr(model, "generate") and (not hasattr(model, "can_generate") or model.can_generate() or families.model_type(model) == "blip"):
        return lambda: model.generate(**inputs, max_new_tokens=2, min_new_tokens=2, do_sample=False, num_beams=1)
    return lambda: model(**inputs)


def profile_text(profile: Mapping[str, Any]) -> str:
    """A profile as the JSON that the library reads."""
    return json.dumps(profile, indent=1)
