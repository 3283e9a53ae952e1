# SPDX-License-Identifier: MIT
"""Pictures cut into tiles, with a thumbnail behind them, in the decoder's own row: InternVL, Idefics3, SmolVLM."""
from __future__ import annotations

from typing import Any, Sequence

import torch

from ..errors import InputError
from .knowledge import (Family, Knowledge, Model, Place, Prompts, check_picture, image_token, is_language_self, pair, pixels, plain_ids, profile,
                        prompt_inputs, sides, spans_of)


def _grid(side: int, tile: int) -> dict[str, Any]:
    return {"kind": "grid", "rows": side, "cols": side, "fit": "resize", "input_width": tile, "input_height": tile}


def _tiles(side: int, tile: int, rows: int, cols: int, between: dict[str, int], thumbnail: dict[str, int]) -> dict[str, Any]:
    return {"kind": "tiles", "rows": side, "cols": side, "fit": "resize", "input_width": cols * tile, "input_height": rows * tile,
            "tiles": {"rows": rows, "cols": cols, **between}, "thumbnail": {"rows": side, "cols": side, "at": "last", **thumbnail}}


# ---- InternVL: nothing stands between the tiles

def _arrangement(size: tuple[int, int], tile: tuple[int, int], least: int, most: int) -> tuple[int, int]:
    """Rows and columns of the tiles whose proportions are the picture's best; of two as good, more tiles while they are not too many for it."""
    height, width = size
    found, distance = (1, 1), float("inf")
    every = [(rows, cols) for cols in range(1, most + 1) for rows in range(1, most + 1) if least <= rows * cols <= most]
    for rows, cols in sorted(every, key=lambda each: each[0] * each[1]):
        off = abs(width / height - cols / rows)
        if off < distance or (off == distance and height * width > 0.5 * tile[0] * tile[1] * rows * cols):
            found, distance = (rows, cols), off
    return found


def _internvl_side(config: Any) -> int:
    return int(round(sides(config.vision_config)[0] * config.downsample_ratio))


def _internvl(model: Model, processor: Any) -> Knowledge:
    config = model.config
    placeholder, side, images = image_token(config), _internvl_side(config), getattr(processor, "image_processor", None)
    tile = pair(config.vision_config.image_size)
    least, most = getattr(images, "min_patches", 1), getattr(images, "max_patches", 12)

    def geometry_of(keys: int, size: tuple[int, int] | None) -> dict[str, Any]:
        grids = keys // side ** 2
        if keys != grids * side ** 2:
            raise InputError(f"request: expected a multiple of {side ** 2} placeholders of a picture, got {keys}")
        if grids == 1:
            return _grid(side, tile[0])
        if size is None:
            raise InputError(f"request: expected the picture, by whose proportions {grids - 1} tiles are laid out, got none")
        rows, cols = _arrangement(size, tile, least, most)
        if rows * cols != grids - 1:
            raise InputError(f"request: expected {rows} x {cols} tiles and a thumbnail of a picture of {size[1]} x {size[0]}, got "
                             f"{grids - 1} and one: is it the picture that the processor was given? Where that has limits of its own, attach with it")
        return _tiles(side, tile[0], rows, cols, {}, {})

    def places(prompts: Prompts) -> list[Place]:
        found = []
        for row, ids in enumerate(prompts.ids):
            spans = spans_of(ids, placeholder)
            check_picture(spans, prompts.picture, placeholder)
            found.append(Place(spans, geometry_of(spans[prompts.picture]["keys"], prompts.sizes[row])))
        return found

    notes = [] if images is not None else [f"tiles are laid out as GotOcr2ImageProcessor does with {least} to {most} of them"]
    made = profile(config.model_type, geometry=_grid(side, tile[0]))
    return Knowledge(made, is_language_self, ids_in_steps=True, places=places, needs_picture=True, notes=notes)


def _internvl_inputs(model: Model) -> dict[str, torch.Tensor]:
    config = model.config
    height, width = pair(config.vision_config.image_size)
    ids = plain_ids(config, 1) + [image_token(config)] * _internvl_side(config) ** 2 + plain_ids(config, 2)
    return {**prompt_inputs(model, ids), "pixel_values": pixels(model, 1, getattr(config.vision_config, "num_channels", 3), height, width)}


# ---- Idefics3 and SmolVLM: each tile stands behind a token that surrounds pictures and one that names its row and column

