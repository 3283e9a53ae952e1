"""The stickers reader's decoder-only twin: the picture's cells stand in the prompt, where <image> ids hold their places.

Same picture encoder, same words, same answers. But there is no cross-attention: cells, prompt and answer are keys of one causal
self-attention with grouped heads, and cells mix with the cells before them on their way through the layers.
"""
from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import model as m

WORDS = m.WORDS + ["<image>"]
IMAGE = len(m.WORDS)
CELLS = m.ROWS * m.COLS
HEADS, KV_HEADS = 4, 2
LAYERS = 4


class Attention(nn.Module):
    """Causal attention of grouped heads; `fused` chooses how it is computed, never what."""

    fused: torch.jit.Final[bool]

    def __init__(self, width: int, fused: bool):
        super().__init__()
        self.fused = fused
        self.head_width = width // HEADS
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, KV_HEADS * self.head_width)
        self.v = nn.Linear(width, KV_HEADS * self.head_width)
        self.out = nn.Linear(width, width)

    def split(self, x_btd: Tensor) -> Tensor:
        return x_btd.unflatten(2, [-1, self.head_width]).transpose(1, 2)

    def forward(self, x_bqd: Tensor, past_k_bgkc: Tensor, past_v_bgkc: Tensor, visible_qk: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """visible_qk: where a query may look."""
        q_bhqc = self.split(self.q(x_bqd))
        k_bgkc = torch.cat([past_k_bgkc, self.split(self.k(x_bqd))], dim=2)
        v_bgkc = torch.cat([past_v_bgkc, self.split(self.v(x_bqd))], dim=2)
        if self.fused:
            y_bhqc = F.scaled_dot_product_attention(q_bhqc, k_bgkc, v_bgkc, attn_mask=visible_qk, enable_gqa=True)
        else:
            group = q_bhqc.size(1) // k_bgkc.size(1)
            k_bhkc, v_bhkc = k_bgkc.repeat_interleave(group, dim=1), v_bgkc.repeat_interleave(group, dim=1)
            scores_bhqk = torch.matmul(q_bhqc, k_bhkc.transpose(2, 3)) * self.head_width ** -0.5
            attn_bhqk = torch.softmax(scores_bhqk.masked_fill(~visible_qk, float("-inf")), dim=-1)
            y_bhqc = torch.matmul(attn_bhqk, v_bhkc)
        return self.out(y_bhqc.transpose(1, 2).flatten(2)), k_bgkc, v_bgkc


class DecoderLayer(nn.Module):
    def __init__(self, width: int, fused: bool):
        super().__init__()
        self.attn_norm = nn.LayerNorm(width)
        self.self_attn = Attention(width, fused)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x_bqd: Tensor, past_k_bgkc: Tensor, past_v_bgkc: Tensor, visible_qk: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        y_bqd, k_bgkc, v_bgkc = self.self_attn(self.attn_norm(x_bqd), past_k_bgkc, past_v_bgkc, visible_qk)
        x_bqd = x_bqd + y_bqd
        return x_bqd + self.mlp(self.mlp_norm(x_bqd)), k_bgkc, v_bgkc


class Decoder(nn.Module):
    def __init__(self, width: int, fused: bool):
        super().__init__()
        self.kv_width = width // HEADS
        self.words = nn.Embedding(len(WORDS), width)
        self.project = nn.Linear(width, width)
        self.positions = nn.Parameter(torch.randn(CELLS + m.MAX_TOKENS, width) * 0.1)
        self.layers = nn.ModuleList([DecoderLayer(width, fused) for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(m.WORDS))
        nn.init.normal_(self.words.weight, std=0.3)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def embed(self, tokens_bq: Tensor, memory_bkd: Tensor) -> Tensor:
        """Every <image> id becomes the picture's next cell."""
        is_image_bq1 = (tokens_bq == 32).unsqueeze(2)  # IMAGE
        x_bqd = self.words(tokens_bq)
        return x_bqd.masked_scatter(is_image_bq1, self.project(memory_bkd).to(x_bqd.dtype))

    def run(self, x_bqd: Tensor, cache: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """cache: keys and values of every layer; empty before the first call."""
        past = cache[0].size(2) if len(cache) > 0 else 0
        length = x_bqd.size(1)
        x_bqd = x_bqd + self.positions[past:past + length]
        visible_qk = torch.ones([length, past + length], dtype=torch.bool, device=x_bqd.device).tril(past)
        nothing = x_bqd.new_zeros([x_bqd.size(0), 2, 0, self.kv_width])  # KV_HEADS
        new_cache: List[Tensor] = []
        for i, layer in enumerate(self.layers):
            k_bgkc = cache[2 * i] if len(cache) > 0 else nothing
            v_bgkc = cache[2 * i + 1] if len(cache) > 0 else nothing
            x_bqd, k_bgkc, v_bgkc = layer(x_bqd, k_bgkc, v_bgkc, visible_qk)
            new_cache += [k_bgkc, v_bgkc]
        return x_bqd, new_cache

    def start(self, memory_bkd: Tensor) -> List[Tensor]:
        """The picture alone, for training: questions about one picture share it."""
        _, cache = self.run(self.project(memory_bkd), [])
        return cache

    def forward(self, tokens_bq: Tensor, cache: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        x_bqd, cache = self.run(self.words(tokens_bq), cache)
        return self.head(self.norm(x_bqd)), cache


class EarlyFusionReader(nn.Module):
    def __init__(self, fused: bool = False):
        super().__init__()
        self.encoder = m.Encoder(m.WIDTH)
        self.decoder = Decoder(m.WIDTH, fused)

    def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
        """[B, 3, 96, 160] normalised, [B, T] with 60 <image> ids first -> logits [B, T, words]; logits t are about token t + 1."""
        x_bqd, _ = self.decoder.run(self.decoder.embed(tokens, self.encoder(image)), [])
        return self.decoder.head(self.decoder.norm(x_bqd))

    @torch.jit.export
    def encode(self, image: Tensor) -> Tensor:
        """[B, 3, 96, 160] -> memory [B, 60, 128]; row r * 10 + c is the cell in row r, column c."""
        return self.encoder(image)

    @torch.jit.export
    def decode_step(self, tokens: Tensor, memory: Tensor, cache: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """Takes the whole prompt with an empty cache, then one token at a time. Returns logits [B, words] of the last one."""
        x_bqd, cache = self.decoder.run(self.decoder.embed(tokens, memory), cache)
        return self.decoder.head(self.decoder.norm(x_bqd[:, -1])), cache

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


def with_picture(prompt: List[int]) -> List[int]:
    return [IMAGE] * CELLS + prompt
