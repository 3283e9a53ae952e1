# SPDX-License-Identifier: MIT
"""Language models without a picture."""
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from example import FORMS, HALF, architecture, positional

COMMON = dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=32, pad_token_id=0,
              bos_token_id=1, eos_token_id=2)
FIXED = {"use_cache": False, "return_dict": False}


def ids(length: int = 7) -> torch.Tensor:
    return torch.randint(3, 96, (2, length))


def padded(left: bool, length: int = 7) -> dict:
    mask = torch.ones(2, length, dtype=torch.long)
    mask[1, :3] = 0
    return {"input_ids": ids(length), "attention_mask": mask if left else mask.flip(1)}


def llama(form: str, kv_heads: int) -> torch.nn.Module:
    config = LlamaConfig(**COMMON, intermediate_size=64, num_key_value_heads=kv_heads)
    return LlamaForCausalLM._from_config(config, attn_implementation=form)


@architecture("llama-gqa", FORMS + (HALF,))
def llama_gqa(form):
    return positional(llama(form, 2), {"input_ids": ids()}, FIXED)


@architecture("llama-mqa")
def llama_mqa(form):
    return positional(llama(form, 1), {"input_ids": ids()}, FIXED)


@architecture("llama-left-padded")
def llama_left(form):
    return positional(llama(form, 2), padded(left=True), FIXED)


@architecture("llama-right-padded")
def llama_right(form):
    return positional(llama(form, 4), padded(left=False), FIXED)
