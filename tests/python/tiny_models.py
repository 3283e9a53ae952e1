# SPDX-License-Identifier: MIT
"""Models of transformers with small random weights, and inputs for them."""
import warnings

import numpy as np
import torch
import transformers as tf

warnings.filterwarnings("ignore")
tf.logging.set_verbosity_error()

IMAGE = 96
TEXTS = [f"word{each} " for each in range(97)]
_TEXT = dict(vocab_size=97, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=256, pad_token_id=0, bos_token_id=1, eos_token_id=2)
_VISION = dict(hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=24, patch_size=8)
_BART = dict(vocab_size=97, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
             encoder_ffn_dim=64, decoder_ffn_dim=64)


def _config(name: str):
    if name == "llama":
        return tf.LlamaForCausalLM, tf.LlamaConfig(**_TEXT)
    if name == "bart":
        return tf.BartForConditionalGeneration, tf.BartConfig(**_BART, forced_eos_token_id=None, eos_token_id=2, pad_token_id=0, bos_token_id=1,
                                                              decoder_start_token_id=1)
    if name == "t5":
        return tf.T5ForConditionalGeneration, tf.T5Config(vocab_size=97, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
                                                          decoder_start_token_id=0, eos_token_id=1, pad_token_id=0)
    if name == "whisper":
        return tf.WhisperForConditionalGeneration, tf.WhisperConfig(**_BART | dict(d_model=48), num_mel_bins=20, max_source_positions=37,
                                                                    max_target_positions=32, pad_token_id=1, bos_token_id=2, eos_token_id=3,
                                                                    decoder_start_token_id=2, suppress_tokens=None, begin_suppress_tokens=None)
    if name == "llava":
        return tf.LlavaForConditionalGeneration, tf.LlavaConfig(vision_config=dict(model_type="clip_vision_model", projection_dim=32,
                                                                                   **_VISION | dict(num_hidden_layers=3)),
                                                                text_config=dict(model_type="llama", **_TEXT), image_token_index=IMAGE,
                                                                image_seq_length=9)
    if name == "qwen2_vl":
        rope = dict(rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]})
        return tf.Qwen2VLForConditionalGeneration, tf.Qwen2VLConfig(vision_config=dict(depth=2, embed_dim=32, hidden_size=48, num_heads=4,
                                                                                       mlp_ratio=2, patch_size=4),
                                                                    text_config=_TEXT | rope, image_token_id=IMAGE, video_token_id=95,
                                                                    vision_start_token_id=93, vision_end_token_id=94)
    if name == "qwen2_5_vl":
        rope = dict(rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]})
        vision = dict(depth=2, hidden_size=32, out_hidden_size=48, num_heads=4, intermediate_size=48, patch_size=4, window_size=16,
                      fullatt_block_indexes=[1])
        return tf.Qwen2_5_VLForConditionalGeneration, tf.Qwen2_5_VLConfig(vision_config=vision, text_config=_TEXT | rope, image_token_id=IMAGE,
                                                                          video_token_id=95, vision_start_token_id=93, vision_end_token_id=94)
    if name == "vipllava":
        return tf.VipLlavaForConditionalGeneration, tf.VipLlavaConfig(vision_config=dict(model_type="clip_vision_model", projection_dim=32,
                                                                                         **_VISION | dict(num_hidden_layers=3)),
                                                                      text_config=dict(model_type="llama", **_TEXT), image_token_index=IMAGE,
                                                                      vision_feature_layers=[-2, -1])
    if name == "paligemma":
        return tf.PaliGemmaForConditionalGeneration, tf.PaliGemmaConfig(vision_config=dict(vision_use_head=False, projection_dim=48, **_VISION),
                                                                        text_config=dict(model_type="gemma", head_dim=12, **_TEXT),
                                                                        image_token_index=IMAGE, projection_dim=48, hidden_size=48)
    if name == "gemma3":
        text = _TEXT | dict(head_dim=12, sliding_window=4, query_pre_attn_scalar=12, layer_types=["sliding_attention", "full_attention"])
        return tf.Gemma3ForConditionalGeneration, tf.Gemma3Config(text_config=text, vision_config=dict(vision_use_head=False,
                                                                                                       **_VISION | dict(image_size=32)),
                                                                  mm_tokens_per_image=4, image_token_index=IMAGE, boi_token_index=94,
                                                                  eoi_token_index=95)
    if name == "blip":
        text = dict(vocab_size=97, hidden_size=48, encoder_hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                    max_position_embeddings=64, bos_token_id=2, eos_token_id=4, sep_token_id=3, pad_token_id=0)
        return tf.BlipForConditionalGeneration, tf.BlipConfig(vision_config=_VISION, text_config=text)
    if name == "blip-2":
        qformer = dict(vocab_size=97, hidden_size=32, encoder_hidden_size=40, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                       cross_attention_frequency=1)
        text = dict(model_type="opt", vocab_size=97, hidden_size=48, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
                    max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2, word_embed_proj_dim=48)
        return tf.Blip2ForConditionalGeneration, tf.Blip2Config(vision_config=_VISION, qformer_config=qformer, text_config=text,
                                                                num_query_tokens=5, image_token_index=IMAGE)
    raise KeyError(name)


def model(name: str, attention: str = "sdpa") -> torch.nn.Module:
    """Weights that make attention uneven: those of a new model are too small to tell a map from a flat one."""
    torch.manual_seed(1)
    kind, config = _config(name)
    made = kind._from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.25)
    return made


def inputs(name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    if name == "whisper":
        return {"input_features": torch.randn(1, 20, 74)}
    if name == "blip":
        return {"pixel_values": torch.randn(1, 3, 24, 24)}
    qwen = [5, 93, *[IMAGE] * 6, 94, 7, 8]
    ids = {"llava": [5, 6, *[IMAGE] * 9, 7, 8, 9], "vipllava": [5, 6, *[IMAGE] * 9, 7, 8, 9], "paligemma": [*[IMAGE] * 9, 7, 8, 9],
           "gemma3": [5, 94, *[IMAGE] * 4, 95, 7, 8], "qwen2_vl": qwen, "qwen2_5_vl": qwen, "blip-2": [*[IMAGE] * 5, 7, 8, 9]}
    ids_bt = torch.tensor([ids[name]]) if name in ids else torch.randint(5, 90, (1, 7))
    made = {"input_ids": ids_bt, "attention_mask": torch.ones_like(ids_bt)}
    if name in ("llava", "vipllava", "paligemma", "gemma3", "blip-2"):
        side = 32 if name == "gemma3" else 24
        made["pixel_values"] = torch.randn(1, 3, side, side)
    if name in ("paligemma", "gemma3"):
        made["token_type_ids"] = (ids_bt == IMAGE).long()
    if name.startswith("qwen2"):
        made |= {"pixel_values": torch.randn(24, 3 * 2 * 4 * 4), "image_grid_thw": torch.tensor([[1, 4, 6]]),
                 "mm_token_type_ids": (ids_bt == IMAGE).int()}
    return made


def medium(name: str) -> dict:
    """What a request says of the picture or sound."""
    random = np.random.default_rng(0)
    if name in ("llava", "vipllava", "paligemma", "gemma3", "qwen2_vl", "qwen2_5_vl", "blip", "blip-2"):
        return {"image": random.integers(0, 255, (48, 48, 3), dtype=np.uint8)}
    if name == "whisper":
        return {"sound": (random.standard_normal(37 * 320).astype(np.float32) / 10, 16000)}
    return {}


TOKENS = 5
GREEDY = dict(max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False, num_beams=1)
