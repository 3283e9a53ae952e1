#!/usr/bin/env python3
"""Exact answers and the pointing game on scenes never trained on: python3 evaluate.py [--reader NAME] [--scenes 500] [--seed N] [--json]"""
import argparse
import json
import math
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

import early_fusion
import model as m
import scenes as sc
from decoder import Attention

TEST_SEED = 9_000_000
TOLERANCE_PX = 48.0  # half a cell
MAX_NEW = 2 * sc.MAX_STICKERS + 1
HERE = Path(__file__).resolve().parent
READERS = {"stickers": m.StickerReader, "early_fusion": early_fusion.EarlyFusionReader}


def describe_answer(colours: list[int], digits: list[int]) -> list[str]:
    return [word for colour, digit in zip(colours, digits) for word in (sc.COLOURS[colour], sc.DIGITS[digit])]


def questions(pool: sc.Scenes, first_seed: int) -> list[tuple[str | None, list[str]]]:
    """Per scene (asked colour or None for describe, true answer). Even scenes describe; odd ones ask as colour_to_ask in scenes.cpp."""
    asked = []
    for i in range(len(pool.counts)):
        colours, digits = pool.colours(i), pool.digits(i)
        turn = (first_seed + i) // 2
        if i % 2 == 0:
            asked.append((None, describe_answer(colours, digits)))
        elif turn % 5 != 0:
            which = turn % len(colours)
            asked.append((sc.COLOURS[colours[which]], [sc.DIGITS[digits[which]]]))
        else:
            absent = [colour % len(sc.COLOURS) for colour in range(turn % 8, turn % 8 + 8) if colour % 8 not in colours]
            asked.append((sc.COLOURS[absent[0]], ["none"]))
    return asked


def full_prompt(model: nn.Module, prompt: list[int]) -> list[int]:
    return early_fusion.with_picture(prompt) if isinstance(model, early_fusion.EarlyFusionReader) else prompt


