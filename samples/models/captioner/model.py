"""The captioner: BLIP of transformers as it is, small and with weights of its own, and its byte-level BPE."""
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import BlipConfig, BlipForConditionalGeneration

import shapes as sh

PAD, BOS, EOS = 0, 1, 2
SPECIALS = ["[PAD]", "[DEC]", "[SEP]"]
VOCABULARY = 300   # 256 bytes, the specials, and merges that leave words of the captions in several pieces
WIDTH, HEADS, LAYERS, PATCH = 96, 4, 3, 12
CELLS_SIDE = sh.SIDE // PATCH
MAX_TOKENS = 32
MEAN, STD = [0.481, 0.458, 0.408], [0.269, 0.261, 0.276]  # of BLIP
TOKENIZER = Path(__file__).resolve().parent / "tokenizer.json"


def train_tokenizer(captions: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(captions, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def build() -> BlipForConditionalGeneration:
    sizes = dict(hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                 initializer_range=0.06)  # so narrow a model needs more than BLIP's own, which is 1e-10 for pictures
    text = dict(**sizes, vocab_size=VOCABULARY, encoder_hidden_size=WIDTH, max_position_embeddings=MAX_TOKENS, pad_token_id=PAD, bos_token_id=BOS,
                sep_token_id=EOS, eos_token_id=EOS, is_decoder=True, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                label_smoothing=0.0)
    vision = dict(**sizes, image_size=sh.SIDE, patch_size=PATCH)
    model = BlipForConditionalGeneration._from_config(BlipConfig(text_config=text, vision_config=vision), attn_implementation="eager")
    with torch.no_grad():
        model.vision_model.embeddings.position_embedding[0, 1:] = places()
    return model


def places() -> Tensor:
    """Where the learned positions of the cells begin, [64, 96]: sines and cosines of row and column, so that neighbours are alike."""
    turns_kf = torch.arange(CELLS_SIDE).unsqueeze(1) * 0.5 ** (torch.arange(WIDTH // 4) / 4)
    line_kd = 0.5 * torch.cat([turns_kf.sin(), turns_kf.cos()], 1)
    return torch.cat([line_kd.repeat_interleave(CELLS_SIDE, 0), line_kd.repeat(CELLS_SIDE, 1)], 1)


def normalise(inputs_nhwc: Tensor) -> Tensor:
    """uint8 [N, 96, 96, 3] -> float [N, 3, 96, 96]."""
    channels = lambda values: torch.tensor(values).view(1, 3, 1, 1)
    return ((inputs_nhwc.permute(0, 3, 1, 2).float() / 255 - channels(MEAN)) / channels(STD)).contiguous()


def encode(model: BlipForConditionalGeneration, pixels_bchw: Tensor) -> Tensor:
    """[B, 3, 96, 96] -> [B, 65, 96]: the class token, then 8 x 8 cells of 12 pixels."""
    return model.vision_model(pixels_bchw, return_dict=True).last_hidden_state


def decode(model: BlipForConditionalGeneration, ids_bt: Tensor, image_bkd: Tensor) -> Tensor:
    """Logits [B, T, vocabulary]; logits t are about token t + 1."""
    return model.text_decoder(input_ids=ids_bt, encoder_hidden_states=image_bkd, use_cache=False, return_dict=True).logits


def generate(model: BlipForConditionalGeneration, pixels_bchw: Tensor) -> list[list[int]]:
    """The most likely token each time, up to the end: what the C++ loop does."""
    with torch.no_grad():
        image_bkd = encode(model, pixels_bchw)
        ids_bt = torch.full((len(pixels_bchw), 1), BOS)
        while ids_bt.size(1) < MAX_TOKENS and not bool((ids_bt == EOS).any(1).all()):
            ids_bt = torch.cat([ids_bt, decode(model, ids_bt, image_bkd)[:, -1:].argmax(-1)], 1)
    return [row[1:row.index(EOS)] if EOS in row else row[1:] for row in ids_bt.tolist()]
