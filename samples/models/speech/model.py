"""A small encoder-decoder that writes down spoken words: log-mel spectrogram, convolutional stem with stride, text decoder.

Laid out like Whisper: sound is padded to one window, mel frames every 10 ms, one key every 20 ms, key k centred at 0.02 k seconds.
Convolutions see 0.33 seconds to either side; one layer of self-attention among the keys follows.
"""
import math
import sys
from pathlib import Path
from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[1]))
import recordings as rec
from decoder import Attention, Decoder

PAD, BOS, EOS = 0, 1, 2
# As byte-pair vocabularies do it: a piece that begins a word carries the space before it.
PIECES = [[(" " if i == 0 else "") + piece for i, piece in enumerate(spelling.split("+"))] for spelling in rec.SPELLING]
WORDS = ["<pad>", "<bos>", "<eos>"] + list(dict.fromkeys(piece for pieces in PIECES for piece in pieces))
INDEX = {word: index for index, word in enumerate(WORDS)}

RATE_HZ = rec.RATE_HZ
WINDOW = rec.WINDOW_SECONDS * RATE_HZ  # samples
FFT, HOP, MELS = 400, 160, 80          # 25 ms windows, 10 ms apart
WIDTH, HEADS, LAYERS, BLOCKS = 128, 4, 3, 5
MAX_TOKENS = 32


def token_ids(words: List[int]) -> List[int]:
    return [INDEX[piece] for word in words for piece in PIECES[word]]


def mel_filters() -> Tensor:
    """[MELS, FFT / 2 + 1]: triangles equally spaced on O'Shaughnessy's mel scale, 0 Hz to half the rate, each of sum 1."""
    mel = torch.linspace(0, 2595 * math.log10(1 + RATE_HZ / 2 / 700), MELS + 2, dtype=torch.float64)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    bins = torch.arange(FFT // 2 + 1, dtype=torch.float64) * RATE_HZ / FFT
    rise = (bins - hertz[:-2, None]) / (hertz[1:-1] - hertz[:-2])[:, None]
    fall = (hertz[2:, None] - bins) / (hertz[2:] - hertz[1:-1])[:, None]
    filters = torch.minimum(rise, fall).clamp_min(0)
    return (filters / filters.sum(1, keepdim=True).clamp_min(1e-9)).float()


class LogMel(nn.Module):
    """[B, samples] -> [B, MELS, samples / HOP]: log10 of mel power, 8 decades below the loudest at the least, about -1..1."""

    fft: torch.jit.Final[int]
    hop: torch.jit.Final[int]

    def __init__(self):
        super().__init__()
        self.fft, self.hop = FFT, HOP
        self.register_buffer("window", torch.hann_window(FFT))
        self.register_buffer("filters", mel_filters())

    def forward(self, audio_bs: Tensor) -> Tensor:
        spectrum = torch.stft(audio_bs, self.fft, self.hop, window=self.window, center=True, pad_mode="constant", return_complex=True)
        mel_bmt = torch.matmul(self.filters, spectrum[:, :, :-1].abs().square())
        log_bmt = mel_bmt.clamp_min(1e-10).log10()
        log_bmt = torch.maximum(log_bmt, log_bmt.amax(dim=[1, 2], keepdim=True) - 8.0)
        return (log_bmt + 4.0) / 4.0


def sinusoids(length: int, width: int) -> Tensor:
    angle = torch.arange(length)[:, None] / 10000 ** (torch.arange(width // 2) / (width // 2 - 1))
    return torch.cat([angle.sin(), angle.cos()], 1)


class Block(nn.Module):
    """Neighbours in time, then channels."""

    def __init__(self, width: int):
        super().__init__()
        self.near = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x_btd: Tensor) -> Tensor:
        return x_btd + self.mlp(self.norm(self.near(x_btd.transpose(1, 2)).transpose(1, 2)))


class Encoder(nn.Module):
    def __init__(self, fused: bool):
        super().__init__()
        self.conv1 = nn.Conv1d(MELS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*[Block(WIDTH) for _ in range(BLOCKS)])
        self.register_buffer("positions", sinusoids(WINDOW // HOP // 2, WIDTH))
        self.attn_norm = nn.LayerNorm(WIDTH)
        self.self_attn = Attention(WIDTH, HEADS, fused)
        self.mlp_norm = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)

    def near(self, mel_bmt: Tensor) -> Tensor:
        x_bdt = F.gelu(self.conv2(F.gelu(self.conv1(mel_bmt))))
        return self.blocks(x_bdt.transpose(1, 2))

    def far(self, x_bkd: Tensor) -> Tensor:
        x_bkd = x_bkd + self.positions[:x_bkd.size(1)]
        k_bhkc, v_bhkc = self.self_attn.keys_values(self.attn_norm(x_bkd))
        x_bkd = x_bkd + self.self_attn(self.attn_norm(x_bkd), k_bhkc, v_bhkc, x_bkd.new_zeros([0]))
        return self.norm(x_bkd + self.mlp(self.mlp_norm(x_bkd)))

    def forward(self, mel_bmt: Tensor) -> Tensor:
        return self.far(self.near(mel_bmt))


class SpeechReader(nn.Module):
    window: torch.jit.Final[int]

    def __init__(self, fused: bool = False):
        super().__init__()
        self.window = WINDOW
        self.log_mel = LogMel()
        self.encoder = Encoder(fused)
        self.decoder = Decoder(len(WORDS), MAX_TOKENS, WIDTH, HEADS, LAYERS, fused)

    def padded(self, audio: Tensor) -> Tensor:
        audio = audio[:, :self.window]
        return F.pad(audio, [0, self.window - audio.size(1)])

    def forward(self, audio: Tensor, tokens: Tensor) -> Tensor:
        """[B, samples] at 16 kHz, [B, T] -> logits [B, T, words]; logits t are about token t + 1."""
        logits_btv, _ = self.decoder(tokens, self.decoder.start(self.encode(audio)))
        return logits_btv

    @torch.jit.export
    def encode(self, audio: Tensor) -> Tensor:
        """[B, samples], cut or padded with silence to 8 s -> memory [B, 400, 128]; key k is centred at 0.02 k seconds."""
        return self.encoder(self.log_mel(self.padded(audio)))

    @torch.jit.export
    def decode_step(self, tokens: Tensor, memory: Tensor, cache: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """Takes <bos> with an empty cache, then one token at a time. Returns logits [B, words] of the last one."""
        if len(cache) == 0:
            cache = self.decoder.start(memory)
        logits_bqv, cache = self.decoder(tokens, cache)
        return logits_bqv[:, -1], cache

    @torch.jit.export
    def generate(self, audio: Tensor, prompt: Tensor, max_new: int) -> Tensor:
        """Greedy answer [B, n], n <= max_new, each row closed by <eos> and filled with <pad>."""
        memory = self.encode(audio)
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
