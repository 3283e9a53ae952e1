# SPDX-License-Identifier: MIT
"""Softmaxes that are no attention. Those that feed a product are declared, for a recorder cannot know."""
import torch
import torch.nn as nn
from torch import Tensor

from own.base import D, ONE, own

NONE = dict(shapes=ONE, calls_expected=False)
DECLARED = dict(shapes=ONE, calls_expected=False, not_attention=("^body",))


@own("none-classifier", **NONE)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(D, 9)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.head(x.mean(1)), -1)


@own("none-similarity", shapes=((2, 5, D), (2, 7, D)), calls_expected=False)
class Similarity(nn.Module):
    """As a contrastive model's probabilities: a softmax over a product, which is the answer."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return torch.softmax(x @ memory.transpose(1, 2), -1)


@own("none-router", **NONE)
class Router(nn.Module):
    """The two best of four experts, weighted by a softmax."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(D, 4, bias=False)
        self.experts = nn.ModuleList([nn.Linear(D, D) for _ in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        chances, chosen = torch.topk(torch.softmax(self.gate(x), -1), 2, dim=-1)
        chances = chances / chances.sum(-1, keepdim=True)
        y = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            y = y + expert(x) * (chances * (chosen == i)).sum(-1, keepdim=True)
        return y


@own("none-soft-router", **DECLARED)
class SoftRouter(nn.Module):
    """All experts, mixed by a product; the gate is a plain matrix."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.randn(D, 4))
        self.experts = nn.Parameter(torch.randn(4, D, D))

    def forward(self, x: Tensor) -> Tensor:
        chances_bte = torch.softmax(x @ self.gate, -1)
        done_bted = torch.einsum("btd,edf->btef", x, self.experts)
        return torch.einsum("bte,bted->btd", chances_bte, done_bted)


@own("none-gated-mixing", **NONE)
class GatedMixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(D, 3)
        self.arms = nn.ModuleList([nn.Linear(D, D) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        gates = torch.softmax(self.gate(x), -1)
        y = torch.zeros_like(x)
        for i, arm in enumerate(self.arms):
            y = y + gates[..., i:i + 1] * arm(x)
        return y


@own("none-squeeze-excite", **NONE)
class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(D, 4), nn.Linear(4, D)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.softmax(self.up(torch.relu(self.down(x.mean(1)))), -1).unsqueeze(1)


@own("none-dynamic-kernel", **DECLARED)
class DynamicKernel(nn.Module):
    """Four kernels, mixed by a softmax into the one that is used."""

    def __init__(self):
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(4, D * D))
        self.choose = nn.Linear(D, 4)

    def forward(self, x: Tensor) -> Tensor:
        mixed = torch.softmax(self.choose(x.mean(1)), -1) @ self.kernels
        return x @ mixed.view(-1, 16, 16)


@own("none-attentive-pooling", **DECLARED)
class AttentivePooling(nn.Module):
    """Weights over time from a small network, with neither queries nor keys."""

    def __init__(self):
        super().__init__()
        self.hidden, self.score = nn.Linear(D, D), nn.Linear(D, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.score(torch.tanh(self.hidden(x))), 1)
        return torch.bmm(weights.transpose(1, 2), x)


@own("none-linear-attention", **DECLARED)
class LinearAttention(nn.Module):
    """Softmax of queries over features and of keys over positions; no matrix of weights exists."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(D, D) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        context = torch.softmax(self.k(x), 1).transpose(1, 2) @ self.v(x)
        return torch.softmax(self.q(x), -1) @ context


@own("none-linear-attention-by-matmul", **DECLARED)
class LinearAttentionByMatmul(nn.Module):
    """The same with projections that are products of plain matrices."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Parameter(torch.randn(D, D)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        context = torch.softmax(x @ self.k, 1).transpose(1, 2) @ (x @ self.v)
        return torch.softmax(x @ self.q, -1) @ context


@own("none-expected-value", **DECLARED)
class ExpectedValue(nn.Module):
    """A distribution over bins times their centres, as detectors and depth models regress."""

    def __init__(self):
        super().__init__()
        self.head = nn.Parameter(torch.randn(D, 8))
        self.register_buffer("bins", torch.arange(8).float())

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x @ self.head, -1) @ self.bins


@own("none-soft-embedding", **DECLARED)
class SoftEmbedding(nn.Module):
    """Probabilities of words times the table of words: soft tokens."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(11, D))

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x @ self.table.t(), -1) @ self.table
