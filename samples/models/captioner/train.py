#!/usr/bin/env python3
"""Trains the captioner on composed pictures: python3 train.py [--minutes 21] [--pictures 20000]

Stages: the picture encoder alone learns to name colour and shape in each cell; then the whole model learns captions, the cell lessons kept
at a weight that goes to zero; then it goes on with new pictures, each seen once, at a low rate. The class token has no lesson, and no loss
sees an attention weight. An interrupted run goes on from its last checkpoint; --fresh starts over.
"""
import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import model as m
import shapes as sh

FIRST_SEED = 1_000_000
VALIDATION_SEED = 5_000_000
LAST_SEED = 7_000_000
BATCH = 32
HIGHEST_RATES = (2e-3, 1e-3)  # of Muon and of AdamW


def cell_labels(pictures: sh.Pictures) -> tuple[Tensor, Tensor]:
    """Per cell: colour [N, 64] (0 background, 1 + colour, -100 undecided) and kind of shape [N, 64] (-100 where there is none)."""
    step_px = sh.PICTURE_SIDE / m.CELLS_SIDE
    line = (np.arange(m.CELLS_SIDE) + 0.5) * step_px
    cells_k2 = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    colour_nk = np.zeros((len(pictures.captions), len(cells_k2)), np.int64)
    kind_nk = np.full_like(colour_nk, -100)
    for s in range(2):
        colour_n1, kind_n1, radius_n1 = (pictures.shapes[:, s, field, None] for field in (0, 1, 4))
        away_nk = np.linalg.norm(cells_k2[None] - pictures.shapes[:, s, None, 2:4], axis=-1)
        inside_nk, near_nk = away_nk < 0.5 * radius_n1, away_nk < 1.1 * radius_n1
        colour_nk = np.where(near_nk, -100, colour_nk)
        colour_nk = np.where(inside_nk, 1 + colour_n1, colour_nk).astype(np.int64)
        kind_nk = np.where(near_nk, kind_n1, kind_nk).astype(np.int64)
    return torch.from_numpy(colour_nk), torch.from_numpy(kind_nk)


class CellLessons(nn.Module):
    def __init__(self):
        super().__init__()
        self.colour = nn.Linear(m.WIDTH, 1 + len(sh.COLOURS))
        self.kind = nn.Linear(m.WIDTH, len(sh.SHAPES))

    def forward(self, image_bkd: Tensor, colour_bk: Tensor, kind_bk: Tensor) -> tuple[Tensor, Tensor]:
        cells_bkd = image_bkd[:, 1:]
        loss = F.cross_entropy(self.colour(cells_bkd).float().flatten(0, 1), colour_bk.flatten()) + \
            F.cross_entropy(self.kind(cells_bkd).float().flatten(0, 1), kind_bk.flatten())
        there_bk = kind_bk >= 0
        return loss, (self.kind(cells_bkd).argmax(-1) == kind_bk)[there_bk].float().mean()


