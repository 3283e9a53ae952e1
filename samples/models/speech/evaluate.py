#!/usr/bin/env python3
"""Word errors, and where words were heard, on recordings never trained on: python3 evaluate.py [--recordings 500] [--json]

The C++ program measures the same through Gaze (`gaze evaluate --speech`); this is the eager reference that training watches.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import model as m
import recordings as rec

TEST_SEED = 9_000_000
MAX_NEW = 30
KEY_SECONDS = 0.02
HERE = Path(__file__).resolve().parent


def words_of(tokens: list[int]) -> list[tuple[str, int, int]]:
    """(text, first token, tokens) of each word up to <eos>."""
    words: list[tuple[str, int, int]] = []
    for t, token in enumerate(tokens):
        if token in (m.EOS, m.PAD):
            break
        piece = m.WORDS[token]
        if piece.startswith(" ") or not words:
            words.append((piece.strip(), t, 1))
        else:
            text, first, count = words[-1]
            words[-1] = (text + piece, first, count + 1)
    return words


def edits(truth: list[str], guess: list[str]) -> int:
    row = list(range(len(guess) + 1))
    for i, word in enumerate(truth):
        before, row[0] = row[0], i + 1
        for j, other in enumerate(guess):
            before, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, before + (word != other))
    return row[-1]


def cross_attention(model: m.SpeechReader, audio_bs: Tensor, tokens_bt: Tensor) -> Tensor:
    """[layers, B, heads, T, keys] of one teacher-forced pass, recomputed from what each attention was called with."""
    rows = []

    def note(attention, inputs: tuple, _) -> None:
        rows.append(torch.softmax(attention.split(attention.q(inputs[0])) @ inputs[1].transpose(2, 3) * attention.scale, dim=-1))

    hooks = [layer.cross_attn.register_forward_hook(note) for layer in model.decoder.layers]
    with torch.no_grad():
        model(audio_bs, tokens_bt)
    for hook in hooks:
        hook.remove()
    return torch.stack(rows)


def evaluate(model: m.SpeechReader, composer: rec.Composer, count: int, seed: int) -> dict:
    """`inside`: per layer and head, the share of words whose hottest moment lies in the word; words of right answers alone."""
    model.eval()
    wrong = spoken = 0
    inside: dict[str, list[bool]] = {}
    for first in range(0, count, 50):
        recordings = [composer.compose(seed + i) for i in range(first, min(count, first + 50))]
        audio_bs = torch.zeros(len(recordings), m.WINDOW)
        for b, recording in enumerate(recordings):
            samples = torch.from_numpy(recording.samples[:m.WINDOW])
            audio_bs[b, :len(samples)] = samples
        prompt_bt = torch.full((len(recordings), 1), m.BOS)
        with torch.no_grad():
            answer_bt = model.generate(audio_bs, prompt_bt, MAX_NEW)
        attn_lbhtk = cross_attention(model, audio_bs, torch.cat([prompt_bt, answer_bt], 1))
        for b, recording in enumerate(recordings):
            truth = [rec.SPOKEN[word] for word, _, _ in recording.words]
            words = words_of(answer_bt[b].tolist())
            wrong += edits(truth, [text for text, _, _ in words])
            spoken += len(truth)
            if [text for text, _, _ in words] != truth:
                continue
            attn_lhtk = attn_lbhtk[:, b]
            maps = {"mean": attn_lhtk.mean((0, 1))}
            maps |= {f"layer {l}": attn_lhtk[l].mean(0) for l in range(m.LAYERS)}
            maps |= {f"{l}.{h}": attn_lhtk[l, h] for l in range(m.LAYERS) for h in range(m.HEADS)}
            for (_, t, n), (_, start, end) in zip(words, recording.words):
                for name, map_tk in maps.items():
                    moment = float(map_tk[t:t + n].mean(0).argmax()) * KEY_SECONDS
                    inside.setdefault(name, []).append(start - 0.01 <= moment <= end + 0.01)
    return {"recordings": count, "seed": seed, "word_error_rate": round(wrong / spoken, 4),
            "inside": {name: round(float(np.mean(hits)), 4) for name, hits in inside.items()}}


def show(result: dict) -> str:
    return (f"{result['recordings']} recordings: word error rate {result['word_error_rate']:.2%}, hottest moment inside: "
            + " ".join(f"{name} {share:.1%}" for name, share in result["inside"].items()))


def load(path: Path) -> m.SpeechReader:
    model = m.SpeechReader()
    model.load_state_dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=500)
    parser.add_argument("--seed", type=int, default=TEST_SEED)
    parser.add_argument("--weights", type=Path, default=HERE / "speech.pt")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    result = evaluate(load(arguments.weights), rec.Composer(rec.held_out_clips()), arguments.recordings, arguments.seed)
    print(json.dumps(result, indent=1) if arguments.json else show(result))


if __name__ == "__main__":
    main()
