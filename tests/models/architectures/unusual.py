# SPDX-License-Identifier: MIT
"""Architectures whose attention is built in a way of their own."""
import torch
from transformers import (ConvBertConfig, ConvBertModel, DeepseekV3Config, DeepseekV3ForCausalLM,
                          DiffLlamaConfig, DiffLlamaForCausalLM, FlavaConfig, FlavaModel, FunnelConfig, FunnelModel, GroundingDinoConfig,
                          GroundingDinoModel, InstructBlipConfig, InstructBlipForConditionalGeneration, LEDConfig, LEDForConditionalGeneration,
                          Mask2FormerConfig, Mask2FormerModel, MoonshineConfig, MoonshineForConditionalGeneration, MPNetConfig, MPNetModel,
                          ProphetNetConfig, ProphetNetModel,
                          RoFormerConfig, RoFormerModel, SqueezeBertConfig, SqueezeBertModel, SwinConfig)

from architectures.vision import resnet
from example import architecture, positional

FIXED = {"use_cache": False, "return_dict": False}
TUPLE = {"return_dict": False}
BERT = dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=64)
LLAMA = dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=32,
             pad_token_id=0, bos_token_id=1, eos_token_id=2)


def ids(length: int = 7, batch: int = 2) -> dict:
    return {"input_ids": torch.randint(3, 96, (batch, length))}


@architecture("deepseek-v3")
def deepseek_v3(form):
    """Keys and values from a small latent; keys are wider than values."""
    config = DeepseekV3Config(**LLAMA, num_key_value_heads=4, moe_intermediate_size=32, n_routed_experts=4, n_group=1, topk_group=1,
                              num_experts_per_tok=2, kv_lora_rank=16, q_lora_rank=24, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=12, first_k_dense_replace=2)
    return positional(DeepseekV3ForCausalLM._from_config(config, attn_implementation=form), ids(), FIXED)


@architecture("diff-llama")
def diff_llama(form):
    """The values of two halves are exchanged, so every map is used twice."""
    config = DiffLlamaConfig(**LLAMA, num_key_value_heads=2)
    return positional(DiffLlamaForCausalLM._from_config(config, attn_implementation=form), ids(), FIXED, repeats=True)


@architecture("roformer", ("eager",))
def roformer(form):
    return positional(RoFormerModel._from_config(RoFormerConfig(**BERT, embedding_size=48), attn_implementation=form), ids(), TUPLE)


@architecture("mpnet", ("eager",))
def mpnet(form):
    return positional(MPNetModel._from_config(MPNetConfig(**BERT), attn_implementation=form), ids(), TUPLE)


@architecture("squeezebert", ("eager",))
def squeezebert(form):
    config = SqueezeBertConfig(**BERT, embedding_size=48)
    return positional(SqueezeBertModel._from_config(config, attn_implementation=form), ids(), TUPLE)


@architecture("convbert", ("eager",))
def convbert(form):
    """Beside the attention, a softmax makes convolution kernels, which multiply the values too."""
    config = ConvBertConfig(**BERT, embedding_size=48, conv_kernel_size=3)
    return positional(ConvBertModel._from_config(config, attn_implementation=form), ids(), TUPLE,
                      not_attention=(r"attention\.self#1$",))


@architecture("funnel", ("eager",))
def funnel(form):
    config = FunnelConfig(vocab_size=97, block_sizes=[1, 1], num_decoder_layers=1, d_model=48, n_head=4, d_head=12, d_inner=64)
    return positional(FunnelModel._from_config(config, attn_implementation=form), ids(8), TUPLE)


@architecture("prophetnet", ("eager",))
def prophetnet(form):
    """Queries of several streams."""
    config = ProphetNetConfig(vocab_size=97, hidden_size=48, encoder_ffn_dim=64, num_encoder_layers=1, num_encoder_attention_heads=4,
                              decoder_ffn_dim=64, num_decoder_layers=2, num_decoder_attention_heads=4, max_position_embeddings=32, ngram=2,
                              num_buckets=8, relative_max_distance=16, pad_token_id=0)
    return positional(ProphetNetModel._from_config(config, attn_implementation=form), ids() | {"decoder_input_ids": ids(5)["input_ids"]}, FIXED)


