# SPDX-License-Identifier: MIT
"""A picture and text, in one tower each or side by side."""
import torch
from transformers import (Blip2Config, Blip2ForConditionalGeneration, Blip2QFormerConfig, Blip2VisionConfig, BlipConfig,
                          BlipForQuestionAnswering, CLIPConfig, CLIPModel, GitConfig, GitForCausalLM, GroupViTConfig, GroupViTModel,
                          LxmertConfig, LxmertModel, OPTConfig, OwlViTConfig, OwlViTForObjectDetection, SiglipConfig, SiglipModel)

from example import FORMS, HALF, architecture, positional

TEXT = dict(vocab_size=97, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=32,
            pad_token_id=0, bos_token_id=1, eos_token_id=2)
VISION = dict(hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=24, patch_size=8)


def words(length: int = 6, batch: int = 2) -> torch.Tensor:
    ids = torch.randint(3, 95, (batch, length))
    ids[:, -1] = 2
    return ids


def picture(size: int = 24, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, size, size)


@architecture("clip", FORMS + (HALF,))
def clip(form):
    config = CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=32)
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    return positional(CLIPModel._from_config(config, attn_implementation=form),
                      {"input_ids": words(), "pixel_values": picture(), "attention_mask": mask}, {"return_dict": False})


@architecture("siglip")
def siglip(form):
    config = SiglipConfig(text_config=TEXT | dict(projection_size=48), vision_config=VISION | dict(hidden_size=48))
    return positional(SiglipModel._from_config(config, attn_implementation=form), {"input_ids": words(), "pixel_values": picture()},
                      {"return_dict": False})


@architecture("owlvit")
def owlvit(form):
    config = OwlViTConfig(text_config=TEXT, vision_config=VISION, projection_dim=48)
    return positional(OwlViTForObjectDetection._from_config(config, attn_implementation=form),
                      {"input_ids": words(batch=4), "pixel_values": picture(), "attention_mask": torch.ones(4, 6, dtype=torch.long)},
                      {"return_dict": False})


@architecture("groupvit", ("eager",))
def groupvit(form):
    vision = VISION | dict(hidden_size=48, depths=[1, 1], num_group_tokens=[4, 0], num_output_groups=[4, 2], num_hidden_layers=2)
    config = GroupViTConfig(text_config=TEXT, vision_config=vision, projection_dim=32, projection_intermediate_dim=40)
    return positional(GroupViTModel._from_config(config, attn_implementation=form), {"input_ids": words(), "pixel_values": picture()},
                      {"return_dict": False})


@architecture("lxmert", ("eager",))
def lxmert(form):
    config = LxmertConfig(vocab_size=97, hidden_size=48, num_attention_heads=4, intermediate_size=64, max_position_embeddings=16, l_layers=1,
                          x_layers=2, r_layers=1, visual_feat_dim=20)
    return positional(LxmertModel._from_config(config, attn_implementation=form),
                      {"input_ids": words(), "visual_feats": torch.randn(2, 9, 20), "visual_pos": torch.rand(2, 9, 4)}, {"return_dict": False})


@architecture("blip-vqa", ("eager",))
def blip_vqa(form):
    text = TEXT | dict(encoder_hidden_size=48, sep_token_id=2, is_decoder=True)
    model = BlipForQuestionAnswering._from_config(BlipConfig(text_config=text, vision_config=VISION | dict(hidden_size=48)), attn_implementation=form)
    return positional(model, {"input_ids": words(), "pixel_values": picture(), "decoder_input_ids": words(4), "labels": words(4)}, {"return_dict": False})


@architecture("blip2")
def blip2(form):
    vision = Blip2VisionConfig(**VISION)
    qformer = Blip2QFormerConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
                                 encoder_hidden_size=40)
    text = OPTConfig(vocab_size=97, hidden_size=48, num_hidden_layers=2, ffn_dim=64, num_attention_heads=4, max_position_embeddings=32,
                     word_embed_proj_dim=48, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    config = Blip2Config(vision_config=vision.to_dict(), qformer_config=qformer.to_dict(), text_config=text.to_dict(), num_query_tokens=5,
                         image_token_index=96)
    ids = torch.cat([torch.full((2, 5), 96), words(4)], 1)
    return positional(Blip2ForConditionalGeneration._from_config(config, attn_implementation=form),
                      {"pixel_values": picture(), "input_ids": ids, "attention_mask": torch.ones_like(ids)}, {"return_dict": False, "use_cache": False})


@architecture("git", ("eager",))
def git(form):
    config = GitConfig(vision_config=VISION, **TEXT)
    return positional(GitForCausalLM._from_config(config, attn_implementation=form), {"input_ids": words(), "pixel_values": picture()},
                      {"return_dict": False, "use_cache": False})
