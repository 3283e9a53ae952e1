#!/usr/bin/env python3
"""Trains the speech sample on what espeak-ng says: python3 train.py

Stages: the encoder learns which word is heard at each key, from where the composer laid the words; then the decoder learns to write
them down from what the frozen convolutions hear; then all go on together at a low rate. Attention is never supervised: no loss sees
an attention weight. Interrupted runs go on from the last checkpoint; --fresh starts over.
"""
import argparse
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

import evaluate
import export
import model as m
import recordings as rec

VALIDATION_SEED = 5_000_000
STAGES = {"encoder": 3e-3, "decoder": 2e-3, "together": 1.5e-3}
# Steps over which a stage's rate falls, where that is not all of the stage: what follows the decoder's begins high again.
FALL = {"decoder": 1600}
KEY_SECONDS = 0.02
GROUP = 4  # batches whose recordings are sorted by length, so that little of a batch is padding


@dataclass
class Batch:
    audio_bs: Tensor   # padded to one length
    tokens_bt: Tensor  # <bos>, answer, <eos>, padding
    heard_bk: Tensor   # word heard at each key: 0 none, 1 + word, -100 undecided


def answer_loss(logits_btv: Tensor, tokens_bt: Tensor) -> Tensor:
    return F.cross_entropy(logits_btv[:, :-1].flatten(0, 1), tokens_bt[:, 1:].flatten(), ignore_index=m.PAD)


def disturb(mel_bmt: Tensor) -> Tensor:
    """Other microphones: the spectrum tilted, a band of it missing."""
    count = mel_bmt.size(0)
    across = torch.linspace(-1, 1, m.MELS)
    tilt_bm = 0.15 * torch.randn(count, 1) * across + 0.08 * torch.randn(count, 1) * (across * math.pi).cos()
    low_b1, wide_b1 = torch.randint(0, m.MELS, (count, 1)), torch.randint(0, 14, (count, 1))
    band = torch.arange(m.MELS)
    missing_bm = (band >= low_b1) & (band < low_b1 + wide_b1) & (torch.rand(count, 1) < 0.6)
    return torch.where(missing_bm[:, :, None], mel_bmt.mean((1, 2), keepdim=True), mel_bmt + tilt_bm[:, :, None])


