#!/usr/bin/env python3
"""Writes the speech sample's TorchScript file, vocab.json, profile.json and card: python3 export.py [--out DIR]"""
import argparse
import json
from pathlib import Path

import torch

import evaluate
import model as m
import recordings as rec
from portable import portable_sources

PROFILE = {
    "gaze_profile": 1,
    "name": "speech",
    "sites": {"match": ["decoder.layers.*.cross_attn"]},
    "sound": {"argument": {"forward": 0, "encode": 0, "generate": 0}, "sample_rate_hz": m.RATE_HZ},
    # Key k is centred at 0.02 k seconds.
    "geometry": {"time": {"keys": m.WINDOW // m.HOP // 2, "seconds_per_key": 0.02, "first_seconds": -0.01}},
    "tokens": {"vocabulary": "vocab.json", "eos": m.EOS},
}

CARD = """# speech: a small model that writes down spoken words

Up to eight seconds of sound go in, the words that are heard come out: sequences of {vocabulary} English words. It exists to test overlays and word
times: when each word is said is known, so a wrong one is caught. It is of no other use.

## Model

Laid out like Whisper: 80 log-mel bins every 10 ms, two convolutions, the second with stride 2 -> one key every 20 ms, padded to 400 keys ->
five convolutional blocks (0.33 s to either side) and one layer of self-attention -> text decoder of 3 layers, 4 heads, cross-attention, KV
cache. {parameters:,} parameters. Longer words are two tokens (" to", "morrow"). `scaled_dot_product_attention` throughout.

## Training

Words spoken by espeak-ng, {voices} voices in eight accents, 110 to 210 words per minute, pitch 20 to 80, cut where they are first and last heard and
laid on a timeline by `samples/scenes/recordings.hpp`: 3 to 8 words, pauses of 0.04 to 0.8 s, and white or pink noise, mains hum, babble or
music at 5 to 20 dB. Every recording is new: {recordings:,} of them in {minutes:.0f} minutes on one busy CPU core, seed {seed}. First the encoder alone learns which word is heard at each
key, from where the composer laid the words; then the decoder learns to write them down from what the frozen convolutions hear; then all
go on together, the encoder's lesson at weight {weight}. No loss ever saw an attention weight.

## Figures

`python3 evaluate.py`, {count} recordings from seed {test_seed} by {held_out} voices that training never heard: word error rate {wrong:.2%}. The hottest key of a word's raw map lies within the
word (words of right answers):

| {names} |
|{rules}|
| {shares} |

What Gaze makes of them, and how well words get their times (`gaze evaluate --speech`): [docs/speech.md](../../../docs/speech.md).

## Limits

- It knows {vocabulary} words of synthetic voices. People it mishears, and it writes words where none are said: the demo's recordings of people show that.
- More than eight seconds are answered part by part, cut at a quiet moment.
- The held-out voices are other variants of the same synthesizer, in the same accents; each says each word once.
- The encoder was taught where words lie in time. A model that never was (CTC, Whisper) may attend less sharply.

## Licence

The weights carry the licence of this repository.
"""


def write(model: m.SpeechReader, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    fused = m.SpeechReader(fused=True)
    fused.load_state_dict(model.state_dict())
    with portable_sources():
        torch.jit.script(fused.eval()).save(str(folder / "speech.pt"))
    (folder / "vocab.json").write_text(json.dumps({"words": m.WORDS, "pad": m.PAD, "bos": m.BOS, "eos": m.EOS}, indent=1) + "\n")
    if not (folder / "profile.json").exists():  # gaze heads adds the heads that follow the sound
        (folder / "profile.json").write_text(json.dumps(PROFILE, indent=1) + "\n")


def write_card(model: m.SpeechReader, folder: Path, seconds: float, arguments: argparse.Namespace) -> None:
    result = evaluate.evaluate(model, rec.Composer(rec.held_out_clips()), 500, evaluate.TEST_SEED)
    inside = {name: share for name, share in result["inside"].items() if "." not in name}
    steps = arguments.encoder_steps + arguments.decoder_steps + arguments.together_steps
    (folder / "card.md").write_text(CARD.format(
        vocabulary=len(rec.SPOKEN), parameters=sum(p.numel() for p in m.SpeechReader().parameters()), voices=len(rec.VOICES),
        recordings=steps * arguments.batch, minutes=seconds / 60, seed=arguments.seed, weight=arguments.heard_weight,
        test_seed=evaluate.TEST_SEED, held_out=len(rec.HELD_OUT_VOICES), count=result["recordings"], wrong=result["word_error_rate"],
        names=" | ".join("mean of all" if name == "mean" else name for name in inside), rules="|".join("---" for _ in inside),
        shares=" | ".join(f"{share:.1%}" for share in inside.values())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=rec.CACHE / "speech.pt", help="default: the last one of train.py")
    parser.add_argument("--out", type=Path, default=evaluate.HERE)
    arguments = parser.parse_args()
    model = m.SpeechReader()
    model.load_state_dict(torch.load(arguments.checkpoint, map_location="cpu")["average"])
    write(model, arguments.out)


if __name__ == "__main__":
    main()
