# SPDX-License-Identifier: MIT
"""Language models that read pictures as tokens of the prompt."""
import torch
from transformers import (Gemma3Config, Gemma3ForConditionalGeneration, Idefics2Config, Idefics2ForConditionalGeneration,
                          InternVLConfig, InternVLForConditionalGeneration, Kosmos2Config, Kosmos2ForConditionalGeneration,
                          LlavaNextConfig, LlavaNextForConditionalGeneration, LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration,
                          MllamaConfig, MllamaForConditionalGeneration, PaliGemmaConfig, PaliGemmaForConditionalGeneration,
                          Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLConfig, Qwen2VLForConditionalGeneration,
                          SmolVLMConfig, SmolVLMForConditionalGeneration)

from architectures.llava import IMAGE, prompt
from example import FORMS, HALF, Example, architecture, positional, reinitialise

FIXED = {"use_cache": False, "return_dict": False}
TEXT = dict(vocab_size=97, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2)
VISION = dict(hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=24, patch_size=8)
ROPE = dict(rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]})


def built(kind, config, form):
    return kind._from_config(config, attn_implementation=form)


class Rounding(torch.nn.Module):
    """Sizes are tensors while tracing, and this model rounds sizes."""

    def __init__(self, example: Example):
        super().__init__()
        self.body = example.module

    def forward(self, input_ids, pixel_values):
        torch.Tensor.__round__ = lambda size, digits=0: round(size.item(), digits)
        try:
            return self.body(input_ids, pixel_values)
        finally:
            del torch.Tensor.__round__


@architecture("llava-next")
def llava_next(form):
    """Two tiles beside the whole picture, and a column of line ends."""
    config = LlavaNextConfig(vision_config=dict(model_type="clip_vision_model", projection_dim=32, **VISION | dict(num_hidden_layers=3)),
                             text_config=dict(model_type="llama", **TEXT), image_token_index=IMAGE, image_grid_pinpoints=[[24, 48], [48, 24]],
                             image_seq_length=9)
    ids = prompt(9 + 18 + 3)[:1]
    example = positional(built(LlavaNextForConditionalGeneration, config, form),
                         {"input_ids": ids, "pixel_values": torch.randn(1, 3, 3, 24, 24)},
                         FIXED | {"image_sizes": torch.tensor([[24, 48]])}, unused=(r"vision_tower.*layers\.2\.",))
    example.module = Rounding(example)
    return example


@architecture("llava-onevision-video")
def llava_onevision(form):
    config = LlavaOnevisionConfig(vision_config=dict(model_type="siglip_vision_model", vision_use_head=False, **VISION | dict(image_size=32)),
                                  text_config=dict(model_type="qwen2", **TEXT), image_token_index=95, video_token_index=IMAGE,
                                  image_grid_pinpoints=[[32, 32]])
    return positional(built(LlavaOnevisionForConditionalGeneration, config, form),
                      {"input_ids": prompt(3 * 4 + 1)[:1], "pixel_values_videos": torch.randn(1, 3, 3, 32, 32)}, FIXED)


def qwen_prompt(tokens: int) -> torch.Tensor:
    return torch.cat([torch.tensor([[5, 93]]), torch.full((1, tokens), IMAGE), torch.tensor([[94, 7, 8]])], 1)


@architecture("qwen2-vl", FORMS + (HALF,))
def qwen2_vl(form):
    """A grid of 4 x 6 patches, of which 2 x 2 become one token."""
    config = Qwen2VLConfig(vision_config=dict(depth=2, embed_dim=32, hidden_size=48, num_heads=4, mlp_ratio=2, patch_size=4),
                           text_config=TEXT | ROPE, image_token_id=IMAGE, video_token_id=95, vision_start_token_id=93, vision_end_token_id=94)
    ids = qwen_prompt(6)
    return positional(built(Qwen2VLForConditionalGeneration, config, form), {"input_ids": ids, "pixel_values": torch.randn(24, 3 * 2 * 4 * 4)},
                      FIXED | {"image_grid_thw": torch.tensor([[1, 4, 6]]), "mm_token_type_ids": (ids == IMAGE).int()})


@architecture("qwen2.5-vl")
def qwen2_5_vl(form):
    """Windows in one block, the whole grid in the other."""
    vision = dict(depth=2, hidden_size=32, out_hidden_size=48, num_heads=4, intermediate_size=48, patch_size=4, window_size=16,
                  fullatt_block_indexes=[1])
    config = Qwen2_5_VLConfig(vision_config=vision, text_config=TEXT | ROPE, image_token_id=IMAGE, video_token_id=95,
                              vision_start_token_id=93, vision_end_token_id=94)
    ids = qwen_prompt(6)
    return positional(built(Qwen2_5_VLForConditionalGeneration, config, form),
                      {"input_ids": ids, "pixel_values": torch.randn(24, 3 * 2 * 4 * 4)},
                      FIXED | {"image_grid_thw": torch.tensor([[1, 4, 6]]), "mm_token_type_ids": (ids == IMAGE).int()})


@architecture("idefics2")
def idefics2(form):
    perceiver = dict(hidden_size=48, resampler_n_latents=3, resampler_depth=2, resampler_n_heads=4, resampler_head_dim=12, num_key_value_heads=2)
    config = Idefics2Config(vision_config=VISION, perceiver_config=perceiver, text_config=dict(model_type="mistral", **TEXT), image_token_id=IMAGE)
    return positional(built(Idefics2ForConditionalGeneration, config, form),
                      {"input_ids": prompt(3), "pixel_values": torch.randn(2, 1, 3, 24, 24)}, FIXED)


