# SPDX-License-Identifier: MIT
"""Pictures in, no text out."""
import torch
from transformers import (BeitConfig, BeitModel, ConditionalDetrConfig, ConditionalDetrModel, DetrConfig, DetrModel, Dinov2Config,
                          Dinov2Model, ResNetConfig, SamConfig, SamModel, SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig,
                          SegformerConfig, SegformerModel, SwinConfig, SwinModel, Swinv2Config, Swinv2Model, ViTConfig, ViTModel,
                          PvtConfig, PvtModel, CvtConfig, CvtModel, LevitConfig, LevitModel, MobileViTConfig, MobileViTModel, YolosConfig,
                          YolosModel, TimesformerConfig, TimesformerModel, VideoMAEConfig, VideoMAEModel, SiglipVisionConfig,
                          SiglipVisionModel, HieraConfig, HieraModel, DeformableDetrConfig, DeformableDetrModel)

from example import architecture, positional

TUPLE = {"return_dict": False}
SMALL = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, patch_size=8)


def picture(height: int = 24, width: int = 40, batch: int = 2) -> dict:
    return {"pixel_values": torch.randn(batch, 3, height, width)}


def resnet() -> ResNetConfig:
    return ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage4"])


def in_form(model: torch.nn.Module, form: str) -> torch.nn.Module:
    """For a model whose backbone knows no forms of attention."""
    model.set_attn_implementation({"": form, "backbone_config": "eager"})
    return model


@architecture("vit")
def vit(form):
    return positional(ViTModel._from_config(ViTConfig(**SMALL, image_size=(24, 40)), attn_implementation=form), picture(), TUPLE)


@architecture("dinov2")
def dinov2(form):
    config = Dinov2Config(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, patch_size=8, image_size=32)
    return positional(Dinov2Model._from_config(config, attn_implementation=form), picture(), TUPLE)


@architecture("siglip-vision")
def siglip(form):
    return positional(SiglipVisionModel._from_config(SiglipVisionConfig(**SMALL, image_size=24), attn_implementation=form), picture(24, 24), TUPLE)


@architecture("beit")
def beit(form):
    config = BeitConfig(**SMALL, image_size=(24, 40), use_relative_position_bias=True, layer_scale_init_value=0.5)
    return positional(BeitModel._from_config(config, attn_implementation=form), picture(), TUPLE)


@architecture("yolos")
def yolos(form):
    config = YolosConfig(**SMALL, image_size=[24, 40], num_detection_tokens=5)
    return positional(YolosModel._from_config(config, attn_implementation=form), picture(), TUPLE)


@architecture("swin", ("eager",))
def swin(form):
    config = SwinConfig(image_size=(28, 40), patch_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4), window_size=3, mlp_ratio=2.0)
    return positional(SwinModel._from_config(config, attn_implementation=form), picture(28, 40), TUPLE)


@architecture("swinv2", ("eager",))
def swinv2(form):
    config = Swinv2Config(image_size=(28, 40), patch_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4), window_size=3, mlp_ratio=2.0)
    return positional(Swinv2Model._from_config(config, attn_implementation=form), picture(28, 40), TUPLE)


@architecture("segformer", ("eager",))
def segformer(form):
    config = SegformerConfig(num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[16, 32], patch_sizes=[7, 3], strides=[4, 2],
                             num_attention_heads=[2, 4], mlp_ratios=[2, 2])
    return positional(SegformerModel._from_config(config, attn_implementation=form), picture(32, 48), TUPLE)


@architecture("pvt", ("eager",))
def pvt(form):
    config = PvtConfig(image_size=32, num_encoder_blocks=2, depths=[1, 1], sequence_reduction_ratios=[2, 1], hidden_sizes=[16, 32],
                       patch_sizes=[4, 2], strides=[4, 2], num_attention_heads=[2, 4], mlp_ratios=[2, 2])
    return positional(PvtModel._from_config(config, attn_implementation=form), picture(32, 32), TUPLE)


@architecture("cvt", ("eager",))
def cvt(form):
    config = CvtConfig(patch_sizes=[7, 3], patch_stride=[4, 2], patch_padding=[2, 1], embed_dim=[16, 32], num_heads=[2, 4], depth=[1, 2],
                       mlp_ratio=[2.0, 2.0], cls_token=[False, True], qkv_bias=[True, True], drop_path_rate=[0.0, 0.0],
                       attention_drop_rate=[0.0, 0.0], drop_rate=[0.0, 0.0], qkv_projection_method=["dw_bn", "dw_bn"], kernel_qkv=[3, 3],
                       padding_kv=[1, 1], stride_kv=[2, 2], padding_q=[1, 1], stride_q=[1, 1])
    return positional(CvtModel._from_config(config, attn_implementation=form), picture(32, 48), TUPLE)


