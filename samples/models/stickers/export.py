#!/usr/bin/env python3
"""Writes the two TorchScript files, vocab.json and profile.json: python3 export.py [--checkpoint FILE] [--out DIR]"""
import argparse
import json
from pathlib import Path

import torch

import model as m
import scenes as sc

PROFILE = {
    "gaze_profile": 1,
    "name": "stickers",
    "sites": {"match": ["decoder.layers.*.cross_attn"]},
    "heads": {"reduce": "weighted"},
    "image": {"argument": {"forward": 0, "encode": 0, "generate": 0}, "layout": "bchw", "mean": m.MEAN, "std": m.STD,
              "width": sc.WIDTH, "height": sc.HEIGHT},
    "geometry": {"kind": "grid", "rows": m.ROWS, "cols": m.COLS, "leading": 0, "fit": "resize"},
    "tokens": {"vocabulary": "vocab.json", "eos": m.EOS},
}


def write(model: m.StickerReader, folder: Path) -> None:
    """One set of weights, two ways to compute attention."""
    folder.mkdir(parents=True, exist_ok=True)
    for fused, name in ((False, "stickers_softmax.pt"), (True, "stickers_sdpa.pt")):
        variant = m.StickerReader(fused)
        variant.load_state_dict(model.state_dict())
        torch.jit.script(variant.eval()).save(str(folder / name))
    vocabulary = {"words": m.WORDS, "pad": m.PAD, "bos": m.BOS, "eos": m.EOS}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, indent=1) + "\n")
    (folder / "profile.json").write_text(json.dumps(PROFILE, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=sc.CACHE / "checkpoint.pt")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    arguments = parser.parse_args()
    model = m.StickerReader()
    model.load_state_dict(torch.load(arguments.checkpoint, map_location="cpu")["average"])
    write(model, arguments.out)


if __name__ == "__main__":
    main()
