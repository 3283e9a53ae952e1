#!/usr/bin/env python3
"""Trains the reader on composed facts: python3 train.py [--minutes 40]

Each case is seen once, with several questions behind its passages that do not see one another, and sentences of the passages to be
completed. Learned are the next tokens: those of the answers, and at a low weight those of passages and questions. No loss sees an
attention weight. First there is one passage; then several that state the same of different entities, so that only the entity tells them
apart; then the cases as they are. An interrupted run goes on from its last checkpoint; --fresh starts over.
"""
import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import facts
import model as m

FIRST_SEED = 1_000_000
VALIDATION_SEED = 8_000_000
QUESTIONS, COMPOSED_QUESTIONS = 8, 24
POOL = 512  # cases composed at once and sorted by length


@dataclass
class Level:
    passages: int               # at most
    relations: list[int]        # of a case, to choose from
    not_stated: float           # share of such questions
    sentences: int              # one of so many questions also has its fact's sentence completed
    prompt_weight: float        # of the next tokens of passages and questions
    rates: tuple[float, float]  # the highest of Muon and of AdamW
    learned: float              # loss of answers' first tokens at which the next level begins


LEVELS = [Level(1, [4], 0, 1, 0.2, (3e-3, 2e-3), 0.45),
          Level(6, [1], 0, 1, 0.2, (1.5e-3, 1.2e-3), 0.45),
          Level(6, [1, 4, 4], 0.15, 4, 0.05, (1e-3, 1e-3), 0)]


class Encoder:
    """The tokenizer with a memory of words."""

    def __init__(self, tokenizer):
        self.tokenizer, self.known = tokenizer, {}

    def __call__(self, text: str) -> list[int]:
        ids = []
        for word in text.split(" "):
            if word not in self.known:
                self.known[word] = self.tokenizer.encode(word).ids
            ids += self.known[word]
        return ids


def name_in(encode: Encoder, question: str) -> str:
    """The words that are of several pieces, the question mark apart."""
    return " ".join(word for word in question.rstrip("?").split(" ") if len(encode(word)) > 1)


def cloze_of(encode: Encoder, case: facts.Case, question: facts.Question) -> tuple[str, str] | None:
    """The fact's sentence up to its value, with the name for a pronoun; none where the name does not stand before the value."""
    if question.passage < 0:
        return None
    first, _, rest = case.passages[question.passage][question.sentence[0]:question.value[0]].strip().partition(" ")
    text = f"{name_in(encode, question.text) if first in ('It', 'He', 'She') else first} {rest}"
    return (text, question.answer) if name_in(encode, text) else None


def packed(encode: Encoder, case: facts.Case, sentences: int) -> np.ndarray:
    """int64 [5, T]: tokens, what follows them, position, block (0: passages, 1..: questions), kind of what follows (0: nothing to learn,
    1: prompt, 2: answer, 3: its first token)."""
    prefix = [m.BOS]
    for passage in case.passages:
        prefix += [*encode(passage), m.SEP]
    tokens, labels, positions, blocks = prefix, [*prefix[1:], m.PAD], list(range(len(prefix))), [0] * len(prefix)
    kinds = [1] * (len(prefix) - 1) + [0]
    asked_answers = [(question.text, question.answer) for question in case.questions]
    asked_answers += [cloze for question in case.questions[::sentences] if (cloze := cloze_of(encode, case, question)) is not None]
    for q, (text, answer_text) in enumerate(asked_answers):
        asked, answer = [*encode(text), m.SEP][:None if text.endswith("?") else -1], [*encode(answer_text), m.EOS]
        block = asked + answer[:-1]
        labels = labels + asked[1:] + answer
        kinds = kinds + [1] * (len(asked) - 1) + [3] + [2] * (len(answer) - 1)
        tokens, blocks = tokens + block, blocks + [q + 1] * len(block)
        positions = positions + list(range(len(prefix), len(prefix) + len(block)))
    return np.array([tokens, labels, positions, blocks, kinds])