@architecture("smolvlm")
def smolvlm(form):
    config = SmolVLMConfig(vision_config=VISION | dict(image_size=32), text_config=dict(model_type="llama", **TEXT), image_token_id=IMAGE,
                           scale_factor=2)
    return positional(built(SmolVLMForConditionalGeneration, config, form),
                      {"input_ids": prompt(4), "pixel_values": torch.randn(2, 1, 3, 32, 32)}, FIXED)


class WithMasks(torch.nn.Module):
    """Masks come ready made: the functions that make them cannot be traced."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids, pixel_values, full, sliding):
        return self.model(input_ids=input_ids, pixel_values=pixel_values, attention_mask={"full_attention": full, "sliding_attention": sliding},
                          use_cache=False).logits


class WithMask(WithMasks):
    def forward(self, input_ids, pixel_values, mask):
        return self.model(input_ids=input_ids, pixel_values=pixel_values, attention_mask=mask, use_cache=False).logits


def masks(ids: torch.Tensor, window: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Causal, but pictures see themselves as a whole."""
    place = torch.arange(ids.shape[1])
    picture = (ids == IMAGE)[:, None, :, None] & (ids == IMAGE)[:, None, None, :]
    causal = place[None] <= place[:, None]
    shown = [causal | picture, causal & (place[None] > place[:, None] - window) | picture]
    return tuple(torch.where(mask, 0.0, torch.finfo(torch.float32).min) for mask in shown)


@architecture("gemma3")
def gemma3(form):
    text = TEXT | dict(head_dim=12, sliding_window=4, query_pre_attn_scalar=12, layer_types=["sliding_attention", "full_attention"])
    config = Gemma3Config(text_config=text, vision_config=dict(vision_use_head=False, **VISION | dict(image_size=32)), mm_tokens_per_image=4,
                          image_token_index=IMAGE, boi_token_index=94, eoi_token_index=95)
    ids = prompt(4)
    model = built(Gemma3ForConditionalGeneration, config, form).eval()
    reinitialise(model)
    return Example(WithMasks(model), (ids, torch.randn(2, 3, 32, 32), *masks(ids, 4)))


@architecture("paligemma")
def paligemma(form):
    """A prefix that sees itself as a whole."""
    config = PaliGemmaConfig(vision_config=dict(vision_use_head=False, projection_dim=48, **VISION),
                             text_config=dict(model_type="gemma", head_dim=12, **TEXT), image_token_index=IMAGE, projection_dim=48, hidden_size=48)
    ids = prompt(9)
    shown = torch.zeros(2, 1, 13, 13)
    shown[:, :, :11, 11:] = torch.finfo(torch.float32).min
    shown[:, :, 11, 12] = torch.finfo(torch.float32).min
    model = built(PaliGemmaForConditionalGeneration, config, form).eval()
    reinitialise(model)
    return Example(WithMask(model), (ids, torch.randn(2, 3, 24, 24), shown))


@architecture("internvl")
def internvl(form):
    config = InternVLConfig(vision_config=VISION | dict(image_size=[32, 32], patch_size=[8, 8]), text_config=dict(model_type="qwen2", **TEXT),
                            image_token_id=IMAGE, image_seq_length=4)
    return positional(built(InternVLForConditionalGeneration, config, form),
                      {"input_ids": prompt(4), "pixel_values": torch.randn(2, 3, 32, 32)}, FIXED)


@architecture("mllama")
def mllama(form):
    """Pictures are read by cross-attention layers between the others."""
    vision = dict(hidden_size=40, num_hidden_layers=2, num_global_layers=1, attention_heads=4, intermediate_size=64, vision_output_dim=80,
                  image_size=24, patch_size=8, max_num_tiles=2, intermediate_layers_indices=[1],
                  supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]])
    text = TEXT | dict(num_hidden_layers=3, cross_attention_layers=[1], rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    config = MllamaConfig(vision_config=vision, text_config=text, image_token_index=96)
    ids = torch.cat([torch.tensor([[IMAGE]]), torch.randint(3, 95, (1, 5))], 1)
    cross = torch.ones(1, 6, 1, 2, dtype=torch.long)
    return positional(built(MllamaForConditionalGeneration, config, form),
                      {"input_ids": ids, "pixel_values": torch.randn(1, 1, 2, 3, 24, 24), "cross_attention_mask": cross},
                      FIXED | {"aspect_ratio_ids": torch.tensor([[2]]), "aspect_ratio_mask": torch.tensor([[[1, 1]]])})


@architecture("kosmos2")
def kosmos2(form):
    text = dict(vocab_size=97, max_position_embeddings=64, embed_dim=48, layers=2, ffn_dim=64, attention_heads=4, pad_token_id=1)
    config = Kosmos2Config(text_config=text, vision_config=VISION, latent_query_num=3)
    ids = prompt(3)
    return positional(built(Kosmos2ForConditionalGeneration, config, form),
                      {"pixel_values": torch.randn(2, 3, 24, 24), "input_ids": ids, "image_embeds_position_mask": (ids == IMAGE).long()}, FIXED)