class Trainer:
    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.composer = rec.Composer(rec.training_clips())
        torch.manual_seed(arguments.seed)
        self.model = m.SpeechReader(fused=True).to(self.device)
        # Only the encoder's own lessons use it; it is not exported.
        self.word_head = nn.Linear(m.WIDTH, 1 + len(rec.SPOKEN)).to(self.device)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.checkpoint = rec.CACHE / "speech.pt"
        self.seconds = 0.0
        self.group = None

    def batch(self, stage: str, step: int) -> Batch:
        """Recordings never heard before: the seed counts on through all stages."""
        size = self.arguments.batch
        group = list(STAGES).index(stage) * 1_000_000 + step // GROUP
        if self.group != group:
            self.group = group
            self.recordings = sorted((self.composer.compose(group * size * GROUP + i) for i in range(size * GROUP)),
                                     key=lambda recording: len(recording.samples))
            self.turns = np.random.default_rng(group).permutation(GROUP)
        turn = self.turns[step % GROUP]
        recordings = self.recordings[turn * size:(turn + 1) * size]
        dice = np.random.default_rng(group * GROUP + step % GROUP)
        longest = len(recordings[-1].samples)
        length = longest if dice.random() < 0.85 else int(dice.integers(longest, m.WINDOW + 1))
        length = min(m.WINDOW, -(-length // (2 * m.HOP)) * 2 * m.HOP)
        keys = length // m.HOP // 2
        audio_bs = np.zeros((size, length), np.float32)
        tokens_bt = np.full((size, m.MAX_TOKENS), m.PAD, np.int64)
        heard_bk = np.zeros((size, keys), np.int64)
        middle_k = np.arange(keys) * KEY_SECONDS
        for b, recording in enumerate(recordings):
            samples = recording.samples[:length]
            audio_bs[b, :len(samples)] = samples
            row = [m.BOS] + m.token_ids([word for word, _, _ in recording.words]) + [m.EOS]
            tokens_bt[b, :len(row)] = row
            for word, start, end in recording.words:
                heard_bk[b, (middle_k > start - 0.01) & (middle_k < end + 0.01)] = -100
                heard_bk[b, (middle_k > start + 0.01) & (middle_k < end - 0.01)] = 1 + word
        used = int((tokens_bt != m.PAD).sum(1).max())
        return Batch(torch.from_numpy(audio_bs), torch.from_numpy(tokens_bt[:, :used]), torch.from_numpy(heard_bk))

    def heard_loss(self, memory_bkd: Tensor, heard_bk: Tensor) -> Tensor:
        return F.cross_entropy(self.word_head(memory_bkd).flatten(0, 1), heard_bk.flatten().to(self.device))

    def loss(self, stage: str, batch: Batch) -> Tensor:
        encoder = self.model.encoder
        with torch.no_grad():
            mel_bmt = disturb(self.model.log_mel(batch.audio_bs)).to(self.device)
        with torch.set_grad_enabled(stage != "decoder"):
            near_bkd = encoder.near(mel_bmt)
        memory_bkd = encoder.far(near_bkd)
        heard = self.heard_loss(memory_bkd, batch.heard_bk)
        if stage == "encoder":
            return heard
        tokens_bt = batch.tokens_bt.to(self.device)
        logits_btv, _ = self.model.decoder(tokens_bt, self.model.decoder.start(memory_bkd))
        return answer_loss(logits_btv, tokens_bt) + self.arguments.heard_weight * heard

    def run(self, stage: str, steps: int, resume: dict | None) -> None:
        trained = nn.ModuleList([self.model, self.word_head])
        frozen = {"encoder": ("0.decoder.",), "decoder": ("0.encoder.conv", "0.encoder.blocks"), "together": ()}[stage]
        parameters = [p for name, p in trained.named_parameters() if not name.startswith(frozen)]
        optimiser = torch.optim.AdamW([{"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.02},
                                       {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0}], betas=(0.9, 0.98))
        first, warm = 0, min(150, 1 + steps // 4)
        if resume is not None:
            optimiser.load_state_dict(resume["optimiser"])
            first = resume["step"]
        self.model.train()
        begun = time.time()
        progress = tqdm(range(first, steps), desc=stage, initial=first, total=steps, mininterval=10)
        with ThreadPoolExecutor(1) as pool:
            upcoming = pool.submit(self.batch, stage, first)
            for step in progress:
                batch, upcoming = upcoming.result(), pool.submit(self.batch, stage, step + 1)
                torch.manual_seed(self.arguments.seed * 1_000_000 + step)
                rate = STAGES[stage] * min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / FALL.get(stage, steps)))
                for group in optimiser.param_groups:
                    group["lr"] = rate
                loss = self.loss(stage, batch)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 1.0)
                optimiser.step()
                keep = min(0.996, (step + 1) / (step + 10))
                with torch.no_grad():
                    for name, value in self.model.state_dict().items():
                        self.average[name].lerp_(value, 1 - keep)
                if step % 20 == 0:
                    progress.set_postfix(loss=f"{loss.item():.4f}", lr=f"{rate:.1e}")
                if (step + 1) % self.arguments.save_every == 0 or step + 1 == steps:
                    self.seconds += time.time() - begun
                    begun = time.time()
                    self.save(stage, step + 1, optimiser)
                    self.report(stage)
                    self.model.train()

    def averaged(self) -> m.SpeechReader:
        model = m.SpeechReader()
        model.load_state_dict({name: value.cpu() for name, value in self.average.items()})
        return model.eval()

    def report(self, stage: str) -> None:
        """On new recordings of the training voices: the held-out voices are heard once, at the end."""
        model = self.averaged()
        if stage != "encoder":
            print(evaluate.show(evaluate.evaluate(model, self.composer, 100, VALIDATION_SEED)), flush=True)
            return
        right = []
        with torch.no_grad():
            for step in range(2):
                batch = self.batch("together", 3_000_000 + step)
                guess_bk = self.word_head.cpu()(model.encoder(model.log_mel(batch.audio_bs))).argmax(-1)
                sure = batch.heard_bk != -100
                right.append((guess_bk == batch.heard_bk)[sure & (batch.heard_bk > 0)].float().mean().item())
        self.word_head.to(self.device)
        print(f"keys on words, named right: {np.mean(right):.2%}", flush=True)

    def save(self, stage: str, step: int, optimiser: torch.optim.Optimizer) -> None:
        state = {"stage": stage, "step": step, "model": self.model.state_dict(), "average": self.average,
                 "word_head": self.word_head.state_dict(), "optimiser": optimiser.state_dict(), "seconds": self.seconds}
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.rename(self.checkpoint)

    def load(self) -> dict:
        state = torch.load(self.checkpoint, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.word_head.load_state_dict(state["word_head"])
        self.average, self.seconds = state["average"], state["seconds"]
        return state

    def train(self) -> None:
        arguments = self.arguments
        steps = {"encoder": arguments.encoder_steps, "decoder": arguments.decoder_steps, "together": arguments.together_steps}
        state = self.load() if self.checkpoint.exists() and not arguments.fresh else None
        order = list(STAGES)
        first = order.index(state["stage"]) if state is not None else 0
        for stage in order[first:]:
            self.run(stage, steps[stage], state if state is not None and state["stage"] == stage else None)
        model = self.averaged()
        export.write(model, evaluate.HERE)
        export.write_card(model, evaluate.HERE, self.seconds, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--encoder-steps", type=int, default=600)
    parser.add_argument("--decoder-steps", type=int, default=900)
    parser.add_argument("--together-steps", type=int, default=2600)
    parser.add_argument("--heard-weight", type=float, default=0.3, help="of the encoder's own lesson beside the answers")
    parser.add_argument("--save-every", type=int, default=150, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="start over")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    Trainer(arguments).train()


if __name__ == "__main__":
    main()
