# SPDX-License-Identifier: MIT
"""Text encoders, and encoders of anything."""
import torch
from transformers import (BertConfig, BertModel, BigBirdConfig, BigBirdModel, DebertaConfig, DebertaModel, DebertaV2Config, DebertaV2Model,
                          FNetConfig, FNetModel, LongformerConfig, LongformerModel, ModernBertConfig, ModernBertModel, PerceiverConfig,
                          PerceiverModel, XLNetConfig, XLNetModel)

from example import FORMS, HALF, architecture, positional

COMMON = dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=64,
              pad_token_id=0)
TUPLE = {"return_dict": False}


def padded(length: int = 7) -> dict:
    mask = torch.ones(2, length, dtype=torch.long)
    mask[1, -3:] = 0
    return {"input_ids": torch.randint(3, 96, (2, length)), "attention_mask": mask}


@architecture("bert", FORMS + (HALF,))
def bert(form):
    return positional(BertModel._from_config(BertConfig(**COMMON), attn_implementation=form), padded(), TUPLE)


@architecture("deberta", ("eager",))
def deberta(form):
    config = DebertaConfig(**COMMON, relative_attention=True, pos_att_type=["c2p", "p2c"], max_relative_positions=8, type_vocab_size=0)
    return positional(DebertaModel._from_config(config, attn_implementation=form), padded(), TUPLE)


@architecture("deberta-v2", ("eager",))
def deberta_v2(form):
    config = DebertaV2Config(**COMMON, relative_attention=True, pos_att_type=["c2p", "p2c"], max_relative_positions=8)
    return positional(DebertaV2Model._from_config(config, attn_implementation=form), padded(), TUPLE)


@architecture("modernbert")
def modernbert(form):
    config = ModernBertConfig(**COMMON, local_attention=4, global_attn_every_n_layers=2, cls_token_id=1, sep_token_id=2, bos_token_id=1,
                              eos_token_id=2, reference_compile=False)
    return positional(ModernBertModel._from_config(config, attn_implementation=form), padded(), TUPLE)


@architecture("longformer", ("eager",))
def longformer(form):
    config = LongformerConfig(**COMMON, attention_window=[4, 4], sep_token_id=2, bos_token_id=1, eos_token_id=2)
    # The recorded rows are [batch, queries, heads, offsets]; those of padding are zero in every head.
    return positional(LongformerModel._from_config(config, attn_implementation=form), padded(12), TUPLE, repeats=True,
                      reported=(r"attention\.self$",))


@architecture("bigbird", ("eager",))
def bigbird(form):
    config = BigBirdConfig(**COMMON, attention_type="block_sparse", block_size=4, num_random_blocks=1)
    return positional(BigBirdModel._from_config(config, attn_implementation=form), padded(32), TUPLE)


@architecture("xlnet", ("eager",))
def xlnet(form):
    config = XLNetConfig(vocab_size=97, d_model=48, n_layer=2, n_head=4, d_inner=64)
    return positional(XLNetModel._from_config(config, attn_implementation=form), {"input_ids": torch.randint(3, 96, (2, 7))},
                      {"use_mems": False, "return_dict": False})


@architecture("perceiver", ("eager",))
def perceiver(form):
    config = PerceiverConfig(num_latents=5, d_latents=32, d_model=24, num_blocks=1, num_self_attends_per_block=2, num_self_attention_heads=4,
                             num_cross_attention_heads=2)
    return positional(PerceiverModel._from_config(config, attn_implementation=form), {"inputs": torch.randn(2, 9, 24)}, TUPLE)


@architecture("fnet", ("eager",))
def fnet(form):
    """Fourier transforms in the place of attention."""
    config = FNetConfig(vocab_size=97, hidden_size=48, num_hidden_layers=2, intermediate_size=64, max_position_embeddings=16)
    return positional(FNetModel._from_config(config, attn_implementation=form), {"input_ids": torch.randint(3, 96, (2, 7))}, TUPLE,
                      calls_expected=False)
