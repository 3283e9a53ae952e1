"""The text decoder of the encoder-decoder samples: causal self-attention and cross-attention to an encoder's keys, with a KV cache."""
from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Softmax attention; `fused` chooses how it is computed, never what."""

    fused: torch.jit.Final[bool]
    heads: torch.jit.Final[int]

    def __init__(self, width: int, heads: int, fused: bool):
        super().__init__()
        self.fused = fused
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def split(self, x_btd: Tensor) -> Tensor:
        return x_btd.unflatten(2, [self.heads, -1]).transpose(1, 2)

    def keys_values(self, x_btd: Tensor) -> Tuple[Tensor, Tensor]:
        return self.split(self.k(x_btd)), self.split(self.v(x_btd))

    def forward(self, x_bqd: Tensor, k_bhkc: Tensor, v_bhkc: Tensor, hidden_qk: Tensor) -> Tensor:
        """hidden_qk: 0 where a query may look, -inf where it may not; empty when it may look everywhere."""
        q_bhqc = self.split(self.q(x_bqd))
        if self.fused:
            if hidden_qk.numel() > 0:
                y_bhqc = F.scaled_dot_product_attention(q_bhqc, k_bhkc, v_bhkc, attn_mask=hidden_qk)
            else:
                y_bhqc = F.scaled_dot_product_attention(q_bhqc, k_bhkc, v_bhkc)
        else:
            scores_bhqk = torch.matmul(q_bhqc, k_bhkc.transpose(2, 3)) * self.scale
            if hidden_qk.numel() > 0:
                scores_bhqk = scores_bhqk + hidden_qk
            attn_bhqk = torch.softmax(scores_bhqk, dim=-1)
            y_bhqc = torch.matmul(attn_bhqk, v_bhkc)
        return self.out(y_bhqc.transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, fused: bool):
        super().__init__()
        self.self_norm = nn.LayerNorm(width)
        self.self_attn = Attention(width, heads, fused)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attn = Attention(width, heads, fused)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x_bqd: Tensor, cache: List[Tensor], hidden_qk: Tensor, all_hidden: Tensor) -> Tuple[Tensor, List[Tensor]]:
        """cache: self keys, self values of the tokens before (may hold none), cross keys, cross values."""
        x_norm_bqd = self.self_norm(x_bqd)
        k_bhkc, v_bhkc = self.self_attn.keys_values(x_norm_bqd)
        k_bhkc = torch.cat([cache[0], k_bhkc], dim=2)
        v_bhkc = torch.cat([cache[1], v_bhkc], dim=2)
        x_bqd = x_bqd + self.self_attn(x_norm_bqd, k_bhkc, v_bhkc, hidden_qk)
        x_bqd = x_bqd + self.cross_attn(self.cross_norm(x_bqd), cache[2], cache[3], all_hidden)
        x_bqd = x_bqd + self.mlp(self.mlp_norm(x_bqd))
        return x_bqd, [k_bhkc, v_bhkc, cache[2], cache[3]]


class Decoder(nn.Module):
    def __init__(self, words: int, max_tokens: int, width: int, heads: int, layers: int, fused: bool):
        super().__init__()
        self.width = width
        self.heads = heads
        self.embed = nn.Embedding(words, width)
        self.positions = nn.Parameter(torch.randn(max_tokens, width) * 0.1)
        self.layers = nn.ModuleList([DecoderLayer(width, heads, fused) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words)
        nn.init.normal_(self.embed.weight, std=0.3)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def start(self, memory_bkd: Tensor) -> List[Tensor]:
        cache: List[Tensor] = []
        for layer in self.layers:
            nothing = memory_bkd.new_zeros([memory_bkd.size(0), self.heads, 0, self.width // self.heads])
            k_bhkc, v_bhkc = layer.cross_attn.keys_values(memory_bkd)
            cache += [nothing, nothing, k_bhkc, v_bhkc]
        return cache

    def forward(self, tokens_bq: Tensor, cache: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        past = cache[0].size(2)
        length = tokens_bq.size(1)
        x_bqd = self.embed(tokens_bq) + self.positions[past:past + length]
        nothing_hidden = x_bqd.new_zeros([0])
        hidden_qk = nothing_hidden
        if length > 1:
            hidden_qk = torch.full([length, past + length], float("-inf"), dtype=x_bqd.dtype, device=x_bqd.device).triu(past + 1)
        new_cache: List[Tensor] = []
        for i, layer in enumerate(self.layers):
            x_bqd, layer_cache = layer(x_bqd, cache[4 * i:4 * i + 4], hidden_qk, nothing_hidden)
            new_cache += layer_cache
        return self.head(self.norm(x_bqd)), new_cache
