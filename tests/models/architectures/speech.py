# SPDX-License-Identifier: MIT
"""Sound in."""
import torch
from transformers import (BartConfig, BartForCausalLM, Speech2TextConfig, Speech2TextForConditionalGeneration, SpeechEncoderDecoderModel,
                          Wav2Vec2Config, Wav2Vec2Model, ASTConfig, ASTModel, HubertConfig, HubertModel, Wav2Vec2ConformerConfig,
                          Wav2Vec2ConformerModel, MusicgenDecoderConfig, WavLMConfig, WavLMModel)
from transformers.models.musicgen.modeling_musicgen import MusicgenForCausalLM

from example import architecture, positional

FIXED = {"use_cache": False, "return_dict": False}
WAVE = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, conv_dim=(16, 16), conv_stride=(5, 4),
            conv_kernel=(10, 6), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, num_feat_extract_layers=2, vocab_size=32)


@architecture("speech-to-text", ("eager",))
def speech_to_text(form):
    config = Speech2TextConfig(vocab_size=97, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
                               encoder_ffn_dim=64, decoder_ffn_dim=64, d_model=48, max_source_positions=64, max_target_positions=16,
                               conv_channels=32, input_feat_per_channel=20)
    model = Speech2TextForConditionalGeneration._from_config(config, attn_implementation=form)
    return positional(model, {"input_features": torch.randn(2, 41, 20), "decoder_input_ids": torch.randint(4, 96, (2, 5))}, FIXED)


@architecture("wav2vec2")
def wav2vec2(form):
    return positional(Wav2Vec2Model._from_config(Wav2Vec2Config(**WAVE), attn_implementation=form), {"input_values": torch.randn(2, 310)},
                      {"return_dict": False})


@architecture("speech-encoder-decoder")
def speech_encoder_decoder(form):
    encoder = Wav2Vec2Model._from_config(Wav2Vec2Config(**WAVE), attn_implementation=form)
    text = BartConfig(vocab_size=97, max_position_embeddings=32, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=64, d_model=48,
                      is_decoder=True, add_cross_attention=True, is_encoder_decoder=False)
    model = SpeechEncoderDecoderModel(encoder=encoder, decoder=BartForCausalLM._from_config(text, attn_implementation=form))
    return positional(model, {"input_values": torch.randn(2, 310), "decoder_input_ids": torch.randint(4, 96, (2, 5))}, FIXED)


@architecture("audio-spectrogram-transformer")
def ast(form):
    config = ASTConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, patch_size=8, frequency_stride=6,
                       time_stride=6, max_length=34, num_mel_bins=20)
    return positional(ASTModel._from_config(config, attn_implementation=form), {"input_values": torch.randn(2, 34, 20)}, {"return_dict": False})


@architecture("hubert")
def hubert(form):
    return positional(HubertModel._from_config(HubertConfig(**WAVE), attn_implementation=form), {"input_values": torch.randn(2, 310)},
                      {"return_dict": False})


@architecture("wav2vec2-conformer", ("eager",))
def conformer(form):
    config = Wav2Vec2ConformerConfig(**WAVE, position_embeddings_type="relative", max_source_positions=64)
    return positional(Wav2Vec2ConformerModel._from_config(config, attn_implementation=form), {"input_values": torch.randn(2, 310)},
                      {"return_dict": False})


@architecture("wavlm", ("eager",))
def wavlm(form):
    return positional(WavLMModel._from_config(WavLMConfig(**WAVE), attn_implementation=form), {"input_values": torch.randn(2, 310)},
                      {"return_dict": False})


@architecture("musicgen-decoder")
def musicgen(form):
    config = MusicgenDecoderConfig(vocab_size=33, max_position_embeddings=32, num_hidden_layers=2, ffn_dim=64, num_attention_heads=4,
                                   hidden_size=48, num_codebooks=2, pad_token_id=32)
    model = MusicgenForCausalLM._from_config(config, attn_implementation=form)
    return positional(model, {"input_ids": torch.randint(0, 32, (4, 6)), "encoder_hidden_states": torch.randn(2, 7, 48)}, FIXED)