def _idefics3_side(config: Any) -> int:
    return sides(config.vision_config)[0] // int(config.scale_factor)


def _pictures(ids: Sequence[int], runs: list[dict[str, int]]) -> tuple[list[list[dict[str, int]]], int]:
    """The runs of each picture, and the token that surrounds pictures: it follows the last run, and stands once between two runs of one picture."""
    end = runs[-1]["first_key"] + runs[-1]["keys"]
    if end >= len(ids):
        raise InputError("request: expected the token that ends a picture behind its last placeholder, got the end of the prompt")
    around = ids[end]
    pictures = [[runs[0]]]
    for before, run in zip(runs, runs[1:]):
        between = list(ids[before["first_key"] + before["keys"]:run["first_key"]])
        if around not in between:
            raise InputError(f"request: expected the token {around}, which surrounds pictures, between any two runs of placeholders, got {between}")
        if between.count(around) == 1:
            pictures[-1].append(run)
        else:
            pictures.append([run])
    return pictures, around


def _split_picture(ids: Sequence[int], runs: list[dict[str, int]], around: int, side: int, tile: int) -> tuple[dict[str, int], dict[str, Any]]:
    """The span and the geometry of tiles and the thumbnail behind them, by what stands between their runs."""
    gaps = []  # tokens at the end of a row of tiles, and from the one that surrounds pictures on
    for before, run in zip(runs, runs[1:]):
        between = list(ids[before["first_key"] + before["keys"]:run["first_key"]])
        gaps.append((between.index(around), len(between) - between.index(around)))
    inside, last = gaps[:-1], gaps[-1]
    rows = [1]
    for ends, _ in inside:
        rows = [*rows, 1] if ends else [*rows[:-1], rows[-1] + 1]
    leading, row_end = {named for _, named in inside} or {last[1]}, {ends for ends, _ in inside if ends} or {0}
    if len(set(rows)) != 1 or len(leading) != 1 or len(row_end) != 1 or last[0] < 1:
        raise InputError(f"request: expected rows of as many tiles and a thumbnail behind them, got rows of {rows} tiles with {inside + [last]} "
                         "tokens between them")
    lead, end = leading.pop(), row_end.pop()
    first = runs[0]["first_key"] - lead
    if first < 0 or ids[first] != around or sum(last) < end:
        raise InputError(f"request: expected {lead} tokens before the first tile as before the others, got others")
    geometry = _tiles(side, tile, len(rows), rows[0], {"leading": lead, "row_end": end}, {"leading": sum(last) - end})
    return {"first_key": first, "keys": runs[-1]["first_key"] + runs[-1]["keys"] - first}, geometry


def _idefics3(model: Model, processor: Any) -> Knowledge:
    config = model.config
    placeholder, side, (tile, _) = image_token(config), _idefics3_side(config), pair(config.vision_config.image_size)

    def places(prompts: Prompts) -> list[Place]:
        found = []
        for ids in prompts.ids:
            runs = spans_of(ids, placeholder)
            check_picture(runs, 0, placeholder)
            wrong = next((run["keys"] for run in runs if run["keys"] != side ** 2), None)
            if wrong is not None:
                raise InputError(f"request: expected runs of {side ** 2} placeholders, one of each tile, got one of {wrong}")
            pictures, around = _pictures(ids, runs)
            made = [(each[0], _grid(side, tile)) if len(each) == 1 else _split_picture(ids, each, around, side, tile) for each in pictures]
            check_picture(made, prompts.picture, placeholder)
            found.append(Place([span for span, _ in made], made[prompts.picture][1]))
        return found

    return Knowledge(profile(config.model_type, geometry=_grid(side, tile)), is_language_self, ids_in_steps=True, places=places)


def _idefics3_inputs(model: Model) -> dict[str, torch.Tensor]:
    config = model.config
    height, width = pair(config.vision_config.image_size)
    ids = plain_ids(config, 1) + [image_token(config)] * _idefics3_side(config) ** 2 + plain_ids(config, 2)
    return {**prompt_inputs(model, ids), "pixel_values": pixels(model, 1, 1, getattr(config.vision_config, "num_channels", 3), height, width)}


FAMILIES = {"internvl": Family(_internvl, _internvl_inputs), "idefics3": Family(_idefics3, _idefics3_inputs),
            "smolvlm": Family(_idefics3, _idefics3_inputs)}