def picture_attention(model: nn.Module, image_bchw: Tensor, tokens_bt: Tensor) -> Tensor:
    """Weights on the picture [layers, B, heads, T, 60] of one teacher-forced pass, recomputed from what each attention was called with."""
    rows = []

    def note_cross(attention: Attention, inputs: tuple, _) -> None:
        x_bqd, k_bhkc = inputs[0], inputs[1]
        rows.append(torch.softmax(attention.split(attention.q(x_bqd)) @ k_bhkc.transpose(2, 3) * attention.scale, dim=-1))

    def note_self(attention: early_fusion.Attention, inputs: tuple, outputs: tuple) -> None:
        x_bqd, _, _, visible_qk = inputs
        k_bhkc = outputs[1].repeat_interleave(early_fusion.HEADS // early_fusion.KV_HEADS, 1)
        scores_bhqk = attention.split(attention.q(x_bqd)) @ k_bhkc.transpose(2, 3) * attention.head_width ** -0.5
        attn_bhqk = torch.softmax(scores_bhqk.masked_fill(~visible_qk, float("-inf")), dim=-1)
        rows.append(attn_bhqk[:, :, :, :early_fusion.CELLS])

    if isinstance(model, early_fusion.EarlyFusionReader):
        hooks = [layer.self_attn.register_forward_hook(note_self) for layer in model.decoder.layers]
    else:
        hooks = [layer.cross_attn.register_forward_hook(note_cross) for layer in model.decoder.layers]
    with torch.no_grad():
        model(image_bchw, tokens_bt)
    for hook in hooks:
        hook.remove()
    return torch.stack(rows)


def reductions(attn_lhtk: Tensor, per_head: bool) -> dict[str, Tensor]:
    """One request's answer rows [layers, heads, T, 60] -> name: maps [T, 60]."""
    share_lhtk = attn_lhtk / attn_lhtk.sum(-1, keepdim=True).clamp_min(1e-12)
    entropy_lht = -(share_lhtk * share_lhtk.clamp_min(1e-12).log()).sum(-1) / math.log(attn_lhtk.size(-1))
    focus_lht1 = (1 - entropy_lht).clamp_min(1e-6).unsqueeze(-1)
    weighted_ltk = (attn_lhtk * focus_lht1).sum(1) / focus_lht1.sum(1)
    maps = {
        "raw mean": attn_lhtk.mean((0, 1)),
        "late mean": attn_lhtk[1:].mean((0, 1)),
        "last layer": attn_lhtk[-1].mean(0),
        "max": attn_lhtk.amax((0, 1)),
        "weighted": weighted_ltk.mean(0),
        "weighted late": weighted_ltk[1:].mean(0),
        "weighted all": (attn_lhtk * focus_lht1).sum((0, 1)) / focus_lht1.sum((0, 1)),
    }
    for layer in range(attn_lhtk.size(0)):
        maps[f"layer {layer}"] = attn_lhtk[layer].mean(0)
    if per_head:
        for layer in range(attn_lhtk.size(0)):
            for head in range(attn_lhtk.size(1)):
                maps[f"layer {layer} head {head}"] = attn_lhtk[layer, head]
    for name in ("raw mean", "weighted", "weighted late", "weighted all"):
        map_tk = maps[name]
        maps[name + " - sink"] = (map_tk - map_tk.mean(0)).clamp_min(0) if map_tk.size(0) >= 4 else map_tk
    return maps


def hottest_px(map_k: Tensor) -> tuple[float, float]:
    grid_hw = map_k.reshape(m.ROWS, m.COLS).numpy()
    full_hw = cv2.resize(grid_hw, (sc.PHOTO_WIDTH, sc.PHOTO_HEIGHT), interpolation=cv2.INTER_LINEAR)
    y, x = np.unravel_index(int(full_hw.argmax()), full_hw.shape)
    return float(x), float(y)


def points_at(map_k: Tensor, polygon_px: np.ndarray) -> bool:
    return cv2.pointPolygonTest(polygon_px.astype(np.float32), hottest_px(map_k), True) >= -TOLERANCE_PX


def evaluate(model: nn.Module, composer: sc.Composer, count: int = 500, seed: int = TEST_SEED, per_head: bool = False) -> dict:
    model.eval()
    pool = composer.compose(seed, count, held_out=True)
    image_nchw = m.normalise(torch.from_numpy(pool.inputs_nhwc))
    asked = questions(pool, seed)
    exact = {"describe": [], "which": []}
    hits: dict[str, dict[str, list[bool]]] = {"digit": {}, "colour": {}, "which": {}}
    for kind in exact:
        scene_ids = [i for i in range(count) if (asked[i][0] is None) == (kind == "describe")]
        prompt_bt = torch.tensor([full_prompt(model, m.describe_prompt() if kind == "describe" else m.which_prompt(asked[i][0]))
                                  for i in scene_ids])
        with torch.no_grad():
            answer_bt = model.generate(image_nchw[scene_ids], prompt_bt, MAX_NEW)
        attn_lbhtk = picture_attention(model, image_nchw[scene_ids], torch.cat([prompt_bt, answer_bt], 1))
        for b, i in enumerate(scene_ids):
            words = [m.WORDS[token] for token in answer_bt[b].tolist() if token != m.PAD]
            exact[kind].append(words == asked[i][1] + ["<eos>"])
            first = prompt_bt.size(1) - 1  # the row that predicts the first answer word
            maps = reductions(attn_lbhtk[:, b, :, first:first + len(words)], per_head)
            polygon_of = dict(zip([sc.COLOURS[c] for c in pool.colours(i)], pool.polygons_px(i)))
            named = asked[i][0]
            for t, word in enumerate(words):
                if word in sc.COLOURS:
                    named, group = word, "colour"
                elif word in sc.DIGITS:
                    group = "digit" if kind == "describe" else "which"
                else:
                    continue
                for name, map_tk in maps.items():
                    hits[group].setdefault(name, []).append(named in polygon_of and points_at(map_tk[t], polygon_of[named]))
    mean = lambda values: round(float(np.mean(values)), 4) if values else None
    return {"scenes": count, "seed": seed, "exact": mean(exact["describe"] + exact["which"]),
            "exact_describe": mean(exact["describe"]), "exact_which": mean(exact["which"]),
            "words": {group: len(next(iter(names.values()), [])) for group, names in hits.items()},
            "pointing": {name: {group: mean(hits[group].get(name, [])) for group in hits} for name in hits["digit"]}}


def show(result: dict) -> str:
    lines = [f"{result['scenes']} scenes: exact {result['exact']:.1%} (describe {result['exact_describe']:.1%}, "
             f"which {result['exact_which']:.1%})"]
    for name, groups in result["pointing"].items():
        lines.append(f"  {name:22s}" + "  ".join(f"{group} {100 * (value or 0):5.1f}" for group, value in groups.items()))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=TEST_SEED)
    parser.add_argument("--reader", choices=READERS, default="stickers")
    parser.add_argument("--weights", type=Path, help="default: the reader's committed weights")
    parser.add_argument("--per-head", action="store_true", help="every head by itself too")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    model = READERS[arguments.reader]()
    weights = arguments.weights or HERE.parent / arguments.reader / f"{arguments.reader}_softmax.pt"
    model.load_state_dict(torch.jit.load(str(weights), map_location="cpu").state_dict())
    result = evaluate(model, sc.Composer(), arguments.scenes, arguments.seed, arguments.per_head)
    print(json.dumps(result, indent=1) if arguments.json else show(result))


if __name__ == "__main__":
    main()
