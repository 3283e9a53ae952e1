# SPDX-License-Identifier: MIT
"""Scripted models of our own: forms of attention that no architecture here has, and softmaxes that are no attention."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from example import Example, architecture, reinitialise

D, HEADS = 16, 4


def own(name: str, shapes: tuple = ((2, 5, D), (2, 7, D)), **declared):
    """Registers a module class; its inputs are random tensors of the shapes."""
    def register(kind):
        @architecture(name, ("script",))
        def build(_):
            module = (Alone if len(shapes) == 1 else Pair)(kind()).eval()
            reinitialise(module)
            return Example(module, tuple(torch.randn(shape) for shape in shapes), scripted=True, **declared)
        return kind
    return register


class Alone(nn.Module):
    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: Tensor):
        return self.body(x)


class Pair(nn.Module):
    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, memory: Tensor):
        return self.body(x, memory)


class Attention(nn.Module):
    """Projections and the splitting of heads, which all forms below share."""

    def __init__(self):
        super().__init__()
        self.heads, self.size = HEADS, D // HEADS
        self.q, self.k, self.v, self.out = (nn.Linear(D, D) for _ in range(4))

    def split(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), x.size(1), self.heads, self.size).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        return self.out(x.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.join(torch.softmax(q @ k.transpose(-2, -1) * 0.5, -1) @ v)


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


@own("own-classifier", shapes=((2, 5, D),), calls_expected=False)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(D, 9)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.head(x.mean(1)), -1)