@architecture("levit", ("eager",))
def levit(form):
    config = LevitConfig(image_size=64, hidden_sizes=[16, 24, 32], num_attention_heads=[2, 3, 4], depths=[1, 1, 1], key_dim=[8, 8, 8])
    return positional(LevitModel._from_config(config, attn_implementation=form), picture(64, 64), TUPLE)


@architecture("mobilevit", ("eager",))
def mobilevit(form):
    """Random weights behind running statistics that are none would lose the picture: these are taken from the input."""
    config = MobileViTConfig(image_size=64, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 8, 16, 16, 16, 24], num_attention_heads=4)
    example = positional(MobileViTModel._from_config(config, attn_implementation=form), picture(64, 96), TUPLE, gain=3.0)
    norms = [module for module in example.module.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        example.module(*example.inputs)
    for norm in norms:
        norm.eval()
    return example


@architecture("hiera", ("eager",))
def hiera(form):
    config = HieraConfig(embed_dim=16, image_size=[32, 48], patch_size=[7, 7], patch_stride=[4, 4], patch_padding=[3, 3], mlp_ratio=2.0,
                         depths=[1, 1], num_heads=[1, 2], num_query_pool=1, query_stride=[2, 2], masked_unit_size=[4, 4],
                         masked_unit_attention=[True, False])
    return positional(HieraModel._from_config(config, attn_implementation=form), picture(32, 48), TUPLE)


@architecture("timesformer", ("eager",))
def timesformer(form):
    config = TimesformerConfig(**SMALL, image_size=24, num_frames=3)
    return positional(TimesformerModel._from_config(config, attn_implementation=form), {"pixel_values": torch.randn(2, 3, 3, 24, 24)}, TUPLE)


@architecture("videomae")
def videomae(form):
    config = VideoMAEConfig(**SMALL, image_size=24, num_frames=4, tubelet_size=2)
    return positional(VideoMAEModel._from_config(config, attn_implementation=form), {"pixel_values": torch.randn(2, 4, 3, 24, 24)}, TUPLE)


@architecture("detr")
def detr(form):
    config = DetrConfig(backbone_config=resnet(), num_queries=6, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, d_model=48)
    mask = torch.ones(2, 96, 128, dtype=torch.long)
    mask[1, :, 70:] = 0
    return positional(in_form(DetrModel(config), form), picture(96, 128) | {"pixel_mask": mask}, TUPLE)


@architecture("conditional-detr")
def conditional_detr(form):
    config = ConditionalDetrConfig(backbone_config=resnet(), num_queries=6, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                                   decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, d_model=48)
    return positional(in_form(ConditionalDetrModel(config), form), picture(96, 128), TUPLE)


@architecture("deformable-detr")
def deformable_detr(form):
    """Its sampled attention multiplies a softmax over points with sampled values, elementwise: only self-attention has a matrix."""
    config = DeformableDetrConfig(backbone_config=resnet(), num_queries=6, encoder_layers=1, decoder_layers=2, encoder_attention_heads=4,
                                  decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, d_model=64, num_feature_levels=2)
    return positional(in_form(DeformableDetrModel(config), form), picture(96, 128), TUPLE)


@architecture("sam")
def sam(form):
    vision = SamVisionConfig(hidden_size=32, output_channels=32, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=8,
                             window_size=3, global_attn_indexes=[1], mlp_dim=64, num_pos_feats=16)
    prompts = SamPromptEncoderConfig(hidden_size=32, image_size=64, patch_size=8, mask_input_channels=4)
    decoder = SamMaskDecoderConfig(hidden_size=32, mlp_dim=64, num_hidden_layers=2, num_attention_heads=4, iou_head_hidden_dim=32)
    config = SamConfig(vision_config=vision.to_dict(), prompt_encoder_config=prompts.to_dict(), mask_decoder_config=decoder.to_dict())
    model = SamModel._from_config(config, attn_implementation=form)
    return positional(model, picture(64, 64, batch=1) | {"input_points": torch.rand(1, 1, 2, 2) * 60})