class Cases:
    """New cases without end, in batches of similar length."""

    def __init__(self, encode: Encoder, first_seed: int, tokens_per_batch: int, level: int):
        self.encode, self.seed, self.most, self.random = encode, first_seed, tokens_per_batch, np.random.default_rng(first_seed)
        self.level = level  # index into LEVELS
        self.batches: list[Tensor] = []

    def shortened(self, case: facts.Case) -> facts.Case:
        passages = case.passages[:LEVELS[self.level].passages]
        nowhere = [question for question in case.questions if question.passage < 0]
        there = [question for question in case.questions if 0 <= question.passage < len(passages)]
        absent = int(self.random.binomial(QUESTIONS, LEVELS[self.level].not_stated))
        # Answers that are names are learned last: they come first in line.
        names = [question for question in there if len(self.encode(question.answer.split(" ")[0])) > 1 and question.answer[0].isalpha()]
        there = names[:QUESTIONS * 5 // 8] + [question for question in there if question not in names]
        return facts.Case(passages, nowhere[:absent] + there[:QUESTIONS - absent])

    def fill(self) -> None:
        level = LEVELS[self.level]
        composed = facts.compose(self.seed, POOL, held_out=False, questions=COMPOSED_QUESTIONS, relations=int(self.random.choice(level.relations)))
        self.seed += POOL
        rows = sorted((packed(self.encode, self.shortened(case), level.sentences) for case in composed), key=lambda row: row.shape[1])
        while rows:
            count = 1
            while count < len(rows) and (count + 1) * rows[count].shape[1] <= self.most:
                count += 1
            chosen, rows = rows[:count], rows[count:]
            longest = max(row.shape[1] for row in chosen)
            batch = np.zeros((5, count, longest), np.int64)
            batch[3] = -1
            for i, row in enumerate(chosen):
                batch[:, i, :row.shape[1]] = row
            self.batches.append(torch.from_numpy(batch))
        self.random.shuffle(self.batches)

    def next(self) -> Tensor:
        if not self.batches:
            self.fill()
        return self.batches.pop()


def losses(model: m.Reader, batch: Tensor, fast: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Of prompts, of answers, and of the answers' first tokens."""
    tokens_bq, labels_bq, positions_bq, blocks_bq, kinds_bq = batch
    block_b1k, block_bq1 = blocks_bq.unsqueeze(1), blocks_bq.unsqueeze(2)
    visible_bqk = ((block_b1k == 0) | (block_b1k == block_bq1)).tril()
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        x_bqd, _ = model.run(tokens_bq, positions_bq, visible_bqk.unsqueeze(1), [])
        chosen = kinds_bq > 0
        logits_nv = model.logits(x_bqd[chosen])
    loss_n, kinds_n = F.cross_entropy(logits_nv.float(), labels_bq[chosen], reduction="none"), kinds_bq[chosen]
    return loss_n[kinds_n == 1].mean(), loss_n[kinds_n > 1].mean(), loss_n[kinds_n == 3].mean()


def exact(model: m.Reader, tokenizer, cases: list[facts.Case]) -> float:
    right = 0
    for first in range(0, len(cases), 50):
        some = cases[first:first + 50]
        prompts = [m.prompt_of(tokenizer, case.passages, case.questions[0].text)[0] for case in some]
        said = [tokenizer.decode(ids) for ids in m.generate(model, prompts)]
        right += sum(answer == case.questions[0].answer for answer, case in zip(said, some))
    return right / len(cases)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--tokens", type=int, default=4500, help="per batch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, default=facts.CACHE / "reader.pt")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(arguments.seed)
    tokenizer = m.make_tokenizer()
    tokenizer.save(str(m.TOKENIZER))
    validation = facts.compose(VALIDATION_SEED, 200, held_out=True)
    model = m.Reader(tokenizer.get_vocab_size())
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    # Muon for the layers' matrices: it learns to look back in fewer steps than AdamW.
    matrices = [p for p in model.layers.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if not any(p is matrix for matrix in matrices)]
    optimisers = [torch.optim.Muon(matrices, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
                  torch.optim.AdamW(others, weight_decay=0.0, betas=(0.9, 0.98))]
    spent, step, seed, level, recent = 0.0, 0, FIRST_SEED, 0, 5.0
    if arguments.checkpoint.exists() and not arguments.fresh:
        kept = torch.load(arguments.checkpoint, weights_only=True)
        model.load_state_dict(kept["model"])
        for optimiser, state in zip(optimisers, kept["optimisers"]):
            optimiser.load_state_dict(state)
        spent, step, seed, level = kept["spent"], kept["step"], kept["seed"], kept["level"]
    total = arguments.minutes * 60
    cases = Cases(Encoder(tokenizer), seed, arguments.tokens, level)

    def keep() -> None:
        part = arguments.checkpoint.with_suffix(".part")
        torch.save({"model": model.state_dict(), "optimisers": [optimiser.state_dict() for optimiser in optimisers],
                    "spent": spent, "step": step, "seed": cases.seed, "level": cases.level}, part)
        part.rename(arguments.checkpoint)

    while spent < total:
        begun = time.monotonic()
        level = LEVELS[cases.level]
        # Up, level, and down to zero in the last two fifths.
        rate = min(1, (step + 1) / 100, max(0.01, 2.5 * (1 - spent / total)))
        for optimiser, highest in zip(optimisers, level.rates):
            optimiser.param_groups[0]["lr"] = rate * highest
            optimiser.zero_grad()
        of_prompt, of_answer, of_first = losses(model, cases.next(), fast=True)
        (level.prompt_weight * of_prompt + of_answer + of_first).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        step += 1
        recent = 0.95 * recent + 0.05 * of_first.item()
        if recent < level.learned:
            cases.level, cases.batches, recent = cases.level + 1, [], 5.0
        spent += time.monotonic() - begun
        if step % 50 == 0:
            print(f"{step} steps, {spent:.0f} s, level {cases.level + 1}: prompt {of_prompt.item():.3f}, answer {of_answer.item():.3f}, "
                  f"first token {recent:.3f}", flush=True)
        if step % 250 == 0 or spent >= total:
            print(f"exact {exact(model, tokenizer, validation):.3f}", flush=True)
            keep()


if __name__ == "__main__":
    main()
