# SPDX-License-Identifier: MIT
"""Models of transformers with small random weights whose pictures' keys differ from request to request, and inputs as processors make them."""
import importlib

import numpy as np
import torch
import transformers as tf

import tiny_models as tiny
from tiny_models import _TEXT, _VISION, IMAGE

FAKE, GLOBAL, NEWLINE, ROW_COL, BEGIN, END = 95, 94, 93, 60, 92, 91
_TOWER = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=16, patch_size=4)
_ROPE = dict(rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2], "mrope_interleaved": True})
_PINPOINTS = [[16, 32], [32, 16], [32, 32], [16, 48], [48, 16]]
_OLDER = {"llava": 24, "vipllava": 24, "paligemma": 24, "gemma3": 32, "qwen2_vl": 0, "qwen2_5_vl": 0, "blip-2": 24}  # of tiny_models; input's side
_ENCODERS = {"vit": tf.ViTConfig, "deit": tf.DeiTConfig, "beit": tf.BeitConfig, "swin": tf.SwinConfig, "donut": tf.DonutSwinConfig}


def _config(name: str):
    clip = dict(model_type="clip_vision_model", projection_dim=32, **_TOWER | dict(num_hidden_layers=3))
    if name == "llava_next":
        return tf.LlavaNextForConditionalGeneration, tf.LlavaNextConfig(vision_config=clip, text_config=dict(model_type="llama", **_TEXT),
                                                                        image_token_index=IMAGE, image_grid_pinpoints=_PINPOINTS)
    if name.startswith("llava_onevision"):
        most = name.removeprefix("llava_onevision") or "9"
        return tf.LlavaOnevisionForConditionalGeneration, tf.LlavaOnevisionConfig(
            vision_config=dict(model_type="siglip_vision_model", vision_use_head=False, **_TOWER), text_config=dict(model_type="qwen2", **_TEXT),
            image_token_index=IMAGE, video_token_index=90, image_grid_pinpoints=_PINPOINTS, vision_aspect_ratio=f"anyres_max_{most}")
    if name == "internvl":
        return tf.InternVLForConditionalGeneration, tf.InternVLConfig(vision_config=_TOWER | dict(image_size=[16, 16], patch_size=[4, 4]),
                                                                      text_config=dict(model_type="qwen2", **_TEXT), image_token_id=IMAGE,
                                                                      image_seq_length=4)
    if name == "idefics3":
        return tf.Idefics3ForConditionalGeneration, tf.Idefics3Config(vision_config=_TOWER, text_config=dict(model_type="llama", **_TEXT),
                                                                      image_token_id=IMAGE, scale_factor=2, pad_token_id=0)
    if name == "smolvlm":
        return tf.SmolVLMForConditionalGeneration, tf.SmolVLMConfig(vision_config=_TOWER, text_config=dict(model_type="llama", **_TEXT),
                                                                    image_token_id=IMAGE, scale_factor=2, pad_token_id=0)
    if name == "qwen3_vl":
        vision = dict(depth=2, hidden_size=32, out_hidden_size=48, num_heads=4, intermediate_size=48, patch_size=4, num_position_embeddings=16,
                      deepstack_visual_indexes=[0])
        return tf.Qwen3VLForConditionalGeneration, tf.Qwen3VLConfig(vision_config=vision, text_config=_TEXT | _ROPE | dict(head_dim=12),
                                                                    image_token_id=IMAGE, video_token_id=90, vision_start_token_id=BEGIN,
                                                                    vision_end_token_id=END)
    if name == "mllama":
        vision = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_global_layers=1, attention_heads=4, image_size=16, patch_size=8,
                      max_num_tiles=4, intermediate_layers_indices=[0], vision_output_dim=64)
        text = _TEXT | dict(num_hidden_layers=4, cross_attention_layers=[1, 3],
                            rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
        return tf.MllamaForConditionalGeneration, tf.MllamaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE)
    if name == "idefics2":
        perceiver = dict(hidden_size=48, resampler_n_latents=3, resampler_depth=2, resampler_n_heads=4, resampler_head_dim=12, num_key_value_heads=2)
        return tf.Idefics2ForConditionalGeneration, tf.Idefics2Config(vision_config=_TOWER | dict(image_size=32), perceiver_config=perceiver,
                                                                      text_config=dict(model_type="mistral", **_TEXT), image_token_id=IMAGE)
    if name == "instructblip":
        qformer = dict(vocab_size=97, hidden_size=32, encoder_hidden_size=40, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                       cross_attention_frequency=1)
        text = dict(model_type="opt", vocab_size=97, hidden_size=48, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
                    max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2, word_embed_proj_dim=48)
        return tf.InstructBlipForConditionalGeneration, tf.InstructBlipConfig(vision_config=_VISION, qformer_config=qformer, text_config=text,
                                                                              num_query_tokens=5, image_token_index=IMAGE)
    return _encoder_and_decoder(name)


