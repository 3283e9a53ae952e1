#!/usr/bin/env python3
"""What another program needs to check its captured attention against this model:

    python3 reference.py --seed 9000000 --out FOLDER

writes forward_inputs.pt (tokens of cases with their right answers, shorter ones begin with [PAD]) and forward_attention.pt, a dict from
site name to float32 [batch, heads, queries, keys]. torch::pickle_load reads both.
"""
import argparse
from pathlib import Path

import torch

import eager
import export
import facts
import model as m


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=export.HERE / "reader.pt")
    parser.add_argument("--seed", type=int, default=9_000_000, help="of a held-out case")
    parser.add_argument("--batch", type=int, default=3, help="how many cases, from that seed on")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = m.Tokenizer.from_file(str(m.TOKENIZER))
    model = export.load_weights(arguments.weights, tokenizer.get_vocab_size())
    rows = []
    for case in facts.compose(arguments.seed, arguments.batch, held_out=True):
        ids, _ = m.prompt_of(tokenizer, case.passages, case.questions[0].text)
        rows.append(ids + tokenizer.encode(case.questions[0].answer).ids)
    tokens_bt = m.left_padded(rows)
    notes: dict[str, list[torch.Tensor]] = {}
    with torch.no_grad(), eager.noted(model, notes):
        model(tokens_bt)
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.save((tokens_bt,), arguments.out / "forward_inputs.pt")
    torch.save({site: weights[0].contiguous() for site, weights in notes.items()}, arguments.out / "forward_attention.pt")


if __name__ == "__main__":
    main()
