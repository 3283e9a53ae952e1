#!/usr/bin/env python3
"""Measures the weights that are there: exact answers, and whether attention tells the passage that an answer rests on.

    python3 evaluate.py [--weights reader.pt] [--seed 9000000] [--count 500]

Heads are chosen on other held-out cases (from seed 8500000). A passage's mass is the sum, over the answer's tokens, of the weights on
its tokens in the rows that predicted them, mean over the heads.
"""
import argparse
from pathlib import Path

import numpy as np
import torch

import eager
import export
import facts
import model as m

CHOICE_SEED, CHOICE_COUNT = 8_500_000, 300
PASSAGES = 6


class Measured:
    """Of many cases: what was said, and each head's mass on each passage."""

    def __init__(self, model: m.Reader, tokenizer, first_seed: int, count: int):
        self.cases = facts.compose(first_seed, count, held_out=True)
        self.truth = [case.questions[0] for case in self.cases]
        prompts = [m.prompt_of(tokenizer, case.passages, case.questions[0].text) for case in self.cases]
        said = [ids for first in range(0, count, 50) for ids in m.generate(model, [ids for ids, _ in prompts[first:first + 50]])]
        self.exact = np.array([tokenizer.decode(ids) == question.answer for ids, question in zip(said, self.truth)])
        self.holder = np.array([question.passage for question in self.truth])
        self.mass_nlhp = np.zeros((count, m.LAYERS, m.HEADS, PASSAGES))
        self.uniform_np = np.zeros((count, PASSAGES))  # what attention to all keys alike would give
        for i, ((ids, ranges), answer) in enumerate(zip(prompts, said)):
            notes: dict[str, list[torch.Tensor]] = {}
            with torch.no_grad(), eager.noted(model, notes):
                model(torch.tensor([ids + answer]))
            rows = slice(len(ids) - 1, len(ids) - 1 + len(answer))
            attn_lhqk = torch.cat([weights[0] for weights in notes.values()])[:, :, rows]
            for p, (first, end) in enumerate(ranges[:-1]):
                self.mass_nlhp[i, :, :, p] = attn_lhqk[..., first:end].sum(-1).mean(-1)
                self.uniform_np[i, p] = (end - first) / len(ids)

    def hits(self, mass_np: np.ndarray, chosen: np.ndarray) -> float:
        """Share of chosen cases whose largest passage is the holder."""
        return float((mass_np.argmax(1) == self.holder)[chosen].mean())


def largest_share(mass_np: np.ndarray) -> np.ndarray:
    return mass_np.max(1) / np.maximum(mass_np.sum(1), 1e-12)


def auc(higher: np.ndarray, lower: np.ndarray) -> float:
    both = higher[:, None] - lower[None]
    return float((both > 0).mean() + 0.5 * (both == 0).mean())


def best_heads(measured: Measured, count: int) -> list[tuple[int, int]]:
    """Those with the widest margin of the holder over the heaviest other passage."""
    answered = measured.holder >= 0
    mass_nlhp, holder_n = measured.mass_nlhp[answered], measured.holder[answered]
    of_holder_nlh = np.take_along_axis(mass_nlhp, holder_n[:, None, None, None], 3)[..., 0]
    others_nlhp = mass_nlhp.copy()
    np.put_along_axis(others_nlhp, holder_n[:, None, None, None], 0, 3)
    margin_lh = (of_holder_nlh - others_nlhp.max(3)).mean(0)
    return [(int(i) // m.HEADS, int(i) % m.HEADS) for i in margin_lh.flatten().argsort()[::-1][:count]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=export.HERE / "reader.pt")
    parser.add_argument("--seed", type=int, default=9_000_000)
    parser.add_argument("--count", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = m.Tokenizer.from_file(str(m.TOKENIZER))
    model = export.load_weights(arguments.weights, tokenizer.get_vocab_size())
    choice = Measured(model, tokenizer, CHOICE_SEED, CHOICE_COUNT)
    test = Measured(model, tokenizer, arguments.seed, arguments.count)

    stated = test.holder >= 0
    print(f"exact: {test.exact.mean():.1%} ({test.exact.sum()}) of {len(stated)}; of {stated.sum()} that a passage states "
          f"{test.exact[stated].mean():.1%}, of {(~stated).sum()} that none does {test.exact[~stated].mean():.1%}")
    print(f"cases with a right answer: {(test.exact & stated).sum()}; largest passage by length alone: {test.hits(test.uniform_np, stated):.1%}")
    wrong = [f"  {question.text} {question.answer}" for question, right in zip(test.truth, test.exact) if not right]
    print("wrong:", *wrong[:10], sep="\n")

    rows = [("mean of all", [(layer, h) for layer in range(m.LAYERS) for h in range(m.HEADS)])]
    rows += [(f"layers {first}-{m.LAYERS - 1}", [(layer, h) for layer in range(first, m.LAYERS) for h in range(m.HEADS)]) for first in (1, 2)]
    rows += [(f"layer {layer}", [(layer, h) for h in range(m.HEADS)]) for layer in range(m.LAYERS)]
    rows += [(f"layer {layer} head {h}", [(layer, h)]) for layer in range(m.LAYERS) for h in range(m.HEADS)]
    rows += [(f"best {count} heads {best_heads(choice, count)}", best_heads(choice, count)) for count in (1, 2, 3, 4, 6)]
    print("heads | holder is largest: choice, test (all stated), test (right answers) | mass on passages: stated, not stated | "
          "largest share, median: stated, not stated | AUC of share, of mass (stated above not stated)")
    for name, heads in rows:
        mass_np = lambda measured: np.mean([measured.mass_nlhp[:, layer, h] for layer, h in heads], axis=0)
        mine, share = mass_np(test), largest_share(mass_np(test))
        total = mine.sum(1)
        print(f"{name} | {choice.hits(mass_np(choice), choice.holder >= 0):.1%} {test.hits(mine, stated):.1%} "
              f"{test.hits(mine, stated & test.exact):.1%} | "
              f"{total[stated].mean():.3f} {total[~stated].mean():.3f} | {np.median(share[stated]):.3f} {np.median(share[~stated]):.3f} | "
              f"{auc(share[stated], share[~stated]):.3f} {auc(total[stated], total[~stated]):.3f}")


if __name__ == "__main__":
    main()
