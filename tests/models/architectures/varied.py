# SPDX-License-Identifier: MIT
"""Architectures that fit no other file: each was chosen because it writes attention in yet another way."""
import torch
from transformers import (Aimv2VisionConfig, Aimv2VisionModel, AlbertConfig, AlbertModel, CLIPSegConfig, CLIPSegForImageSegmentation,
                          CodeGenConfig, CodeGenForCausalLM, CTRLConfig, CTRLModel, DINOv3ViTConfig, DINOv3ViTModel, EsmConfig, EsmModel,
                          GPTBigCodeConfig, GPTBigCodeForCausalLM, GPTJConfig, GPTJForCausalLM, GPTNeoConfig, GPTNeoForCausalLM,
                          LayoutLMv3Config, LayoutLMv3Model, LukeConfig, LukeModel, MobileViTV2Config, MobileViTV2Model, PvtV2Config,
                          PvtV2Model, VitDetConfig, VitDetModel, XLMConfig, XLMModel)

from example import architecture, positional

FIXED = {"use_cache": False, "return_dict": False}
TUPLE = {"return_dict": False}
BERT = dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=64)
SMALL = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, patch_size=8)


def ids(length: int = 7, batch: int = 2) -> dict:
    return {"input_ids": torch.randint(3, 96, (batch, length))}


def picture(height: int = 24, width: int = 40, batch: int = 2) -> dict:
    return {"pixel_values": torch.randn(batch, 3, height, width)}


@architecture("albert")
def albert(form):
    """One layer's weights serve every layer, so its calls are calls of one module."""
    config = AlbertConfig(**BERT, embedding_size=16)
    return positional(AlbertModel._from_config(config, attn_implementation=form), ids(), TUPLE)


@architecture("gptj", ("eager",))
def gptj(form):
    config = GPTJConfig(vocab_size=97, n_embd=48, n_layer=2, n_head=4, rotary_dim=8, n_positions=32)
    return positional(GPTJForCausalLM._from_config(config, attn_implementation=form), ids(), FIXED)


@architecture("codegen", ("eager",))
def codegen(form):
    """One projection makes queries, values and keys of four shards, which are split twice."""
    config = CodeGenConfig(vocab_size=97, n_embd=64, n_layer=2, n_head=4, rotary_dim=8, n_positions=32)
    return positional(CodeGenForCausalLM._from_config(config, attn_implementation=form), ids(), FIXED)


@architecture("gpt-neo", ("eager",))
def gpt_neo(form):
    """Unscaled; every second layer sees a window."""
    config = GPTNeoConfig(vocab_size=97, hidden_size=48, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], window_size=3,
                          max_position_embeddings=32)
    return positional(GPTNeoForCausalLM._from_config(config, attn_implementation=form), ids(), FIXED)


@architecture("gpt-bigcode")
def gpt_bigcode(form):
    """All heads share one head of keys, which comes out of the queries' projection."""
    config = GPTBigCodeConfig(vocab_size=97, n_embd=48, n_layer=2, n_head=4, n_positions=32, multi_query=True)
    return positional(GPTBigCodeForCausalLM._from_config(config, attn_implementation=form), ids(), FIXED)


@architecture("ctrl", ("eager",))
def ctrl(form):
    config = CTRLConfig(vocab_size=97, n_embd=48, n_layer=2, n_head=4, dff=64, n_positions=32)
    return positional(CTRLModel(config), ids(), FIXED)


@architecture("xlm", ("eager",))
def xlm(form):
    config = XLMConfig(vocab_size=97, emb_dim=48, n_layers=2, n_heads=4, max_position_embeddings=32)
    return positional(XLMModel(config), ids(), TUPLE)


@architecture("esm")
def esm(form):
    config = EsmConfig(**BERT, position_embedding_type="rotary", pad_token_id=1, mask_token_id=2)
    return positional(EsmModel._from_config(config, attn_implementation=form), ids(), TUPLE)


@architecture("luke", ("eager",))
def luke(form):
    """Words and entities have queries of their own for each other; four blocks of scores are joined before the softmax."""
    config = LukeConfig(**BERT, entity_vocab_size=20, entity_emb_size=16, use_entity_aware_attention=True)
    inputs = ids() | {"entity_ids": torch.randint(1, 19, (2, 3)), "entity_position_ids": torch.randint(0, 7, (2, 3, 4))}
    return positional(LukeModel._from_config(config, attn_implementation=form), inputs, TUPLE)


@architecture("layoutlmv3", ("eager",))
def layoutlmv3(form):
    """Scores are shrunk, reduced by their largest and stretched again; positions on the page are a bias."""
    config = LayoutLMv3Config(**BERT, input_size=16, patch_size=8, coordinate_size=8, shape_size=8, max_2d_position_embeddings=64)
    boxes = torch.randint(0, 30, (2, 7, 4)).sort(-1).values
    return positional(LayoutLMv3Model._from_config(config, attn_implementation=form), ids() | {"bbox": boxes} | picture(16, 16), TUPLE)


@architecture("clipseg")
def clipseg(form):
    """A small decoder over the layers of a picture's encoder, steered by words."""
    tower = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    config = CLIPSegConfig(text_config=dict(**tower, vocab_size=97, max_position_embeddings=16, eos_token_id=96, bos_token_id=1, pad_token_id=0),
                           vision_config=dict(**tower, image_size=24, patch_size=8), projection_dim=32, extract_layers=[0, 1], reduce_dim=16,
                           decoder_num_attention_heads=2, decoder_intermediate_size=32)
    return positional(CLIPSegForImageSegmentation._from_config(config, attn_implementation=form), ids() | picture(24, 24), TUPLE)


@architecture("dinov3")
def dinov3(form):
    """Registers stand behind the class token; places are turned into queries and keys of patches alone."""
    config = DINOv3ViTConfig(**SMALL, image_size=24, num_register_tokens=3)
    return positional(DINOv3ViTModel._from_config(config, attn_implementation=form), picture(), TUPLE)


@architecture("aimv2")
def aimv2(form):
    config = Aimv2VisionConfig(**SMALL, image_size=24)
    return positional(Aimv2VisionModel._from_config(config, attn_implementation=form), picture(24, 24), TUPLE)


@architecture("vitdet", ("eager",))
def vitdet(form):
    """Windows of a grid, and relative places along either axis of it, added as einsums."""
    config = VitDetConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=(32, 48), patch_size=8, window_size=3,
                          window_block_indices=[0], residual_block_indices=[], use_relative_position_embeddings=True, pretrain_image_size=32)
    return positional(VitDetModel._from_config(config, attn_implementation=form), picture(32, 48), TUPLE)


@architecture("pvt-v2", ("eager",))
def pvt_v2(form):
    config = PvtV2Config(image_size=32, num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[16, 32], patch_sizes=[7, 3], strides=[4, 2],
                         num_attention_heads=[2, 4], mlp_ratios=[2, 2])
    return positional(PvtV2Model(config), picture(32, 48), TUPLE)


@architecture("mobilevit-v2", ("eager",))
def mobilevit_v2(form):
    """One score for each key, of no query: nothing compares positions."""
    config = MobileViTV2Config(image_size=64, width_multiplier=0.25, n_attn_blocks=[1, 1, 1])
    return positional(MobileViTV2Model(config), picture(64, 64), TUPLE, calls_expected=False)