def _encoder_and_decoder(name: str):
    decoder = tf.TrOCRConfig(vocab_size=97, d_model=32, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=48, max_position_embeddings=32,
                             pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
    swin = dict(image_size=[16, 32], patch_size=2, embed_dim=16, depths=[1, 1], num_heads=[2, 4], window_size=4)
    encoder = _ENCODERS[name](**swin if name in ("swin", "donut") else _VISION)
    config = tf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 1, 0, 2
    return tf.VisionEncoderDecoderModel, config


def model(name: str, attention: str = "sdpa") -> torch.nn.Module:
    if name in _OLDER:
        return tiny.model(name, attention)
    torch.manual_seed(1)
    kind, config = _config(name)
    if kind is tf.VisionEncoderDecoderModel:
        made = kind(config=config).eval()
        made.set_attn_implementation(attention)
    else:
        made = kind._from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.25)
            elif parameter.numel() == 1:
                parameter.fill_(0.5)  # gates that are shut
    return made


def _processor(family: str, name: str, **how):
    return getattr(importlib.import_module(f"transformers.models.{family}.image_processing_pil_{family}"), name)(**how)


def _prompt(ids: list[int], **more) -> dict[str, torch.Tensor]:
    ids_bt = torch.tensor([ids])
    return {"input_ids": ids_bt, "attention_mask": torch.ones_like(ids_bt), **more}


