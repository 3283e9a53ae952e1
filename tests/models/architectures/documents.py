# SPDX-License-Identifier: MIT
"""Readers of pages: an encoder of the picture, and a decoder that reads it by cross-attention."""
import torch
from transformers import (BartConfig, DonutSwinConfig, DonutSwinModel, Florence2Config, Florence2ForConditionalGeneration, MBartConfig,
                          MBartForCausalLM, Pix2StructConfig, Pix2StructForConditionalGeneration, TrOCRConfig, TrOCRForCausalLM,
                          VisionEncoderDecoderModel, ViTConfig, ViTModel)

from example import architecture, positional

FIXED = {"use_cache": False, "return_dict": False}


def words(length: int = 5) -> torch.Tensor:
    return torch.randint(4, 96, (2, length))


@architecture("trocr")
def trocr(form):
    """A wide picture: 2 x 7 patches."""
    vision = ViTConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=(16, 56), patch_size=8)
    text = TrOCRConfig(vocab_size=97, d_model=48, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=64, max_position_embeddings=32,
                       is_decoder=True, add_cross_attention=True, cross_attention_hidden_size=48)
    encoder = ViTModel._from_config(vision, attn_implementation=form)
    decoder = TrOCRForCausalLM._from_config(text, attn_implementation="eager")  # it knows no other form
    return positional(VisionEncoderDecoderModel(encoder=encoder, decoder=decoder),
                      {"pixel_values": torch.randn(2, 3, 16, 56), "decoder_input_ids": words()}, FIXED)


@architecture("donut")
def donut(form):
    vision = DonutSwinConfig(image_size=[24, 36], patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=3, mlp_ratio=2.0)
    text = MBartConfig(vocab_size=97, max_position_embeddings=32, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=64, d_model=32,
                       is_decoder=True, add_cross_attention=True, is_encoder_decoder=False)
    encoder = DonutSwinModel._from_config(vision, attn_implementation="eager")
    return positional(VisionEncoderDecoderModel(encoder=encoder, decoder=MBartForCausalLM._from_config(text, attn_implementation=form)),
                      {"pixel_values": torch.randn(2, 3, 24, 36), "decoder_input_ids": words()}, FIXED)


@architecture("pix2struct", ("eager",))
def pix2struct(form):
    """Patches come flattened, with row and column in front."""
    text = dict(vocab_size=97, hidden_size=48, d_kv=12, d_ff=64, num_layers=2, num_heads=4, relative_attention_num_buckets=8,
                relative_attention_max_distance=16)
    vision = dict(hidden_size=48, patch_embed_hidden_size=768, d_ff=64, d_kv=12, num_hidden_layers=2, num_attention_heads=4, seq_len=64)
    config = Pix2StructConfig(text_config=text, vision_config=vision)
    places = torch.cartesian_prod(torch.arange(1.0, 4), torch.arange(1.0, 5)).expand(2, 12, 2)
    patches = torch.cat([places, torch.randn(2, 12, 768)], -1)
    mask = torch.ones(2, 12)
    mask[1, 8:] = 0
    return positional(Pix2StructForConditionalGeneration._from_config(config, attn_implementation=form),
                      {"flattened_patches": patches, "attention_mask": mask, "decoder_input_ids": words()}, FIXED)


@architecture("florence2")
def florence2(form):
    """Its encoder of pictures has attention over windows, and over groups of channels."""
    vision = dict(depths=[1, 1], patch_size=[7, 3], patch_stride=[4, 2], patch_padding=[3, 1], patch_prenorm=[False, True], embed_dim=[16, 32],
                  num_heads=[2, 4], num_groups=[2, 4], window_size=3, projection_dim=48)
    text = BartConfig(vocab_size=97, max_position_embeddings=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                      decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, d_model=48)
    config = Florence2Config(text_config=text.to_dict(), vision_config=vision, image_token_id=96)
    ids = torch.cat([torch.full((2, 21), 96), words(4)], 1)
    return positional(Florence2ForConditionalGeneration._from_config(config, attn_implementation=form),
                      {"input_ids": ids, "pixel_values": torch.randn(2, 3, 32, 40), "decoder_input_ids": words()}, FIXED)
