# SPDX-License-Identifier: MIT
"""What is known of models of Hugging Face's transformers: which attention looks at what, where a picture's keys lie, and inputs to try a model with.

Told by the model's config, so that transformers itself need not be imported here.
"""
import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

import torch

from .errors import InputError
from .native import Site

_SPEECH = {"whisper"}
_BEHIND_CROSS_ATTENTION = {"blip"}
_BEHIND_LATENTS = {"blip-2"}
_ONE_GRID_IN_PROMPT = {"llava", "paligemma", "gemma3", "vipllava"}
_GRID_OF_EACH_INPUT = {"qwen2_vl", "qwen2_5_vl"}
_CROPPED = {"llava", "vipllava"}  # their image processors resize the shorter side and crop the centre


@dataclass
class Knowledge:
    """A profile without its sites' names, or why there is none."""
    profile: dict[str, Any] | None
    wanted: Callable[[Site], bool] = lambda site: True  # which sites look at the medium
    through: Callable[[Site], bool] | None = None
    reason: str = ""
    is_no_step: Callable[[Mapping[str, Any]], bool] = lambda inputs: False  # a call of the model that makes no token
    ids_in_steps: bool = False  # the first step is given the prompt's ids, which say more
    placeholder: int | None = None  # id that stands in the prompt once for every key of the picture
    geometry_of_inputs: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda inputs: {}
    notes: list[str] = field(default_factory=list)


def model_type(model: torch.nn.Module) -> str | None:
    """As the config says it; None of a model that is not transformers'."""
    return getattr(getattr(model, "config", None), "model_type", None)


def knowledge_of(model: torch.nn.Module, processor: Any = None) -> Knowledge:
    """What to capture of a model, told by its config; a processor says more exactly how its inputs are made."""
    config, kind = model.config, model_type(model)
    if kind in _SPEECH:
        return _speech(config, processor)
    if kind in _BEHIND_CROSS_ATTENTION and hasattr(model, "text_decoder"):
        return _behind_cross_attention(config)
    if kind in _BEHIND_LATENTS:
        return _behind_latents(config)
    if kind in _ONE_GRID_IN_PROMPT:
        return _one_grid_in_prompt(config, processor)
    if kind in _GRID_OF_EACH_INPUT:
        return _grid_of_each_input(config)
    if getattr(config, "vision_config", None) is not None or getattr(config, "audio_config", None) is not None:
        return Knowledge(None, reason=f"where the keys of a picture or sound lie is not known for the model type '{kind}'")
    if getattr(config, "image_size", None) is not None and getattr(config, "patch_size", None) is not None:
        return Knowledge(None, reason=f"a model of the type '{kind}' makes no words of a picture")
    if getattr(config, "is_encoder_decoder", False):
        return Knowledge(_profile(kind, text={}), _is_decoders_cross)
    return Knowledge(_profile(kind, text={}), lambda site: site.in_step and site.relation != "cross", ids_in_steps=True)


def _profile(kind: str | None, **fields: Any) -> dict[str, Any]:
    return {"gaze_profile": 1, "name": kind or "unnamed", **fields}


def _is_decoders_cross(site: Site) -> bool:
    return site.in_step and site.relation == "cross"


def _is_language_self(site: Site) -> bool:
    return site.in_step and site.relation == "self" and not any(part in site.name for part in ("vision", "visual", "qformer", "image"))


def _language_self(config: Any) -> tuple[Callable[[Site], bool], list[str]]:
    """The decoder's self-attention; of one whose layers take turns with windows, which lose the picture, the others alone."""
    layers = getattr(config.text_config, "layer_types", None) or []
    if len(set(layers)) < 2 or "full_attention" not in layers:
        return _is_language_self, []
    whole = {number for number, kind in enumerate(layers) if kind == "full_attention"}

    def wanted(site: Site) -> bool:
        number = re.search(r"\.layers\.(\d+)\.", site.name)
        return _is_language_self(site) and number is not None and int(number[1]) in whole

    return wanted, ["layers whose attention has a window are left out, for it loses the picture"]


def _speech(config: Any, processor: Any) -> Knowledge:
    extractor = getattr(processor, "feature_extractor", processor)
    hop, rate = getattr(extractor, "hop_length", 160), getattr(extractor, "sampling_rate", 16000)
    keys = config.max_source_positions
    # The second convolution of the encoder halves the frames.
    geometry = {"kind": "time", "time": {"keys": keys, "seconds_per_key": 2 * hop / rate}}
    notes = [] if processor is not None else ["the hop is that of WhisperFeatureExtractor: 160 samples at 16000 Hz"]
    return Knowledge(_profile(config.model_type, geometry=geometry), _is_decoders_cross, is_no_step=_detects_language, notes=notes)


