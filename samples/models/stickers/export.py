#!/usr/bin/env python3
"""Writes a reader's two TorchScript files and vocab.json and profile.json: python3 export.py [--reader NAME] [--checkpoint FILE] [--out DIR]"""
import argparse
import json
from pathlib import Path

import torch
from torch import nn

import early_fusion
import evaluate
import model as m
import scenes as sc
from portable import portable_sources

IMAGE = {"layout": "bchw", "mean": m.MEAN, "std": m.STD, "width": sc.WIDTH, "height": sc.HEIGHT}
GRID = {"kind": "grid", "rows": m.ROWS, "cols": m.COLS, "leading": 0, "fit": "resize"}
TOKENS = {"vocabulary": "vocab.json", "eos": m.EOS}
PROFILES = {
    "stickers": {
        "gaze_profile": 1,
        "name": "stickers",
        "sites": {"match": ["decoder.layers.*.cross_attn"]},
        "heads": {"reduce": "weighted"},
        "image": {"argument": {"forward": 0, "encode": 0, "generate": 0}, **IMAGE},
        "geometry": GRID,
        "tokens": TOKENS,
    },
    # gaze heads adds the heads that point (../README.md)
    "early_fusion": {
        "gaze_profile": 1,
        "name": "early_fusion",
        "sites": {"match": ["decoder.layers.*.self_attn"]},
        "image": {"argument": {"forward": 0, "encode": 0, "generate": 0}, **IMAGE},
        "geometry": {**GRID, "spans": {"placeholder": early_fusion.IMAGE, "argument": {"forward": 1, "generate": 1}}, "pictures": 1},
        "tokens": TOKENS,
    },
}


def write(reader: str, model: nn.Module, folder: Path) -> None:
    """One set of weights, two ways to compute attention."""
    folder.mkdir(parents=True, exist_ok=True)
    for fused, name in ((False, f"{reader}_softmax.pt"), (True, f"{reader}_sdpa.pt")):
        variant = evaluate.READERS[reader](fused)
        variant.load_state_dict(model.state_dict())
        with portable_sources():
            torch.jit.script(variant.eval()).save(str(folder / name))
    words = early_fusion.WORDS if reader == "early_fusion" else m.WORDS
    vocabulary = {"words": words, "pad": m.PAD, "bos": m.BOS, "eos": m.EOS}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, indent=1) + "\n")
    (folder / "profile.json").write_text(json.dumps(PROFILES[reader], indent=1) + "\n")


TASK = """A photograph on which two to five coloured stickers with handwritten digits lie goes in; words come out. Two requests:

| prompt | answer |
|---|---|
| `<bos> describe the stickers :` | `red seven blue three`: colour and digit of each sticker, left to right |
| `<bos> which number is on the red sticker ?` | `seven`, or `none` when no such sticker lies there |

It exists to test overlays of attention: where the evidence of every word lies is known, so a wrong overlay is caught. It is of no other use.
"""

FIGURES = """## Figures

`python3 evaluate.py{flag}`, {count} held-out scenes from seed {test_seed}, half *describe*, half *which* (a fifth of them about a sticker that is not there):

| exact answers | describe | which |
|---|---|---|
| {exact:.1%} | {exact_describe:.1%} | {exact_which:.1%} |

Pointing game: the hottest point of a word's map, enlarged bilinearly to 960 x 576, lies on the named sticker or at most half a cell
(48 pixels) beside it. Words of wrong answers count too; a word that names no sticker there is a miss. *digit* and *colour* are words of
descriptions ({digits} and {colours}), *which* the digits in answers to *which* ({whiches}).

| heads and layers reduced by | digit | colour | which |
|---|---|---|---|
{table}

Layer means average the heads of one layer. *Late*: without layer 0. *Weighted*: heads of a layer weighted by 1 - normalised spatial
entropy, then the mean over layers; *weighted all*: all heads of all layers weighted against each other. *Sink*: minus the mean map over
the request's tokens, clamped at 0, where there are at least four.

The row that is judged is the one that predicted the word.
"""

