# SPDX-License-Identifier: MIT
"""Language models without a picture."""
import torch
from transformers import (FalconConfig, FalconForCausalLM, Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM,
                          Gemma3TextConfig, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, GptOssConfig, GptOssForCausalLM,
                          LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM, MptConfig,
                          MptForCausalLM, OPTConfig, OPTForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

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


@architecture("mixtral")
def mixtral(form):
    config = MixtralConfig(**COMMON, intermediate_size=32, num_key_value_heads=2, num_local_experts=4)
    return positional(MixtralForCausalLM._from_config(config, attn_implementation=form, experts_implementation="eager"), {"input_ids": ids()}, FIXED)


@architecture("mistral-window")
def mistral(form):
    config = MistralConfig(**COMMON, intermediate_size=64, num_key_value_heads=2, sliding_window=3)
    return positional(MistralForCausalLM._from_config(config, attn_implementation=form), {"input_ids": ids(9)}, FIXED)


@architecture("gpt2", FORMS + (HALF,))
def gpt2(form):
    config = GPT2Config(vocab_size=97, n_positions=32, n_embd=48, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)
    return positional(GPT2LMHeadModel._from_config(config, attn_implementation=form), padded(left=False), FIXED)


@architecture("gpt2-upcast", ("eager",))
def gpt2_upcast(form):
    """Scores by baddbmm in float32."""
    config = GPT2Config(vocab_size=97, n_positions=32, n_embd=48, n_layer=2, n_head=4, reorder_and_upcast_attn=True)
    return positional(GPT2LMHeadModel._from_config(config, attn_implementation=form), {"input_ids": ids()}, FIXED)


@architecture("gpt-neox")
def gpt_neox(form):
    config = GPTNeoXConfig(**COMMON, intermediate_size=64)
    return positional(GPTNeoXForCausalLM._from_config(config, attn_implementation=form), {"input_ids": ids()}, FIXED)


@architecture("gpt-oss", ("eager",))
def gpt_oss(form):
    """A learned sink per head, and windows in every other layer."""
    config = GptOssConfig(**COMMON, num_key_value_heads=2, head_dim=12, intermediate_size=32, num_local_experts=4, num_experts_per_tok=2,
                          sliding_window=3, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    return positional(GptOssForCausalLM._from_config(config, attn_implementation=form, experts_implementation="eager"), {"input_ids": ids()}, FIXED)


@architecture("falcon-mqa")
def falcon(form):
    config = FalconConfig(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, multi_query=True)
    return positional(FalconForCausalLM._from_config(config, attn_implementation=form), {"input_ids": ids()}, FIXED)


@architecture("falcon-alibi", ("eager",))
def falcon_alibi(form):
    config = FalconConfig(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, multi_query=False, alibi=True)
    return positional(FalconForCausalLM._from_config(config, attn_implementation=form), {"input_ids": ids()}, FIXED)


@architecture("mpt", ("eager",))
def mpt(form):
    config = MptConfig(vocab_size=97, d_model=48, n_heads=4, n_layers=2, max_seq_len=16, expansion_ratio=2)
    return positional(MptForCausalLM._from_config(config, attn_implementation=form), {"input_ids": ids()}, FIXED)


@architecture("opt")
def opt(form):
    config = OPTConfig(**COMMON, ffn_dim=64, word_embed_proj_dim=48)
    return positional(OPTForCausalLM._from_config(config, attn_implementation=form), padded(left=True), FIXED)


@architecture("phi3")
def phi3(form):
    config = Phi3Config(**COMMON, intermediate_size=64, num_key_value_heads=2)
    return positional(Phi3ForCausalLM._from_config(config, attn_implementation=form), {"input_ids": ids()}, FIXED)


@architecture("qwen3")
def qwen3(form):
    config = Qwen3Config(**COMMON, intermediate_size=64, num_key_value_heads=2, head_dim=16)
    return positional(Qwen3ForCausalLM._from_config(config, attn_implementation=form), {"input_ids": ids()}, FIXED)


@architecture("gemma2-softcap", ("eager",))
def gemma2(form):
    config = Gemma2Config(**COMMON, intermediate_size=64, num_key_value_heads=2, head_dim=12, sliding_window=3, attn_logit_softcapping=5.0)
    return positional(Gemma2ForCausalLM._from_config(config, attn_implementation=form), {"input_ids": ids()}, FIXED)


@architecture("gemma3-text", FORMS + (HALF,))
def gemma3(form):
    config = Gemma3TextConfig(**COMMON | dict(num_hidden_layers=3), intermediate_size=64, num_key_value_heads=2, head_dim=12, sliding_window=3,
                              query_pre_attn_scalar=12, layer_types=["sliding_attention", "sliding_attention", "full_attention"])
    return positional(Gemma3ForCausalLM._from_config(config, attn_implementation=form), padded(left=True, length=9), FIXED)