def _detects_language(inputs: Mapping[str, Any]) -> bool:
    """Whisper's generate does so first, where it is told none: the sound and one token, without a cache."""
    return inputs.get("input_features") is not None and inputs.get("use_cache") is False


def _sides(vision: Any) -> tuple[int, int, int, int]:
    """Rows, columns, and the input's height and width."""
    def pair(value: Any) -> tuple[int, int]:
        return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))

    (height, width), (patch_height, patch_width) = pair(vision.image_size), pair(vision.patch_size)
    return height // patch_height, width // patch_width, height, width


def _behind_cross_attention(config: Any) -> Knowledge:
    rows, cols, height, width = _sides(config.vision_config)
    geometry = {"kind": "grid", "rows": rows, "cols": cols, "leading": 1, "fit": "resize", "input_width": width, "input_height": height}
    return Knowledge(_profile(config.model_type, geometry=geometry), lambda site: site.in_step and site.relation == "cross")


def _behind_latents(config: Any) -> Knowledge:
    rows, cols, height, width = _sides(config.vision_config)
    # The class token is a key of the Q-Former; the processor puts its latents before the text.
    geometry = {"kind": "grid", "rows": rows, "cols": cols, "leading": 1, "fit": "resize", "input_width": width, "input_height": height,
                "spans": [{"first_key": 0, "keys": config.num_query_tokens}]}
    encoder_decoder = getattr(config.text_config, "is_encoder_decoder", False)
    wanted = _is_decoders_cross if encoder_decoder else _is_language_self
    return Knowledge(_profile(config.model_type, geometry=geometry), wanted, lambda site: "qformer" in site.name and site.relation == "cross",
                     notes=["the latents are taken to stand first in the prompt, as the processor puts them"])


def _image_token(config: Any) -> int | None:
    for name in ("image_token_id", "image_token_index"):
        if getattr(config, name, None) is not None:
            return int(getattr(config, name))
    return None


def _one_grid_in_prompt(config: Any, processor: Any) -> Knowledge:
    rows, cols, height, width = _sides(config.vision_config)
    if config.model_type == "gemma3":
        side = round(config.mm_tokens_per_image ** 0.5)
        rows, cols = side, side
    geometry = {"kind": "grid", "rows": rows, "cols": cols, "input_width": width, "input_height": height, **_fit(config, processor)}
    if getattr(config, "vision_feature_select_strategy", "default") == "full":
        geometry["leading"] = 1
    placeholder = _image_token(config)
    if placeholder is None:
        return Knowledge(None, reason=f"the config of '{config.model_type}' names no image_token_id")
    wanted, notes = _language_self(config)
    return Knowledge(_profile(config.model_type, geometry=geometry), wanted, ids_in_steps=True, placeholder=placeholder, notes=notes)


def _fit(config: Any, processor: Any) -> dict[str, Any]:
    """How the picture became the model's input."""
    images = getattr(processor, "image_processor", None)
    if images is None:
        return {"fit": "centre_crop" if config.model_type in _CROPPED else "resize"}
    if getattr(images, "do_pad", False):
        return {"fit": "letterbox"}
    if not getattr(images, "do_center_crop", False):
        return {"fit": "resize"}
    shorter = (getattr(images, "size", None) or {}).get("shortest_edge")
    return {"fit": "centre_crop", **({"resize_shorter": shorter} if shorter else {})}


def _grid_of_each_input(config: Any) -> Knowledge:
    vision = config.vision_config
    merge, patch = vision.spatial_merge_size, vision.patch_size

    placeholder = _image_token(config)

    def geometry_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
        sizes = inputs.get("image_grid_thw")
        rows, cols = _grid_by_positions(inputs, placeholder) if sizes is None else _grid_by_sizes(sizes, merge)
        side = merge * patch
        return {"kind": "grid", "rows": rows, "cols": cols, "fit": "resize", "input_width": cols * side, "input_height": rows * side}

    # Rows and columns are those of each request's input.
    profile = _profile(config.model_type, geometry={"kind": "grid", "patch": patch, "merge": merge, "fit": "resize"})
    return Knowledge(profile, _is_language_self, ids_in_steps=True, placeholder=placeholder, geometry_of_inputs=geometry_of)


def _grid_by_sizes(grid_thw: Any, merge: int) -> tuple[int, int]:
    grids = {tuple(grid) for grid in torch.as_tensor(grid_thw).reshape(-1, 3).tolist()}
    if len(grids) != 1 or next(iter(grids))[0] != 1:
        raise InputError(f"image_grid_thw: expected one picture, or several of one size, got {sorted(grids)}")
    _, rows, cols = next(iter(grids))
    return rows // merge, cols // merge


