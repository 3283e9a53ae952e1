#!/usr/bin/env python3
"""Trains a sticker reader from the committed data: python3 train.py [--reader early_fusion]

Stages: the encoder alone learns to name colour and digit cell by cell; then the decoder learns to answer from what the frozen stem
sees; then both go on together on new scenes, at a low rate. Attention is never supervised: no loss sees an attention weight.
The early-fusion reader begins with the trained encoder of the other one, so it skips the first stage.
Interrupted runs go on from the last checkpoint; --fresh starts over.
"""
import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

import evaluate
import export
import model as m
import scenes as sc

VALIDATION_SEED = 5_000_000
WHICH_PER_SCENE = 2
STAGES = ["encoder", "decoder", "together"]


def cell_labels(pool: sc.Scenes) -> tuple[Tensor, Tensor]:
    """Per cell: colour [N, 60] (0 background, 1 + colour, -100 undecided) and digit [N, 60] (-100 where none is to be read)."""
    count, stickers = len(pool.counts), pool.stickers
    step_px = sc.PHOTO_WIDTH / m.COLS
    cells_k2 = np.stack(np.meshgrid((np.arange(m.COLS) + 0.5) * step_px, (np.arange(m.ROWS) + 0.5) * step_px), -1).reshape(-1, 2)
    colour_nk = np.zeros((count, len(cells_k2)), np.int64)
    digit_nk = np.full((count, len(cells_k2)), -100, np.int64)
    everyone = np.arange(count)
    for s in range(sc.MAX_STICKERS):
        here = everyone[pool.counts > s]
        corners_n42 = stickers[here, s, 4:].reshape(-1, 4, 2)
        away_nk2 = cells_k2[None] - corners_n42.mean(1)[:, None]
        right_n2, down_n2 = (corners_n42[:, 1] - corners_n42[:, 0]) / 2, (corners_n42[:, 3] - corners_n42[:, 0]) / 2
        u_nk = np.abs(np.einsum("nkc,nc->nk", away_nk2, right_n2)) / np.linalg.norm(right_n2, axis=1)[:, None]
        v_nk = np.abs(np.einsum("nkc,nc->nk", away_nk2, down_n2)) / np.linalg.norm(down_n2, axis=1)[:, None]
        beyond_nk = np.maximum(u_nk - np.linalg.norm(right_n2, axis=1)[:, None], v_nk - np.linalg.norm(down_n2, axis=1)[:, None])
        sure_nk = beyond_nk < -8
        sure_nk[np.arange(len(here)), np.square(away_nk2).sum(-1).argmin(1)] = True
        colour_nk[here] = np.where(sure_nk, 1 + stickers[here, s, 0].astype(np.int64)[:, None],
                                   np.where((beyond_nk < 30) & (colour_nk[here] == 0), -100, colour_nk[here]))
        digit_nk[here] = np.where(sure_nk, stickers[here, s, 1].astype(np.int64)[:, None], digit_nk[here])
    return torch.from_numpy(colour_nk), torch.from_numpy(digit_nk)


def answer_table(pool: sc.Scenes) -> Tensor:
    """Describe sequences [N, T]: prompt, answer, <eos>, padding."""
    prompt = m.describe_prompt()
    tokens_nt = np.full((len(pool.counts), len(prompt) + evaluate.MAX_NEW), m.PAD, np.int64)
    tokens_nt[:, :len(prompt)] = prompt
    for i in range(len(pool.counts)):
        words = evaluate.describe_answer(pool.colours(i), pool.digits(i)) + ["<eos>"]
        tokens_nt[i, len(prompt):len(prompt) + len(words)] = [m.INDEX[word] for word in words]
    return torch.from_numpy(tokens_nt)