def inputs(name: str, made: torch.nn.Module, picture: np.ndarray) -> dict[str, torch.Tensor]:
    """Of a picture [H, W, 3], as the processor of the family makes them."""
    side = {"height": 16, "width": 16}
    if name == "llava_next" or name.startswith("llava_onevision"):
        family = "llava_next" if name == "llava_next" else "llava_onevision"
        crop = dict(crop_size=side, size={"shortest_edge": 16}) if name == "llava_next" else dict(size=side)
        processor = _processor(family, "LlavaNextImageProcessorPil" if name == "llava_next" else "LlavaOnevisionImageProcessorPil",
                               image_grid_pinpoints=_PINPOINTS, **crop)
        images = processor(picture, return_tensors="pt")
        images = {each: images[each] for each in ("pixel_values", "image_sizes")}
        with torch.no_grad():
            keys = made.model.get_image_features(**images, return_dict=True).pooler_output[0].shape[0]
        return _prompt([5, 6, *[IMAGE] * keys, 7, 8], **images)
    if name == "internvl":
        images = _processor("got_ocr2", "GotOcr2ImageProcessorPil", size=side, crop_to_patches=True, max_patches=6)(picture, return_tensors="pt")
        return _prompt([5, BEGIN, *[IMAGE] * 4 * len(images["pixel_values"]), END, 7], pixel_values=images["pixel_values"])
    if name in ("idefics3", "smolvlm"):
        processor = _processor(name, "Idefics3ImageProcessorPil" if name == "idefics3" else "SmolVLMImageProcessorPil", size={"longest_edge": 48},
                               max_image_size={"longest_edge": 16})
        images = processor(picture, return_tensors="pt", return_row_col_info=True)
        return _prompt([5, *_tiles(images["rows"][0][0], images["cols"][0][0]), 7, 8], pixel_values=images["pixel_values"],
                       pixel_attention_mask=images["pixel_attention_mask"])
    if name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl"):
        processor = _processor("qwen2_vl", "Qwen2VLImageProcessorPil", patch_size=4, merge_size=2, min_pixels=64, max_pixels=48 * 48)
        images = processor(picture, return_tensors="pt")
        keys = int(images["image_grid_thw"].prod()) // 4
        begin, end = made.config.vision_start_token_id, made.config.vision_end_token_id
        made_ids = _prompt([5, begin, *[IMAGE] * keys, end, 7], pixel_values=images["pixel_values"], image_grid_thw=images["image_grid_thw"])
        return {**made_ids, "mm_token_type_ids": (made_ids["input_ids"] == IMAGE).int()}
    if name == "mllama":
        images = _processor("mllama", "MllamaImageProcessorPil", size=side, max_image_tiles=4)([[picture]], return_tensors="pt")
        mask = images["aspect_ratio_mask"]
        return _prompt([5, IMAGE, 7, 8], **{each: images[each] for each in ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask")},
                       cross_attention_mask=mask[:, None].repeat(1, 4, 1, 1))
    if name == "idefics2":
        images = _processor("idefics2", "Idefics2ImageProcessorPil", size={"shortest_edge": 16, "longest_edge": 30})(picture, return_tensors="pt")
        return _prompt([5, FAKE, *[IMAGE] * 3, FAKE, 7, 8], pixel_values=images["pixel_values"], pixel_attention_mask=images["pixel_attention_mask"])
    if name == "instructblip":
        question = torch.tensor([[9, 10, 11]])
        return _prompt([*[IMAGE] * 5, 7, 8], pixel_values=_resized(picture, (24, 24), keep=False), qformer_input_ids=question,
                       qformer_attention_mask=torch.ones_like(question))
    if name in _OLDER:
        given = tiny.inputs(name)
        side = _OLDER[name]
        return {**given, "pixel_values": _cropped(picture, side) if "llava" in name else _resized(picture, (side, side), keep=False)}
    return {"pixel_values": _resized(picture, (16, 32) if name in ("swin", "donut") else (24, 24), keep=name == "donut")}


def _tiles(rows: int, cols: int) -> list[int]:
    ids = []
    for row in range(rows):
        for col in range(cols):
            ids += [FAKE, ROW_COL + row * 6 + col, *[IMAGE] * 4]
        ids.append(NEWLINE)
    return ids + ([NEWLINE] if rows else []) + [FAKE, GLOBAL, *[IMAGE] * 4, FAKE]


def _resized(picture: np.ndarray, size: tuple[int, int], keep: bool) -> torch.Tensor:
    """Stretched, or with its proportions and a border at both sides."""
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    inner = (round(picture.shape[0] * scale), round(picture.shape[1] * scale)) if keep else size
    image = torch.nn.functional.interpolate(image, inner, mode="bilinear", antialias=True)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    return torch.nn.functional.pad(image, (left, size[1] - inner[1] - left, top, size[0] - inner[0] - top))


def _cropped(picture: np.ndarray, side: int) -> torch.Tensor:
    """The middle of the picture, whose shorter side is made the input's."""
    scale = side / min(picture.shape[:2])
    whole = _resized(picture, (int(picture.shape[0] * scale), int(picture.shape[1] * scale)), keep=False)
    top, left = (round((length - side) / 2) for length in whole.shape[2:])
    return whole[:, :, top:top + side, left:left + side]


def without_mixing(made: torch.nn.Module) -> torch.nn.Module:
    """What a patch is made into then depends on the patch alone."""
    ends = ("out_proj", "o_proj", "proj", "projection_layer", "dense")
    with torch.no_grad():
        for name, module in made.named_modules():
            inside = any(part in name for part in ("vision_tower", "vision_model", "visual", "encoder.", "audio_tower"))
            if inside and isinstance(module, torch.nn.Linear) and "att" in name and name.rsplit(".", 1)[-1] in ends:
                module.weight.zero_()
                if module.bias is not None:
                    module.bias.zero_()
    return made


def seen_features(made: torch.nn.Module, given: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the decoder, or the resampler, sees of a picture: [keys, features]."""
    kept: list[torch.Tensor] = []
    if isinstance(made, tf.VisionEncoderDecoderModel):
        with torch.no_grad():
            return made.encoder(given["pixel_values"]).last_hidden_state[0]
    if hasattr(made, "qformer"):
        hook = made.qformer.register_forward_pre_hook(lambda module, args, kwargs: kept.append(kwargs["encoder_hidden_states"][0]),
                                                      with_kwargs=True)
    elif hasattr(made.model, "connector") and hasattr(made.model.connector, "perceiver_resampler"):
        hook = made.model.connector.perceiver_resampler.register_forward_pre_hook(lambda module, args, kwargs: kept.append(kwargs["context"][0]),
                                                                                  with_kwargs=True)
    else:
        decoder = getattr(made.model, "language_model", None)
        decoder = made.model.text_model if decoder is None else decoder
        hook = decoder.register_forward_pre_hook(lambda module, args, kwargs: kept.append(_of_picture(kwargs)), with_kwargs=True)
    with torch.no_grad():
        made(**given)
    hook.remove()
    return kept[0]


def _of_picture(kwargs: dict) -> torch.Tensor:
    across = kwargs.get("cross_attention_states")
    return kwargs["inputs_embeds"][0] if across is None else across.reshape(-1, across.shape[-1])