class Lessons:
    """Pictures with what is to be learned of them."""

    def __init__(self, composer: sh.Composer, first_seed: int, count: int):
        self.pictures = composer.compose(first_seed, count, held_out=False)
        self.inputs_nhwc = torch.from_numpy(self.pictures.inputs_nhwc)
        self.colour_nk, self.kind_nk = cell_labels(self.pictures)

    def encode(self, tokenizer) -> None:
        encoded = [[m.BOS, *tokenizer.encode(caption).ids, m.EOS] for caption in self.pictures.captions]
        self.ids_nt = torch.tensor([ids + [m.PAD] * (m.MAX_TOKENS - len(ids)) for ids in encoded])
        self.lengths_n = (self.ids_nt != m.PAD).sum(1)

    def losses(self, model: nn.Module, cells: CellLessons, chosen: Tensor, captions: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Of the caption, of the cells, and the share of cells whose shape is right."""
        with torch.autocast("cpu", torch.bfloat16):
            image_bkd = m.encode(model, m.normalise(self.inputs_nhwc[chosen]))
            loss, right = cells(image_bkd, self.colour_nk[chosen], self.kind_nk[chosen])
            if not captions:
                return torch.zeros(()), loss, right
            ids_bt = self.ids_nt[chosen, :int(self.lengths_n[chosen].max())]
            logits_btv = m.decode(model, ids_bt[:, :-1], image_bkd)
            return F.cross_entropy(logits_btv.float().flatten(0, 1), ids_bt[:, 1:].flatten(), ignore_index=m.PAD), loss, right


def improve(loss: Tensor, optimisers: list, parameters: list, rate: float) -> None:
    """One step. rate: 0..1 of each optimiser's highest."""
    for optimiser, highest in zip(optimisers, HIGHEST_RATES):
        optimiser.param_groups[0]["lr"] = rate * highest
        optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimiser in optimisers:
        optimiser.step()


def exact(model: nn.Module, tokenizer, pictures: sh.Pictures) -> float:
    pixels_nchw = m.normalise(torch.from_numpy(pictures.inputs_nhwc))
    said = [tokenizer.decode(ids) for first in range(0, len(pixels_nchw), 100) for ids in m.generate(model, pixels_nchw[first:first + 100])]
    return float(np.mean([a == b for a, b in zip(said, pictures.captions)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=21, help="of training, composing left out")
    parser.add_argument("--cells", type=float, default=0.25, help="share of the time that the first stage has")
    parser.add_argument("--pictures", type=int, default=20000)
    parser.add_argument("--new-pictures", type=int, default=24000, help="for the last stage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, default=sh.CACHE / "captioner.pt")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(arguments.seed)
    composer = sh.Composer()
    pictures = Lessons(composer, FIRST_SEED, arguments.pictures)
    validation = composer.compose(VALIDATION_SEED, 200, held_out=False)
    if arguments.fresh or not m.TOKENIZER.exists():
        m.train_tokenizer(pictures.pictures.captions).save(str(m.TOKENIZER))
    tokenizer = m.Tokenizer.from_file(str(m.TOKENIZER))
    pictures.encode(tokenizer)

    model, cells = m.build(), CellLessons()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {arguments.pictures} pictures", flush=True)
    parameters = [*model.parameters(), *cells.parameters()]
    # Muon for the layers' matrices: a third of the steps that AdamW alone takes until shapes are told apart.
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and ".layer" in name]
    of_muon = set(map(id, matrices))
    optimisers = [torch.optim.Muon(matrices, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
                  torch.optim.AdamW([p for p in parameters if id(p) not in of_muon], weight_decay=0.01, betas=(0.9, 0.98))]
    spent, step, first_of_stage = 0.0, 0, 0
    if arguments.checkpoint.exists() and not arguments.fresh:
        kept = torch.load(arguments.checkpoint, weights_only=True)
        model.load_state_dict(kept["model"]), cells.load_state_dict(kept["cells"])
        for optimiser, state in zip(optimisers, kept["optimisers"]):
            optimiser.load_state_dict(state)
        spent, step, first_of_stage = kept["spent"], kept["step"], kept["first_of_stage"]
    total = arguments.minutes * 60

    def keep() -> None:
        part = arguments.checkpoint.with_suffix(".part")
        torch.save({"model": model.state_dict(), "cells": cells.state_dict(), "optimisers": [optimiser.state_dict() for optimiser in optimisers],
                    "spent": spent, "step": step, "first_of_stage": first_of_stage}, part)
        part.rename(arguments.checkpoint)

    while spent < total:
        begun = time.monotonic()
        done = spent / total
        captions = done >= arguments.cells
        stage = (done - arguments.cells) / (1 - arguments.cells) if captions else done / arguments.cells
        if captions and first_of_stage == 0:
            first_of_stage = step
        rate = min(1, (step - first_of_stage + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * stage) if captions else 1)
        said, loss, right = pictures.losses(model, cells, torch.randint(arguments.pictures, (BATCH,)), captions)
        loss = said + loss * (1 - stage) if captions else loss
        improve(loss, optimisers, parameters, max(rate, 0.01))
        step += 1
        spent += time.monotonic() - begun
        if step % 100 == 0:
            print(f"{step} steps, {spent:.0f} s: loss {loss.item():.3f}, caption {said.item():.3f}, shape of cells {right.item():.3f}", flush=True)
        if step % 500 == 0 or spent >= total:
            print(f"exact {exact(model, tokenizer, validation):.3f}", flush=True) if captions else None
            keep()

    # Each new picture once, at a rate that ends at zero.
    pictures = Lessons(composer, LAST_SEED, arguments.new_pictures)
    pictures.encode(tokenizer)
    for first in range(0, arguments.new_pictures, BATCH):
        said, _, _ = pictures.losses(model, cells, torch.arange(first, min(first + BATCH, arguments.new_pictures)), captions=True)
        improve(said, optimisers, parameters, 0.15 * (1 - first / arguments.new_pictures))
        if first % (100 * BATCH) == 0:
            print(f"{first} new pictures: caption {said.item():.3f}", flush=True)
    print(f"exact {exact(model, tokenizer, validation):.3f}", flush=True)
    keep()


if __name__ == "__main__":
    main()
