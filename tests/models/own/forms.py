# SPDX-License-Identifier: MIT
"""One attention, written in the ways people write it."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from own.base import D, HEADS, ONE, Attention, own, scaled_map


@own("own-plain")
class Plain(Attention):
    pass


@own("own-alibi")
class Alibi(Attention):
    def __init__(self):
        super().__init__()
        self.register_buffer("slopes", 2.0 ** -torch.arange(1, HEADS + 1).float())

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        distance = torch.arange(k.size(2))[None] - torch.arange(q.size(2))[:, None]
        scores = torch.matmul(q, k.transpose(2, 3)) / 2.0 - self.slopes[:, None, None] * distance.abs()
        return self.join(torch.matmul(F.softmax(scores, dim=-1), v))


@own("own-relative-bias", shapes=ONE)
class RelativeBias(Attention):
    def __init__(self):
        super().__init__()
        self.bias = nn.Embedding(31, HEADS)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        positions = torch.arange(x.size(1))
        bias = self.bias(positions[None] - positions[:, None] + 15).permute(2, 0, 1).unsqueeze(0)
        scores = torch.matmul(q, k.transpose(3, 2))
        scores += bias
        return self.join(torch.matmul(F.softmax(scores.float(), dim=-1).type_as(scores), v))


@own("own-relative-keys", shapes=ONE)
class RelativeKeys(Attention):
    """A second product, with the embeddings of distances, is added to the scores (Shaw and others)."""

    def __init__(self):
        super().__init__()
        self.distance = nn.Embedding(31, D // HEADS)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        positions = torch.arange(x.size(1))
        relative = self.distance(positions[None] - positions[:, None] + 15)
        scores = (q @ k.transpose(-1, -2) + torch.einsum("bhld,lrd->bhlr", q, relative)) / math.sqrt(self.size)
        return self.join(torch.softmax(scores, -1) @ v)


@own("own-einsum")
class Einsum(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q = self.q(x).view(x.size(0), -1, self.heads, self.size)
        k = self.k(memory).view(x.size(0), -1, self.heads, self.size)
        v = self.v(memory).view(x.size(0), -1, self.heads, self.size)
        weights = torch.einsum("bqhd,bkhd->bhqk", q, k).div(2.0).softmax(dim=-1)
        return self.out(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2))


@own("own-einsum-keys-in-the-middle")
class EinsumKeysInTheMiddle(Attention):
    """The scores are [batch, queries, keys, heads], and the softmax is over the last but one."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q = self.q(x).view(x.size(0), -1, self.heads, self.size)
        k = self.k(memory).view(x.size(0), -1, self.heads, self.size)
        v = self.v(memory).view(x.size(0), -1, self.heads, self.size)
        weights = torch.einsum("bqhd,bkhd->bqkh", q, k).div(2.0).softmax(dim=2)
        return self.out(torch.einsum("bqkh,bkhd->bqhd", weights, v).flatten(2))


