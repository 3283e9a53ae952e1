"""The reader: a decoder-only language model as the field builds them, small, and its WordPiece tokenizer."""
from pathlib import Path
from typing import List, Tuple

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn

import facts

SPECIALS = ["[PAD]", "[UNK]", "[BOS]", "[SEP]", "[EOS]"]
PAD, UNK, BOS, SEP, EOS = range(5)
WIDTH, HEADS, KV_HEADS, LAYERS, MLP_WIDTH = 128, 4, 2, 4, 320
ROTARY_BASE = 1000.0
TOKENIZER = Path(__file__).resolve().parent / "tokenizer.json"


def make_tokenizer() -> Tokenizer:
    """Words are split at spaces and around punctuation, then into the longest pieces from their beginning on."""
    texts = SPECIALS + facts.pieces()
    tokenizer = Tokenizer(models.WordPiece({text: i for i, text in enumerate(texts)}, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokenizer.add_special_tokens(SPECIALS)
    return tokenizer


class RmsNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x_bqd: Tensor) -> Tensor:
        return F.rms_norm(x_bqd, [x_bqd.size(-1)], self.weight, 1e-6)


def rotate(x_bhqc: Tensor, cos_b1qc: Tensor, sin_b1qc: Tensor) -> Tensor:
    """Half of the channels turn with the position; the others compare what stands there, however far away."""
    first, second, still = x_bhqc.split([cos_b1qc.size(-1), cos_b1qc.size(-1), x_bhqc.size(-1) - 2 * cos_b1qc.size(-1)], dim=-1)
    return torch.cat([first * cos_b1qc - second * sin_b1qc, second * cos_b1qc + first * sin_b1qc, still], dim=-1)


class Attention(nn.Module):
    """Causal attention of grouped heads with rotary positions."""

    def __init__(self, width: int, heads: int, kv_heads: int):
        super().__init__()
        self.head_width = width // heads
        self.group = heads // kv_heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, kv_heads * self.head_width, bias=False)
        self.v_proj = nn.Linear(width, kv_heads * self.head_width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def split(self, x_btd: Tensor) -> Tensor:
        return x_btd.unflatten(2, [-1, self.head_width]).transpose(1, 2)

    def forward(self, x_bqd: Tensor, cos_b1qc: Tensor, sin_b1qc: Tensor, visible_b1qk: Tensor, past_k_bgkc: Tensor,
                past_v_bgkc: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """visible_b1qk: where a query may look."""
        q_bhqc = rotate(self.split(self.q_proj(x_bqd)), cos_b1qc, sin_b1qc)
        k_bgkc = torch.cat([past_k_bgkc, rotate(self.split(self.k_proj(x_bqd)), cos_b1qc, sin_b1qc)], dim=2)
        v_bgkc = torch.cat([past_v_bgkc, self.split(self.v_proj(x_bqd))], dim=2)
        k_bhkc = k_bgkc.repeat_interleave(self.group, dim=1)
        v_bhkc = v_bgkc.repeat_interleave(self.group, dim=1)
        y_bhqc = F.scaled_dot_product_attention(q_bhqc, k_bhkc, v_bhkc, attn_mask=visible_b1qk)
        return self.o_proj(y_bhqc.transpose(1, 2).flatten(2)), k_bgkc, v_bgkc


class Mlp(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x_bqd: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_bqd)) * self.up_proj(x_bqd))


class DecoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, kv_heads: int, inner: int):
        super().__init__()
        self.attn_norm = RmsNorm(width)
        self.self_attn = Attention(width, heads, kv_heads)
        self.mlp_norm = RmsNorm(width)
        self.mlp = Mlp(width, inner)

    def forward(self, x_bqd: Tensor, cos_b1qc: Tensor, sin_b1qc: Tensor, visible_b1qk: Tensor, past_k_bgkc: Tensor,
                past_v_bgkc: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        y_bqd, k_bgkc, v_bgkc = self.self_attn(self.attn_norm(x_bqd), cos_b1qc, sin_b1qc, visible_b1qk, past_k_bgkc, past_v_bgkc)
        x_bqd = x_bqd + y_bqd
        return x_bqd + self.mlp(self.mlp_norm(x_bqd)), k_bgkc, v_bgkc


class Reader(nn.Module):
    def __init__(self, words: int):
        super().__init__()
        self.kv_heads, self.head_width, self.base = KV_HEADS, WIDTH // HEADS, ROTARY_BASE
        self.embed = nn.Embedding(words, WIDTH)
        self.layers = nn.ModuleList([DecoderLayer(WIDTH, HEADS, KV_HEADS, MLP_WIDTH) for _ in range(LAYERS)])
        self.norm = RmsNorm(WIDTH)
        nn.init.normal_(self.embed.weight, std=0.05)
        for name, parameter in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.normal_(parameter, std=0.02)
        # Queries begin as keys, so that from the first step on tokens look for their like (mimetic initialisation).
        for layer in self.layers:
            attention = layer.self_attn
            with torch.no_grad():
                attention.k_proj.weight *= 1.5
                of_heads = attention.k_proj.weight.unflatten(0, [KV_HEADS, self.head_width]).repeat_interleave(attention.group, 0)
                attention.q_proj.weight.copy_(of_heads.flatten(0, 1))

    def run(self, tokens_bq: Tensor, positions_bq: Tensor, visible_b1qk: Tensor, cache: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """cache: keys and values of every layer; empty before the first call. Returns what the head reads, and the longer cache."""
        pairs = self.head_width // 4
        turns_c = self.base ** (-torch.arange(pairs, device=tokens_bq.device, dtype=torch.float32) / pairs)
        angles_b1qc = (positions_bq.unsqueeze(-1) * turns_c).unsqueeze(1)
        cos_b1qc, sin_b1qc = angles_b1qc.cos(), angles_b1qc.sin()
        x_bqd = self.embed(tokens_bq)
        nothing = x_bqd.new_zeros([x_bqd.size(0), self.kv_heads, 0, self.head_width])
        new_cache: List[Tensor] = []
        for i, layer in enumerate(self.layers):
            k_bgkc = cache[2 * i] if len(cache) > 0 else nothing
            v_bgkc = cache[2 * i + 1] if len(cache) > 0 else nothing
            x_bqd, k_bgkc, v_bgkc = layer(x_bqd, cos_b1qc, sin_b1qc, visible_b1qk, k_bgkc, v_bgkc)
            new_cache += [k_bgkc, v_bgkc]
        return self.norm(x_bqd), new_cache

    def logits(self, x_bqd: Tensor) -> Tensor:
        return F.linear(x_bqd, self.embed.weight)

    def extend(self, tokens_bq: Tensor, cache: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """cache: which keys are no padding, then keys and values of every layer."""
        there_bk = tokens_bq != 0  # PAD
        if len(cache) > 0:
            there_bk = torch.cat([cache[0], there_bk], dim=1)
        length, keys = tokens_bq.size(1), there_bk.size(1)
        causal_qk = torch.ones([length, keys], dtype=torch.bool, device=tokens_bq.device).tril(keys - length)
        # Padding sees all before it: a row without any key would have no weights.
        visible_bqk = causal_qk & (there_bk.unsqueeze(1) | ~there_bk[:, keys - length:].unsqueeze(2))
        positions_bq = torch.arange(keys - length, keys, device=tokens_bq.device).unsqueeze(0)
        x_bqd, new_cache = self.run(tokens_bq, positions_bq, visible_bqk.unsqueeze(1), cache[1:])
        return x_bqd, [there_bk] + new_cache

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T] -> logits [B, T, words]; logits t are about token t + 1. Shorter rows begin with [PAD]."""
        x_bqd, _ = self.extend(tokens, [])
        return self.logits(x_bqd)

    @torch.jit.export
    def prefill(self, tokens: Tensor) -> Tuple[Tensor, List[Tensor]]:
        """The whole prompt [B, T] -> logits [B, words] of its last token, and the cache."""
        x_bqd, cache = self.extend(tokens, [])
        return self.logits(x_bqd[:, -1]), cache

    @torch.jit.export
    def step(self, tokens: Tensor, cache: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """What is new [B, T] -> logits [B, words] of its last token, and the longer cache. With an empty one the prompt is new."""
        x_bqd, cache = self.extend(tokens, cache)
        return self.logits(x_bqd[:, -1]), cache


def prompt_of(tokenizer: Tokenizer, passages: list[str], question: str) -> tuple[list[int], list[tuple[int, int]]]:
    """[BOS] passage [SEP] ... question [SEP], and from which to before which token each of them stands."""
    ids, ranges = [BOS], []
    for text in [*passages, question]:
        pieces = tokenizer.encode(text).ids
        ranges.append((len(ids), len(ids) + len(pieces)))
        ids += [*pieces, SEP]
    return ids, ranges


def left_padded(rows: list[list[int]]) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[PAD] * (longest - len(row)) + row for row in rows])


@torch.no_grad()
def generate(model, prompts: list[list[int]], most: int = 10) -> list[list[int]]:
    """The most likely token each time, up to the end: what the C++ loop does."""
    logits_bv, cache = model.prefill(left_padded(prompts))
    answers = [logits_bv.argmax(-1, keepdim=True)]
    while len(answers) < most and not bool((torch.cat(answers, 1) == EOS).any(1).all()):
        logits_bv, cache = model.step(answers[-1], cache)
        answers.append(logits_bv.argmax(-1, keepdim=True))
    return [row[:row.index(EOS)] if EOS in row else row for row in torch.cat(answers, 1).tolist()]
