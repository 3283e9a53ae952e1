#!/usr/bin/env python3
"""Writes captioner.pt, two traced halves in one file, and profile.json: python3 export.py [--checkpoint FILE] [--out DIR]"""
import argparse
import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import model as m
import shapes as sh

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from portable import leave_out_sources, portable_sources

# gaze ground adds the limits (card.md).
PROFILE = {
    "gaze_profile": 1,
    "name": "captioner",
    "sites": {"match": ["decoder.text_decoder.bert.encoder.layer.*.crossattention.self"]},
    "image": {"argument": {"forward": 0, "encode": 0}, "layout": "bchw", "mean": m.MEAN, "std": m.STD, "width": sh.SIDE, "height": sh.SIDE},
    "geometry": {"kind": "grid", "rows": m.CELLS_SIDE, "cols": m.CELLS_SIDE, "leading": 1, "fit": "resize"},
    "tokens": {"vocabulary": "tokenizer.json", "eos": m.EOS},
}


class Half(nn.Module):
    """One function of the model and the part of it that it needs, for tracing."""

    def __init__(self, part: nn.Module, name: str, call):
        super().__init__()
        setattr(self, name, part)
        self.call = call

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.call(self, *inputs)


class Captioner(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, image: Tensor, ids: Tensor) -> Tensor:
        """[B, 3, 96, 96] normalised, [B, T] -> logits [B, T, 300]; logits t are about token t + 1."""
        return self.decoder(ids, self.encoder(image))

    @torch.jit.export
    def encode(self, image: Tensor) -> Tensor:
        """[B, 3, 96, 96] -> [B, 65, 96]: the class token, then cell row * 8 + column."""
        return self.encoder(image)

    @torch.jit.export
    def decode(self, ids: Tensor, encoded: Tensor) -> Tensor:
        """All tokens so far [B, T] -> logits [B, T, 300]."""
        return self.decoder(ids, encoded)


def load(checkpoint: Path):
    model = m.build()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    return model.eval()


def write(model, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    image_bchw, ids_bt = torch.randn(2, 3, sh.SIDE, sh.SIDE), torch.tensor([[m.BOS, 5, 6, 7, 8]] * 2)
    with torch.no_grad(), portable_sources():
        encoder = torch.jit.trace(Half(model.vision_model, "vision_model", m.encode).eval(), image_bchw)
        decoder = torch.jit.trace(Half(model.text_decoder, "text_decoder", m.decode).eval(), (ids_bt, m.encode(model, image_bchw)))
        module = torch.jit.script(Captioner(encoder, decoder).eval())
        for length in (1, 2, 9, m.MAX_TOKENS - 1):
            ids_bt = torch.randint(3, m.VOCABULARY, (1, length))
            expected = m.decode(model, ids_bt, m.encode(model, image_bchw[:1]))
            assert torch.allclose(module(image_bchw[:1], ids_bt), expected, atol=1e-4), length
        module.save(str(folder / "captioner.pt"))
    leave_out_sources(folder / "captioner.pt")
    (folder / "profile.json").write_text(json.dumps(PROFILE, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=sh.CACHE / "captioner.pt")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    write(load(arguments.checkpoint), arguments.out)


if __name__ == "__main__":
    main()
