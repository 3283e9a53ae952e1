#!/usr/bin/env python3
"""Writes reader.pt (TorchScript), profile.json and the example of samples/data: python3 export.py [--checkpoint FILE] [--out DIR]"""
import argparse
import json
import sys
from pathlib import Path

import torch

import facts
import model as m

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from portable import leave_out_sources, portable_sources

EXAMPLE_SEED = 9_000_000
PROFILE = {
    "gaze_profile": 1,
    "name": "reader",
    "sites": {"match": ["layers.*.self_attn"]},
    "text": {"argument": {"forward": 0, "prefill": 0, "step": 0}},
    "tokens": {"vocabulary": "tokenizer.json", "eos": m.EOS},
}


def load_weights(weights: Path, words: int) -> m.Reader:
    """The reader with the weights of a TorchScript file."""
    model = m.Reader(words)
    model.load_state_dict(torch.jit.load(str(weights), map_location="cpu").state_dict())
    return model.eval()


def write_model(model: m.Reader, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with portable_sources():
        torch.jit.script(model.eval()).save(str(folder / "reader.pt"))
    leave_out_sources(folder / "reader.pt")
    (folder / "profile.json").write_text(json.dumps(PROFILE, indent=1) + "\n")


def write_example(tokenizer, file: Path) -> None:
    """One held-out case: the prompt's ids, and which of them are whose."""
    case = facts.compose(EXAMPLE_SEED, 1, held_out=True)[0]
    ids, ranges = m.prompt_of(tokenizer, case.passages, case.questions[0].text)
    sources = [{"kind": "passage", "id": f"doc-{p + 1}", "tokens": list(tokens)} for p, tokens in enumerate(ranges[:-1])]
    sources.append({"kind": "user", "id": "question", "tokens": list(ranges[-1])})
    rows = ",\n".join("  " + json.dumps(source) for source in sources)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'{{\n "prompt": {json.dumps(case.questions[0].text)},\n "ids": {json.dumps(ids)},\n "sources": [\n{rows}\n ]\n}}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=facts.CACHE / "reader.pt")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    tokenizer = m.make_tokenizer()
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(arguments.out / "tokenizer.json"))
    model = m.Reader(tokenizer.get_vocab_size())
    model.load_state_dict(torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)["model"])
    write_model(model, arguments.out)
    write_example(tokenizer, facts.SAMPLES / "data" / "reader" / "question.json")


if __name__ == "__main__":
    main()