@own("own-bmm")
class Bmm(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = [self.split(t).flatten(0, 1) for t in [self.q(x), self.k(memory), self.v(memory)]]
        weights = torch.bmm(q, k.transpose(1, 2)).softmax(-1)
        return self.join(torch.bmm(weights, v).view(x.size(0), self.heads, x.size(1), self.size))


@own("own-baddbmm")
class Baddbmm(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = [self.split(t).flatten(0, 1) for t in [self.q(x), self.k(memory), self.v(memory)]]
        empty = torch.empty(q.size(0), q.size(1), k.size(1))
        weights = torch.baddbmm(empty, q, k.transpose(1, 2), beta=0.0, alpha=0.5).softmax(-1)
        return self.join(torch.bmm(weights, v).view(x.size(0), self.heads, x.size(1), self.size))


@own("own-baddbmm-mask")
class BaddbmmMask(Attention):
    """The added matrix is made by a product too (a bias from the inputs)."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = [self.split(t).flatten(0, 1) for t in [self.q(x), self.k(memory), self.v(memory)]]
        bias = torch.bmm(x, memory.transpose(1, 2)).repeat_interleave(self.heads, 0)
        weights = torch.baddbmm(bias, q, k.transpose(1, 2), beta=0.1, alpha=0.5).softmax(-1)
        return self.join(torch.bmm(weights, v).view(x.size(0), self.heads, x.size(1), self.size))


@own("own-one-head-2d", shapes=((5, D), (7, D)))
class OneHead(nn.Module):
    """No batch and no heads: mm on matrices."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(D, D) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        weights = torch.softmax(torch.mm(self.q(x), self.k(memory).t()) / 4.0, dim=1)
        return torch.mm(weights, self.v(memory))


@own("own-one-head-3d")
class OneHeadBatch(nn.Module):
    """No heads: the scores are [batch, queries, keys]."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(D, D) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return torch.softmax(self.q(x) @ self.k(memory).mT / 4.0, 2) @ self.v(memory)


@own("own-multiply-and-sum")
class MultiplyAndSum(Attention):
    """The scores and the mixing are written without a product of matrices."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        weights = torch.softmax((q.unsqueeze(3) * k.unsqueeze(2)).sum(-1) * 0.5, -1)
        return self.join((weights.unsqueeze(-1) * v.unsqueeze(2)).sum(3))

    @torch.jit.unused
    def maps(self, x: Tensor, memory: Tensor) -> list[Tensor]:
        return [scaled_map(self, x, memory)]


@own("own-additive", shapes=((2, 5, D), (2, 7, D)))
class Additive(nn.Module):
    """Bahdanau's attention: scores from a small network over the sum of query and key."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.score = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, 1)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        scores = self.score(torch.tanh(self.q(x).unsqueeze(2) + self.k(memory).unsqueeze(1))).squeeze(-1)
        return torch.bmm(torch.softmax(scores * 3.0, -1), memory)


@own("own-cosine")
class Cosine(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * 8.0
        return self.join(scores.softmax(-1) @ v)


@own("own-keys-first")
class KeysFirst(Attention):
    """The scores are [batch, heads, keys, queries], the softmax is over their third dimension."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        weights = torch.softmax(k @ q.transpose(-2, -1) * 0.5, dim=2)
        return self.join(weights.transpose(-2, -1) @ v)


@own("own-keys-first-bmm")
class KeysFirstBmm(nn.Module):
    """[batch, keys, queries] with a softmax over dimension 1, the values on the left."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(D, D) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        weights = F.softmax(torch.bmm(self.k(memory), self.q(x).transpose(1, 2)) * 0.3, dim=1)
        return torch.bmm(self.v(memory).transpose(1, 2), weights).transpose(1, 2)


@own("own-transposed-scores")
class TransposedScores(Attention):
    """Scores made keys first, and transposed before the softmax."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        weights = torch.softmax((k @ q.transpose(-2, -1)).transpose(-2, -1) * 0.5, dim=-1)
        return self.join(weights @ v)


@own("own-float-casts")
class FloatCasts(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        weights = F.softmax((q @ k.transpose(-2, -1)).float(), dim=-1, dtype=torch.float32).to(q.dtype)
        return self.join(weights @ v)


@own("own-double-casts")
class DoubleCasts(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.join(torch.softmax((q @ k.transpose(-2, -1)).double(), -1).to(v) @ v)


@own("own-masked-after-softmax")
class MaskedAfterSoftmax(Attention):
    """Masked out of place after the softmax: what the values are multiplied with is not what the softmax gave."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        weights = torch.softmax(q @ k.transpose(-2, -1) * 0.5, -1)
        hidden = torch.arange(k.size(2)) >= 5
        return self.join(weights.masked_fill(hidden, 0.0) @ v)


@own("own-masked-both-sides")
class MaskedBothSides(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        hidden = torch.arange(k.size(2))[None] > torch.arange(q.size(2))[:, None] + 1
        scores = (q @ k.transpose(-2, -1)).masked_fill(hidden, float("-inf"))
        return self.join(torch.masked_fill(torch.softmax(scores, -1), hidden, 0.0) @ v)


@own("own-renormalised")
class Renormalised(Attention):
    """Softmax, mask, and division by the new sum."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        weights = torch.softmax(q @ k.transpose(-2, -1) * 0.5, -1) * (torch.arange(k.size(2)) < 5)
        return self.join((weights / (weights.sum(-1, keepdim=True) + 1e-9)) @ v)


@own("own-gated-mixture")
class GatedMixture(Attention):
    """Each head weighs what it sees against where it lies, and the mixture is normalised again (ConViT)."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.randn(HEADS, 5, 7))
        self.gate = nn.Parameter(torch.linspace(-1, 1, HEADS))

    def mixture(self, x: Tensor, memory: Tensor) -> Tensor:
        seen = torch.softmax(self.split(self.q(x)) @ self.split(self.k(memory)).transpose(-2, -1) * 0.5, -1)
        gate = torch.sigmoid(self.gate.view(1, -1, 1, 1))
        weights = (1.0 - gate) * seen + gate * torch.softmax(self.place, -1)
        weights /= weights.sum(-1).unsqueeze(-1)
        return weights

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.join(self.mixture(x, memory) @ self.split(self.v(memory)))

    @torch.jit.unused
    def maps(self, x: Tensor, memory: Tensor) -> list[Tensor]:
        return [self.mixture(x, memory)]


@own("own-exp-and-sum")
class ExpAndSum(Attention):
    """A softmax by hand."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        raised = torch.exp(q @ k.transpose(-2, -1) * 0.5)
        return self.join(raised / raised.sum(-1, keepdim=True) @ v)

    @torch.jit.unused
    def maps(self, x: Tensor, memory: Tensor) -> list[Tensor]:
        return [scaled_map(self, x, memory)]


@own("own-log-softmax")
class LogSoftmax(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.join(F.log_softmax(q @ k.transpose(-2, -1) * 0.5, -1).exp() @ v)

    @torch.jit.unused
    def maps(self, x: Tensor, memory: Tensor) -> list[Tensor]:
        return [scaled_map(self, x, memory)]


@own("own-softmax-module")
class SoftmaxModule(Attention):
    def __init__(self):
        super().__init__()
        self.softmax, self.drop = nn.Softmax(dim=-1), nn.Dropout(0.1)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.join(self.drop(self.softmax(q @ k.transpose(-2, -1) * 0.5)) @ v)


@own("own-dropout-always")
class DropoutAlways(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.join(F.dropout(torch.softmax(q @ k.transpose(-2, -1) * 0.5, -1), 0.0, True) @ v)


@own("own-learned-sink", shapes=ONE)
class LearnedSink(Attention):
    """One more column of logits per head, which the softmax counts and the product does not see."""

    def __init__(self):
        super().__init__()
        self.sink = nn.Parameter(torch.ones(HEADS))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        scores = q @ k.transpose(-2, -1) * 0.5
        sink = self.sink.view(1, -1, 1, 1).expand(scores.size(0), -1, scores.size(2), 1)
        weights = torch.softmax(torch.cat([scores, sink], dim=-1), dim=-1)
        return self.join(weights[..., :-1] @ v)


@own("own-added-zero-key", shapes=ONE)
class AddedZeroKey(Attention):
    """Softmax-off-by-one: a key and a value of zeros in front."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        k, v = F.pad(k, [0, 0, 1, 0]), F.pad(v, [0, 0, 1, 0])
        return self.join(torch.softmax(q @ k.transpose(-2, -1) * 0.5, -1) @ v)


@own("own-packed-qkv", shapes=ONE)
class PackedQkv(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(D, 3 * D), nn.Linear(D, D)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((q * 0.5) @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))


@own("own-chunked", shapes=((2, 9, D), (2, 7, D)))
class Chunked(Attention):
    """Queries in pieces, so that the matrix of scores never exists as a whole."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        pieces = []
        for start in range(0, q.size(2), 4):
            piece = q[:, :, start:start + 4]
            pieces.append(torch.softmax(piece @ k.transpose(-2, -1) * 0.5, -1) @ v)
        return self.join(torch.cat(pieces, 2))


@own("own-heads-in-a-list")
class HeadsInAList(nn.Module):
    """Every head has projections and a product of its own."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.ModuleList([nn.Linear(D, 4) for _ in range(HEADS)]) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        done = []
        for q, k, v in zip(self.q, self.k, self.v):
            done.append(torch.softmax(q(x) @ k(memory).transpose(1, 2), -1) @ v(memory))
        return torch.cat(done, -1)


@own("own-talking-heads")
class TalkingHeads(Attention):
    """Heads are mixed by a small matrix before and after the softmax."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Linear(HEADS, HEADS), nn.Linear(HEADS, HEADS)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        scores = self.before((q @ k.transpose(-2, -1)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        weights = self.after(scores.softmax(-1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.join(weights @ v)

    @torch.jit.unused
    def maps(self, x: Tensor, memory: Tensor) -> list[Tensor]:
        """The softmax: what a head attends to. Mixed, the numbers are no shares of anything."""
        with torch.no_grad():
            scores = self.split(self.q(x)) @ self.split(self.k(memory)).transpose(-2, -1)
            return [self.before(scores.permute(0, 2, 3, 1)).softmax(2).permute(0, 3, 1, 2)]


@own("own-sigmoid", calls_expected=False, reported=("body",))
class SigmoidAttention(Attention):
    """Every key by itself: weights that sum to nothing in particular."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.join(torch.sigmoid(q @ k.transpose(-2, -1) * 0.5 - 1.0) @ v)


@own("own-angles", calls_expected=False, reported=("body",))
class AngleAttention(Attention):
    """The chance that queries and keys fall into one bucket (what YOSO's hashing expects)."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q = nn.functional.normalize(self.split(self.q(x)), dim=-1)
        k = nn.functional.normalize(self.split(self.k(memory)), dim=-1)
        near = (1.0 - torch.acos(torch.clamp(q @ k.transpose(-2, -1), -0.999, 0.999)) / 3.141592653589793) ** 4
        return self.join(near @ self.split(self.v(memory)))


@own("own-weights-returned")
class WeightsReturned(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        weights = torch.softmax(q @ k.transpose(-2, -1) * 0.5, -1)
        return self.join(weights @ v), weights.mean(1)


@own("own-entmax-like-topk")
class TopkScores(Attention):
    """All but the best three keys of a query are masked before the softmax."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        scores = q @ k.transpose(-2, -1) * 0.5
        least = scores.topk(3, dim=-1)[0][..., -1:]
        return self.join(torch.softmax(torch.where(scores < least, torch.full_like(scores, -1e9), scores), -1) @ v)


@own("own-softcap")
class Softcap(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        scores = torch.tanh(q @ k.transpose(-2, -1) / 5.0) * 5.0
        return self.join(torch.softmax(scores, -1) @ v)


@own("own-stable")
class Stable(Attention):
    """The largest score is taken off first, as in GLIP and older code; clamped as well."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        scores = q @ k.transpose(-2, -1)
        scores = torch.clamp(scores - scores.max(-1, keepdim=True)[0], min=-50000.0)
        return self.join(torch.softmax(scores, -1) @ v)


@own("own-grouped-matmul")
class Grouped(nn.Module):
    """Grouped queries without repeated keys: five-dimensional products."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(D, D), nn.Linear(D, D // 2), nn.Linear(D, D // 2)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q = self.q(x).view(x.size(0), x.size(1), 2, 2, 4).permute(0, 2, 3, 1, 4)
        k = self.k(memory).view(x.size(0), -1, 2, 1, 4).permute(0, 2, 3, 1, 4)
        v = self.v(memory).view(x.size(0), -1, 2, 1, 4).permute(0, 2, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1), -1)
        return (weights @ v).permute(0, 3, 1, 2, 4).flatten(2)


@own("own-slots")
class Slots(nn.Module):
    """Slot attention: queries compete for keys, then every query's row is normalised."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(D, D) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        weights = torch.softmax(self.q(x) @ self.k(memory).transpose(1, 2) * 0.5, dim=1) + 1e-8
        return (weights / weights.sum(-1, keepdim=True)) @ self.v(memory)
