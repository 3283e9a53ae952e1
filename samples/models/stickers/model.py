"""A small encoder-decoder that reads stickers: convolutional patches, no self-attention among them, text decoder of three layers.

A key of the cross-attention stands for one 16-pixel cell: the stem sees 52 pixels around the cell's centre and cells never mix, so
where the decoder looks is where the evidence is.
"""
import sys
from pathlib import Path
from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[1]))
from decoder import Decoder

COLOURS = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"]
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
WORDS = (["<pad>", "<bos>", "<eos>", "describe", "the", "stickers", "which", "number", "is", "on", "sticker", ":", "?", "none"]
         + COLOURS + DIGITS)
INDEX = {word: index for index, word in enumerate(WORDS)}
PAD, BOS, EOS = 0, 1, 2
ROWS, COLS = 6, 10
WIDTH = 128
HEADS = 4
LAYERS = 3
MAX_TOKENS = 24
FIELD_PX = 52  # what one memory cell sees, across
MEAN, STD = [0.45, 0.45, 0.45], [0.27, 0.27, 0.27]


def describe_prompt() -> List[int]:
    return [INDEX[word] for word in "<bos> describe the stickers :".split()]


def which_prompt(colour: str) -> List[int]:
    return [INDEX[word] for word in f"<bos> which number is on the {colour} sticker ?".split()]


class Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x_bchw: Tensor) -> Tensor:
        return x_bchw + F.relu(self.norm(self.conv(x_bchw)))


def halve(channels_in: int, channels_out: int) -> nn.Sequential:
    # 2 x 2 without padding keeps every output centred on its own cell; a padded 3 x 3 with stride 2 would drift by half a cell
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 2, stride=2, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU())


class Encoder(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.stem = nn.Sequential(halve(3, 32), Residual(32), halve(32, 64), Residual(64), Residual(64), halve(64, 96), Residual(96),
                                  halve(96, width))
        self.row_positions = nn.Parameter(torch.randn(ROWS, 1, width) * 0.1)
        self.col_positions = nn.Parameter(torch.randn(1, COLS, width) * 0.1)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.out_norm = nn.LayerNorm(width)

    def features(self, image_bchw: Tensor) -> Tensor:
        return self.stem(image_bchw).flatten(2).transpose(1, 2)

    def place(self, features_bkd: Tensor) -> Tensor:
        x_bkd = self.norm(features_bkd) + (self.row_positions + self.col_positions).flatten(0, 1)
        return self.out_norm(x_bkd + self.mlp(x_bkd))

    def forward(self, image_bchw: Tensor) -> Tensor:
        return self.place(self.features(image_bchw))


class StickerReader(nn.Module):
    def __init__(self, fused: bool = False):
        super().__init__()
        self.encoder = Encoder(WIDTH)
        self.decoder = Decoder(len(WORDS), MAX_TOKENS, WIDTH, HEADS, LAYERS, fused)

    def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
        """[B, 3, 96, 160] normalised, [B, T] -> logits [B, T, words]; logits t are about token t + 1."""
        logits_btv, _ = self.decoder(tokens, self.decoder.start(self.encoder(image)))
        return logits_btv

    @torch.jit.export
    def encode(self, image: Tensor) -> Tensor:
        """[B, 3, 96, 160] -> memory [B, 60, 128]; key r * 10 + c is the cell in row r, column c."""
        return self.encoder(image)

    @torch.jit.export
    def decode_step(self, tokens: Tensor, memory: Tensor, cache: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """Takes the whole prompt with an empty cache, then one token at a time. Returns logits [B, words] of the last one."""
        if len(cache) == 0:
            cache = self.decoder.start(memory)
        logits_bqv, cache = self.decoder(tokens, cache)
        return logits_bqv[:, -1], cache

    @torch.jit.export
    def generate(self, image: Tensor, prompt: Tensor, max_new: int) -> Tensor:
        """Greedy answer [B, n], n <= max_new, each row closed by <eos> and filled with <pad>."""
        memory = self.encoder(image)
        ended_b = torch.zeros([prompt.size(0)], dtype=torch.bool, device=prompt.device)
        cache: List[Tensor] = []
        answer: List[Tensor] = []
        tokens = prompt
        while len(answer) < max_new and not bool(ended_b.all()):
            logits_bv, cache = self.decode_step(tokens, memory, cache)
            next_b = logits_bv.argmax(dim=-1).masked_fill(ended_b, 0)  # 0 is <pad>
            ended_b = ended_b | (next_b == 2)  # 2 is <eos>
            tokens = next_b.unsqueeze(1)
            answer.append(tokens)
        if len(answer) == 0:
            return prompt[:, :0]
        return torch.cat(answer, dim=1)


def normalise(inputs_nhwc: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] -> float [N, 3, H, W]"""
    mean = torch.tensor(MEAN, device=inputs_nhwc.device)
    std = torch.tensor(STD, device=inputs_nhwc.device)
    return ((inputs_nhwc.float() / 255 - mean) / std).permute(0, 3, 1, 2)