def _grid_by_positions(inputs: Mapping[str, Any], placeholder: int | None) -> tuple[int, int]:
    """Generate reads the picture before the first step, which then knows a grid by the rows and columns among its positions alone."""
    positions, ids = inputs.get("position_ids"), inputs.get("input_ids")
    if positions is None or ids is None or placeholder is None or positions.dim() != 3:
        raise InputError("request: expected image_grid_thw, which says how many rows and columns the picture has, got none: give the request its "
                         "inputs")
    spans = spans_of(ids[0].tolist(), placeholder)
    if not spans:
        return 0, 0
    place = slice(spans[0]["first_key"], spans[0]["first_key"] + spans[0]["keys"])
    rows, cols = (int(axis.max() - axis.min()) + 1 for axis in (positions[-2, 0, place], positions[-1, 0, place]))
    if rows * cols != spans[0]["keys"]:
        raise InputError(f"request: expected rows and columns of a picture of {spans[0]['keys']} keys, got {rows} x {cols}: give the request its "
                         "inputs")
    return rows, cols


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


def profile_with_sites(known: Knowledge, sites: Sequence[Site]) -> dict[str, Any] | None:
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


def vocabulary_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="gaze-vocabulary-")


def end_id(model: torch.nn.Module) -> int | None:
    """The id that ends an answer, where there is one alone."""
    for config in (getattr(model, "generation_config", None), getattr(model, "config", None)):
        end = getattr(config, "eos_token_id", None)
        if isinstance(end, (list, tuple)) and len(end) == 1:
            end = end[0]
        if isinstance(end, int):
            return end
    return None


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
        added = getattr(tokenizer, "get_added_tokens_decoder", dict)()
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

def try_out(model: torch.nn.Module) -> Callable[[], Any]:
    """A run of two tokens on made-up inputs, as the model's own generate drives it."""
    inputs = _made_up_inputs(model)
    if hasattr(model, "generate") and (not hasattr(model, "can_generate") or model.can_generate() or model_type(model) == "blip"):
        return lambda: model.generate(**inputs, max_new_tokens=2, min_new_tokens=2, do_sample=False, num_beams=1)
    return lambda: model(**inputs)


def _made_up_inputs(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    config, kind = model.config, model_type(model)
    parameter = next(model.parameters())
    device, dtype = parameter.device, parameter.dtype
    pictures = getattr(config, "vision_config", None)
    if kind in _SPEECH:
        return {"input_features": torch.zeros(1, config.num_mel_bins, 2 * config.max_source_positions, device=device, dtype=dtype)}
    if kind in _GRID_OF_EACH_INPUT:
        merge, token = pictures.spatial_merge_size, _image_token(config)
        depth = getattr(pictures, "in_channels", 3) * pictures.temporal_patch_size * pictures.patch_size ** 2
        ids = [*_plain_ids(config, 1), config.vision_start_token_id, token, token, config.vision_end_token_id, *_plain_ids(config, 2)]
        ids_bt = torch.tensor([ids], device=device)
        return {"input_ids": ids_bt, "attention_mask": torch.ones_like(ids_bt), "mm_token_type_ids": (ids_bt == token).int(),
                "image_grid_thw": torch.tensor([[1, merge, 2 * merge]], device=device),
                "pixel_values": torch.zeros(2 * merge ** 2, depth, device=device, dtype=dtype)}
    if pictures is not None:
        rows, cols, height, width = _sides(pictures)
        pixels = torch.zeros(1, getattr(pictures, "num_channels", 3), height, width, device=device, dtype=dtype)
        if kind in _BEHIND_CROSS_ATTENTION:
            return {"pixel_values": pixels}
        if kind in _BEHIND_LATENTS:
            keys = config.num_query_tokens
        elif kind == "gemma3":
            keys = config.mm_tokens_per_image
        else:
            keys = rows * cols + (1 if getattr(config, "vision_feature_select_strategy", "default") == "full" else 0)
        ids_bt = torch.tensor([[_image_token(config)] * keys + _plain_ids(config, 2)], device=device)
        inputs = {"input_ids": ids_bt, "attention_mask": torch.ones_like(ids_bt), "pixel_values": pixels}
        if kind in ("gemma3", "paligemma"):
            inputs["token_type_ids"] = (ids_bt == _image_token(config)).long()
        return inputs
    ids_bt = torch.tensor([_plain_ids(config, 3)], device=device)
    return {"input_ids": ids_bt, "attention_mask": torch.ones_like(ids_bt)}


def _plain_ids(config: Any, count: int) -> list[int]:
    """Ids that are nothing special."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    special = set()
    for holder in (config, text):
        for name, value in vars(holder).items():
            if name.endswith(("token_id", "token_index")):
                special.update(value if isinstance(value, (list, tuple)) else [value])
    plain = [each for each in range(min(text.vocab_size, 64)) if each not in special]
    return (plain * count)[:count]


def profile_text(profile: Mapping[str, Any]) -> str:
    return json.dumps(profile, indent=1)
