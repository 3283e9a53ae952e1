#!/usr/bin/env python3
"""What another program needs to check its captured attention against this model:

    python3 reference.py --seed 9000000 --out FOLDER

writes forward_inputs.pt (image, ids) and forward_attention.pt, a dict from site name to float32 [batch, heads, queries, keys], as the
modules of transformers return them. torch::pickle_load reads both.
"""
import argparse
from pathlib import Path

import torch

import export
import model as m
import shapes as sh


def load(weights: Path):
    """The captioner of transformers with the weights of a TorchScript file."""
    model, kept = m.build(), torch.jit.load(str(weights), map_location="cpu")
    model.vision_model.load_state_dict(kept.encoder.vision_model.state_dict())
    text = kept.decoder.text_decoder.state_dict()
    del text["bert.embeddings.position_ids"]  # no weights: tracing keeps what the class does not
    model.text_decoder.load_state_dict(text)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=export.HERE / "captioner.pt")
    parser.add_argument("--seed", type=int, default=9_000_000, help="of a held-out picture")
    parser.add_argument("--batch", type=int, default=3, help="how many pictures, from that seed on")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load(arguments.weights)
    pictures = sh.Composer().compose(arguments.seed, arguments.batch, held_out=True)
    image_bchw = m.normalise(torch.from_numpy(pictures.inputs_nhwc))
    ids_bt = torch.randint(3, m.VOCABULARY, (arguments.batch, 13), generator=torch.Generator().manual_seed(1))
    attention: dict[str, torch.Tensor] = {}

    def note_at(site: str):
        def note(module, inputs, outputs) -> None:
            attention[site] = outputs[1].float().contiguous()
        return note

    for half, part in (("encoder", "vision_model"), ("decoder", "text_decoder")):
        for name, module in getattr(model, part).named_modules():
            if name.endswith((".self_attn", ".self")):
                module.register_forward_hook(note_at(f"{half}.{part}.{name}"))
    with torch.no_grad():
        m.decode(model, ids_bt, m.encode(model, image_bchw))
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.save((image_bchw, ids_bt), arguments.out / "forward_inputs.pt")
    torch.save(attention, arguments.out / "forward_attention.pt")


if __name__ == "__main__":
    main()