def which_tokens(stickers_bsf: Tensor, counts_b: Tensor) -> Tensor:
    """[B * WHICH_PER_SCENE, T]: one question per scene about a sticker that lies there, the other half the time about one that does not."""
    count = len(counts_b)
    prompt = torch.tensor(m.which_prompt("red"))
    asked_at = int((prompt == m.INDEX["red"]).nonzero())
    digit_bc = torch.full((count, len(m.COLOURS)), -1)
    for s in range(sc.MAX_STICKERS):
        here = counts_b > s
        digit_bc[here, stickers_bsf[here, s, 0].long()] = stickers_bsf[here, s, 1].long()
    there_bc = (digit_bc >= 0).float()
    colour_bw = torch.cat([torch.multinomial(there_bc, 1), torch.multinomial(torch.where(torch.rand(count, 1) < 0.5, there_bc, 1 - there_bc), 1)], 1)
    digit_bw = digit_bc.gather(1, colour_bw)
    answer_bw = torch.where(digit_bw >= 0, digit_bw + m.INDEX["zero"], m.INDEX["none"])
    tokens_bwt = torch.cat([prompt, torch.tensor([0, m.EOS])]).repeat(count, WHICH_PER_SCENE, 1)
    tokens_bwt[:, :, asked_at] = colour_bw + m.INDEX["red"]
    tokens_bwt[:, :, len(prompt)] = answer_bw
    return tokens_bwt.flatten(0, 1)


def answer_loss(logits_btv: Tensor, tokens_bt: Tensor, prompt_length: int) -> Tensor:
    target = tokens_bt[:, prompt_length:]
    return F.cross_entropy(logits_btv[:, prompt_length - 1:-1].float().flatten(0, 1), target.flatten(), ignore_index=m.PAD)


def jitter(image_bchw: Tensor, noise_nchw: Tensor) -> Tensor:
    """Other light, other colour balance, sensor noise. The noise is drawn once and picked from: drawing it anew costs a third of a step."""
    count, device = image_bchw.size(0), image_bchw.device
    gain = 1 + 0.12 * torch.randn(count, 1, 1, 1, device=device) + 0.03 * torch.randn(count, 3, 1, 1, device=device)
    lift = 0.15 * torch.randn(count, 1, 1, 1, device=device)
    level = 0.1 * torch.rand(count, 1, 1, 1, device=device)
    return image_bchw * gain + lift + level * noise_nchw[torch.randint(len(noise_nchw), (count,))]