@architecture("led", ("eager",))
def led(form):
    config = LEDConfig(vocab_size=97, d_model=48, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
                       encoder_ffn_dim=64, decoder_ffn_dim=64, attention_window=4,
                       max_encoder_position_embeddings=32, max_decoder_position_embeddings=16)
    return positional(LEDForConditionalGeneration._from_config(config, attn_implementation=form),
                      {"input_ids": ids(12)["input_ids"], "decoder_input_ids": ids(5)["input_ids"]}, FIXED,
                      reported=("longformer_self_attn",))


@architecture("moonshine")
def moonshine(form):
    config = MoonshineConfig(vocab_size=97, hidden_size=48, intermediate_size=64, encoder_num_hidden_layers=2, decoder_num_hidden_layers=2,
                             encoder_num_attention_heads=4, decoder_num_attention_heads=4, max_position_embeddings=64, bos_token_id=1,
                             eos_token_id=2, decoder_start_token_id=1)
    return positional(MoonshineForConditionalGeneration._from_config(config, attn_implementation=form),
                      {"input_values": torch.randn(2, 4000), "decoder_input_ids": ids(5)["input_ids"]}, FIXED)


@architecture("flava", ("eager",))
def flava(form):
    side = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    config = FlavaConfig(text_config=dict(vocab_size=97, max_position_embeddings=32, **side), image_config=dict(image_size=24, patch_size=8, **side),
                         multimodal_config=side, image_codebook_config={}, hidden_size=48, projection_dim=32)
    return positional(FlavaModel._from_config(config, attn_implementation=form), ids() | {"pixel_values": torch.randn(2, 3, 24, 24)}, TUPLE)


@architecture("instructblip")
def instructblip(form):
    """Its Q-Former reads the question, too."""
    vision = dict(hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=24, patch_size=8)
    qformer = dict(vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, encoder_hidden_size=40)
    config = InstructBlipConfig(vision_config=vision, qformer_config=qformer, text_config=dict(model_type="llama", num_key_value_heads=4, **LLAMA),
                                num_query_tokens=3, image_token_index=96)
    prompt = torch.cat([torch.full((2, 3), 96), ids(4)["input_ids"]], 1)
    return positional(InstructBlipForConditionalGeneration._from_config(config, attn_implementation=form),
                      {"pixel_values": torch.randn(2, 3, 24, 24), "qformer_input_ids": ids(5)["input_ids"], "input_ids": prompt}, FIXED)


@architecture("grounding-dino", ("eager",))
def grounding_dino(form):
    """One matrix of scores between picture and words, softmaxed in both directions."""
    words = dict(model_type="bert", **BERT | dict(hidden_size=32, num_hidden_layers=1))
    config = GroundingDinoConfig(backbone_config=resnet_two_stages(), text_config=words, num_queries=6, encoder_layers=1, decoder_layers=1,
                                 encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64,
                                 d_model=64, num_feature_levels=2, max_text_len=7)
    inputs = ids() | {"pixel_values": torch.randn(2, 3, 64, 96)}
    return positional(GroundingDinoModel._from_config(config, attn_implementation=form),
                      {"pixel_values": inputs["pixel_values"], "input_ids": inputs["input_ids"]}, TUPLE, repeats=True)


def resnet_two_stages():
    config = resnet()
    config.out_features = ["stage3", "stage4"]
    return config


@architecture("mask2former", ("eager",))
def mask2former(form):
    swin = SwinConfig(image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4, mlp_ratio=2.0,
                      out_features=["stage1", "stage2", "stage3", "stage4"])
    config = Mask2FormerConfig(backbone_config=swin, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=32,
                               encoder_layers=1, decoder_layers=2, num_attention_heads=4, dim_feedforward=32, num_queries=5)
    return positional(Mask2FormerModel._from_config(config, attn_implementation=form), {"pixel_values": torch.randn(1, 3, 64, 96)}, TUPLE)
