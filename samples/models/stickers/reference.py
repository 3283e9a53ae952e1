#!/usr/bin/env python3
"""What another program needs to check its captured attention against this model:

    python3 reference.py --weights stickers_softmax.pt --scene 9000000 --out FOLDER

writes forward_inputs.pt (image, tokens), generate_inputs.pt (image, prompt, max_new) and forward_attention.pt, a dict from site name
("decoder.layers.0.cross_attn", ...) to float32 [batch, heads, queries, keys] from the eager module. torch::pickle_load reads them.
"""
import argparse
from pathlib import Path

import torch
from torch import Tensor

import evaluate
import model as m
import scenes as sc
from decoder import Attention


def attention_of_forward(model: m.StickerReader, image_bchw: Tensor, tokens_bt: Tensor) -> dict[str, Tensor]:
    attention: dict[str, Tensor] = {}

    def note_at(site: str):
        def note(module: Attention, inputs: tuple) -> None:
            x_bqd, k_bhkc, _, hidden_qk = inputs
            scores_bhqk = module.split(module.q(x_bqd)) @ k_bhkc.transpose(2, 3) * module.scale
            if hidden_qk.numel() > 0:
                scores_bhqk = scores_bhqk + hidden_qk
            attention[site] = torch.softmax(scores_bhqk, dim=-1).contiguous()
        return note

    hooks = [module.register_forward_pre_hook(note_at(site)) for site, module in model.named_modules() if isinstance(module, Attention)]
    with torch.no_grad():
        model(image_bchw, tokens_bt)
    for hook in hooks:
        hook.remove()
    return attention


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path(__file__).resolve().parent / "stickers_softmax.pt")
    parser.add_argument("--scene", type=int, default=evaluate.TEST_SEED, help="seed of a held-out scene")
    parser.add_argument("--batch", type=int, default=2, help="how many scenes, from that seed on")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = m.StickerReader()
    model.load_state_dict(torch.jit.load(str(arguments.weights), map_location="cpu").state_dict())
    model.eval()
    pool = sc.Composer().compose(arguments.scene, arguments.batch, held_out=True)
    image_bchw = m.normalise(torch.from_numpy(pool.inputs_nhwc)).contiguous()
    prompt_bt = torch.tensor([m.describe_prompt()] * arguments.batch)
    with torch.no_grad():
        tokens_bt = torch.cat([prompt_bt, model.generate(image_bchw, prompt_bt, evaluate.MAX_NEW)], 1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.save((image_bchw, tokens_bt), arguments.out / "forward_inputs.pt")
    torch.save((image_bchw, prompt_bt, evaluate.MAX_NEW), arguments.out / "generate_inputs.pt")
    torch.save(attention_of_forward(model, image_bchw, tokens_bt), arguments.out / "forward_attention.pt")


if __name__ == "__main__":
    main()