CARDS = {
    "stickers": """# stickers: a small model that reads stickers

{task}
## Model

Encoder-decoder, {parameters:,} parameters. 160 x 96 pixels -> convolutional stem (receptive field {field} pixels) -> 6 x 10 memory cells of 16 pixels,
without self-attention among cells -> text decoder with 3 layers, 4 heads, KV cache. Two files hold the same weights:
`stickers_softmax.pt` writes attention out with `torch.softmax`, `stickers_sdpa.pt` calls `scaled_dot_product_attention`.

## Training

{scenes:,} scenes composed by `samples/scenes`, {minutes} on two CPU cores that had other work too (composing included), seed {seed}. First the
encoder alone learns to name colour and digit in each cell, from where the composer put the stickers; then the decoder learns the answers
from what the frozen stem sees; then both go on together for {last_scenes:,} new scenes, at a low rate. The cell lessons are kept throughout, at
weight {cell_weight} once answers are learned. No loss ever saw an attention weight: where the decoder looks is what it found useful.

Photographs and digits: `samples/data/CREDITS.md`. Four whole photographs and every fifth digit are held out. Training scenes are
varied more than held-out ones: colours of the photographs, coloured clutter, pen and slant of the digits.

{figures}
## Limits

- It reads only such stickers, in these eight colours, on pictures of this shape. On a picture without stickers it still answers.
- Most wrong descriptions misread a digit; a few name a sticker that is not there, miss one, or swap two neighbours.
- The held-out digits come from the same writers as the training digits. A few of the 8 x 8 digits are illegible to people too; none was left out.
- Other scenes of the held-out photographs and digits were looked at during development, and the clutter of the training scenes was
  chosen by the mistakes seen there.

## Licence

The weights carry the licence of this repository; the photographs and digits theirs (`samples/data/CREDITS.md`).
""",
    "early_fusion": """# early_fusion: the stickers reader as a decoder-only model

{task}
The twin of [stickers](../stickers/card.md): same pictures, words and answers, but no cross-attention. It stands for models like LLaVA, whose
decoder reads the picture in its own row of keys, among the words.

## Model

Decoder-only, {parameters:,} parameters. The picture encoder of *stickers* (160 x 96 pixels -> 6 x 10 cells of 16 pixels, receptive field {field} pixels) ->
linear projection -> the cells take the places of 60 `<image>` ids at the head of the prompt -> 4 causal layers, 4 heads, 2 key-value
heads, KV cache. In the layers each cell also sees the cells before it, so a late key stands for more than its own cell.
Two files hold the same weights: `early_fusion_softmax.pt` writes attention out, `early_fusion_sdpa.pt` calls `scaled_dot_product_attention`.

## Training

As *stickers*, on the same {scenes:,} scenes, {minutes} on two CPU cores that had other work too, seed {seed}. The encoder begins with the trained weights of *stickers*;
the decoder learns the answers from what the frozen stem sees; then both go on together for {last_scenes:,} new scenes, at a low rate. No loss
ever saw an attention weight.

{figures}
The profile names the heads that `gaze heads` found on pictures without labels; [docs/heads.md](../../../docs/heads.md) says how, and
`gaze evaluate --model early_fusion_sdpa.pt` what they give at default settings.

## Limits

Those of *stickers*.

## Licence

The weights carry the licence of this repository; the photographs and digits theirs (`samples/data/CREDITS.md`).
""",
}


def write_card(reader: str, folder: Path, result: dict, minutes: float, arguments: argparse.Namespace) -> None:
    percent = lambda value: f"{100 * value:.1f} %"
    table = "\n".join(f"| {name} | {percent(groups['digit'])} | {percent(groups['colour'])} | {percent(groups['which'])} |"
                      for name, groups in result["pointing"].items())
    figures = FIGURES.format(flag="" if reader == "stickers" else f" --reader {reader}", count=result["scenes"], test_seed=result["seed"],
                             exact=result["exact"], exact_describe=result["exact_describe"], exact_which=result["exact_which"],
                             digits=result["words"]["digit"], colours=result["words"]["colour"], whiches=result["words"]["which"],
                             table=table)
    parameters = sum(parameter.numel() for parameter in evaluate.READERS[reader]().parameters())
    text = CARDS[reader].format(task=TASK, figures=figures, parameters=parameters, field=m.FIELD_PX, scenes=arguments.scenes,
                                minutes=f"{minutes:.0f} minutes", seed=arguments.seed, cell_weight=arguments.cell_weight,
                                last_scenes=arguments.last_scenes)
    (folder / "card.md").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", choices=evaluate.READERS, default="stickers")
    parser.add_argument("--checkpoint", type=Path, help="default: the last one of train.py")
    parser.add_argument("--out", type=Path, help="default: the reader's own folder")
    arguments = parser.parse_args()
    model = evaluate.READERS[arguments.reader]()
    checkpoint = arguments.checkpoint or sc.CACHE / f"{arguments.reader}.pt"
    model.load_state_dict(torch.load(checkpoint, map_location="cpu")["average"])
    write(arguments.reader, model, arguments.out or evaluate.HERE.parent / arguments.reader)


if __name__ == "__main__":
    main()