class Trainer:
    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.composer = sc.Composer()
        torch.manual_seed(arguments.seed)
        self.model = evaluate.READERS[arguments.reader]().to(self.device)
        if arguments.reader == "early_fusion":
            seen = torch.jit.load(str(evaluate.HERE / "stickers_softmax.pt"), map_location=self.device).encoder
            self.model.encoder.load_state_dict(seen.state_dict())
        # Heads that only the encoder's own lessons use; they are not exported.
        self.colour_head = nn.Linear(m.WIDTH, 1 + len(m.COLOURS)).to(self.device)
        self.digit_head = nn.Linear(m.WIDTH, len(m.DIGITS)).to(self.device)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.checkpoint = sc.CACHE / f"{arguments.name or arguments.reader}.pt"
        self.noise_nchw = torch.randn(128, 3, sc.HEIGHT, sc.WIDTH, device=self.device)
        self.seconds = 0.0

    def compose(self, first_seed: int, count: int) -> None:
        """Composing takes minutes, so its result is kept beside the checkpoint."""
        kept = sc.CACHE / f"scenes-{self.composer.digest}-{first_seed}-{count}.npz"
        if kept.exists():
            with np.load(kept) as arrays:
                self.pool = sc.Scenes(arrays["inputs"], arrays["stickers"], arrays["counts"], None)
        else:
            begun, step = time.time(), 1000
            parts = [self.composer.compose(first_seed + first, min(step, count - first), held_out=False, min_stickers=1)
                     for first in tqdm(range(0, count, step), desc="scenes (thousands)")]
            self.pool = sc.Scenes(*(np.concatenate([getattr(part, field) for part in parts])
                                    for field in ("inputs_nhwc", "stickers", "counts")), None)
            np.savez(kept, inputs=self.pool.inputs_nhwc, stickers=self.pool.stickers, counts=self.pool.counts)
            self.seconds += time.time() - begun
        self.colour_nk, self.digit_nk = cell_labels(self.pool)
        self.tokens_nt = answer_table(self.pool)
        self.images = torch.from_numpy(self.pool.inputs_nhwc)
        self.stickers = torch.from_numpy(self.pool.stickers)
        self.counts = torch.from_numpy(self.pool.counts)

    def batch_of(self, rows: Tensor) -> Tensor:
        image_bchw = jitter(m.normalise(self.images[rows].to(self.device)), self.noise_nchw)
        return image_bchw.contiguous(memory_format=torch.channels_last)

    def look(self) -> None:
        """What the averaged stem sees of every scene, once and for all: the decoder learns from that several times as fast."""
        begun = time.time()
        self.model.eval()
        self.features_nkd = torch.empty(len(self.images), m.ROWS * m.COLS, m.WIDTH, dtype=torch.bfloat16, device=self.device)
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16):
            for rows in tqdm(torch.arange(len(self.images)).split(256), desc="features", mininterval=10):
                self.features_nkd[rows] = self.model.encoder.features(self.batch_of(rows)).to(torch.bfloat16)
        self.seconds += time.time() - begun

    def cell_loss(self, memory_bkd: Tensor, rows: Tensor) -> Tensor:
        colour = F.cross_entropy(self.colour_head(memory_bkd).float().flatten(0, 1), self.colour_nk[rows].flatten().to(self.device))
        digit = F.cross_entropy(self.digit_head(memory_bkd).float().flatten(0, 1), self.digit_nk[rows].flatten().to(self.device))
        return colour + digit

    def loss(self, stage: str, rows: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16):
            if stage == "encoder":
                return self.cell_loss(self.model.encoder(self.batch_of(rows)), rows)
            memory_bkd = (self.model.encoder(self.batch_of(rows)) if stage == "together"
                          else self.model.encoder.place(self.features_nkd[rows].float()))
            decoder = self.model.decoder
            start = decoder.start(memory_bkd)
            tokens_bt = self.tokens_nt[rows].to(self.device)
            logits_btv, _ = decoder(tokens_bt, start)
            asked_bt = which_tokens(self.stickers[rows], self.counts[rows]).to(self.device)
            asked_logits_btv, _ = decoder(asked_bt, [x.repeat_interleave(WHICH_PER_SCENE, 0) for x in start])
        return (answer_loss(logits_btv, tokens_bt, len(m.describe_prompt()))
                + 0.5 * answer_loss(asked_logits_btv, asked_bt, len(m.which_prompt("red")))
                + self.arguments.cell_weight * self.cell_loss(memory_bkd, rows))

    def run(self, stage: str, epochs: int, peak: float, resume: dict | None) -> None:
        # The stem stays as it is while the decoder learns from what it saw.
        trained = nn.ModuleList([self.model, self.colour_head, self.digit_head])
        frozen = {"encoder": "0.decoder.", "decoder": "0.encoder.stem.", "together": "none"}[stage]
        parameters = [parameter for name, parameter in trained.named_parameters() if not name.startswith(frozen)]
        optimiser = torch.optim.AdamW([{"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.02},
                                       {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0}], betas=(0.9, 0.98))
        size = self.arguments.batch
        steps = len(self.images) // size
        total, warm = epochs * steps, min(200, 1 + epochs * steps // 4)
        first = 0
        if resume is not None:
            optimiser.load_state_dict(resume["optimiser"])
            first = resume["epoch"]
        for epoch in range(first, epochs):
            begun = time.time()
            torch.manual_seed(self.arguments.seed * 10_000 + STAGES.index(stage) * 1000 + epoch)
            order = torch.randperm(len(self.images))
            self.model.train(stage != "decoder")
            progress = tqdm(range(steps), desc=f"{stage} {epoch + 1}/{epochs}", mininterval=10)
            for step in progress:
                done = epoch * steps + step
                rate = peak * min(done / warm, 0.5 + 0.5 * math.cos(math.pi * done / total))
                for group in optimiser.param_groups:
                    group["lr"] = rate
                loss = self.loss(stage, order[step * size:step * size + size])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 1.0)
                optimiser.step()
                keep = min(0.998, (done + 1) / (done + 10))
                with torch.no_grad():
                    for name, value in self.model.state_dict().items():
                        if value.dtype.is_floating_point:
                            self.average[name].lerp_(value, 1 - keep)
                if step % 25 == 0:
                    progress.set_postfix(loss=f"{loss.item():.4f}", lr=f"{rate:.1e}")
            self.seconds += time.time() - begun
            self.save(stage, epoch + 1, optimiser)
            if stage == "encoder" or (epoch + 1) % self.arguments.report_every == 0 or epoch + 1 == epochs:
                self.report(stage)

    def averaged(self) -> m.StickerReader:
        model = evaluate.READERS[self.arguments.reader]()
        model.load_state_dict({name: value.cpu() for name, value in self.average.items()})
        return model.eval()

    def report(self, stage: str) -> None:
        model = self.averaged()
        if stage != "encoder":
            print(evaluate.show(evaluate.evaluate(model, self.composer, 400, VALIDATION_SEED)), flush=True)
            return
        held = self.composer.compose(VALIDATION_SEED, 400, held_out=True)
        colour_nk, digit_nk = cell_labels(held)
        with torch.no_grad():
            memory_nkd = model.encoder(m.normalise(torch.from_numpy(held.inputs_nhwc)))
            colour = self.colour_head.cpu()(memory_nkd).argmax(-1)
            digit = self.digit_head.cpu()(memory_nkd).argmax(-1)
        self.colour_head.to(self.device), self.digit_head.to(self.device)
        right = lambda guess, truth: (guess == truth)[truth != -100].float().mean().item()
        print(f"cells of unseen scenes: colour {right(colour, colour_nk):.2%}, digit {right(digit, digit_nk):.2%}", flush=True)

    def save(self, stage: str, epoch: int, optimiser: torch.optim.Optimizer) -> None:
        state = {"stage": stage, "epoch": epoch, "model": self.model.state_dict(), "average": self.average,
                 "colour_head": self.colour_head.state_dict(), "digit_head": self.digit_head.state_dict(),
                 "optimiser": optimiser.state_dict(), "seconds": self.seconds}
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.rename(self.checkpoint)

    def load(self, path: Path) -> dict:
        state = torch.load(path, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.colour_head.load_state_dict(state["colour_head"])
        self.digit_head.load_state_dict(state["digit_head"])
        self.average = state["average"]
        self.seconds = state["seconds"]
        return state

    def train(self) -> None:
        arguments = self.arguments
        state = self.load(self.checkpoint) if self.checkpoint.exists() and not arguments.fresh else None
        epochs = {"encoder": (arguments.encoder_epochs, 3e-3), "decoder": (arguments.epochs, arguments.rate),
                  "together": (1, arguments.rate / 4)}
        first = STAGES.index(state["stage"]) if state is not None else 0 if arguments.reader == "stickers" else 1
        for stage in STAGES[first:]:
            last = stage == "together"
            if last or not hasattr(self, "pool"):
                self.compose(arguments.scenes if last else 0, arguments.last_scenes if last else arguments.scenes)
            if state is None:
                self.model.load_state_dict(self.average)
            if stage == "decoder":
                self.look()
            self.run(stage, *epochs[stage], state)
            state = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=36_000)
    parser.add_argument("--encoder-epochs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--last-scenes", type=int, default=12_000, help="scenes of the last stage")
    parser.add_argument("--report-every", type=int, default=1, help="epochs between measurements")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--cell-weight", type=float, default=0.3, help="how much the encoder's own lessons count in the second stage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reader", choices=evaluate.READERS, default="stickers")
    parser.add_argument("--name", help="checkpoint name, to keep several runs apart; default: the reader's")
    parser.add_argument("--fresh", action="store_true", help="ignore the checkpoint of an earlier run")
    parser.add_argument("--no-export", action="store_true", help="leave the committed weights and card alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    trainer = Trainer(arguments)
    trainer.train()
    print(f"trained in {trainer.seconds / 60:.0f} minutes")
    if not arguments.no_export:
        folder = evaluate.HERE.parent / arguments.reader
        export.write(arguments.reader, trainer.averaged(), folder)
        result = evaluate.evaluate(trainer.averaged(), trainer.composer)
        print(evaluate.show(result))
        export.write_card(arguments.reader, folder, result, trainer.seconds / 60, arguments)


if __name__ == "__main__":
    main()
