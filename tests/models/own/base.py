# SPDX-License-Identifier: MIT
"""What the models of this folder share: how they are registered, and the projections around an attention."""
import torch
import torch.nn as nn
from torch import Tensor

from example import Example, architecture, reinitialise

D, HEADS = 16, 4
TWO = ((2, 5, D), (2, 7, D))
ONE = ((2, 6, D),)


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


def own(name: str, shapes: tuple = TWO, **declared):
    """Registers a module class; its inputs are random tensors of the shapes. A class whose weights no recorder can follow computes
    them in a method of its own, maps."""
    def register(kind):
        @architecture(name, ("script",))
        def build(_):
            module = (Alone if len(shapes) == 1 else Pair)(kind()).eval()
            reinitialise(module)
            inputs = tuple(torch.randn(shape) for shape in shapes)
            maps = module.body.maps(*inputs) if hasattr(module.body, "maps") else []
            return Example(module, inputs, scripted=True, computed=[("body", map_bhqk) for map_bhqk in maps], **declared)
        return kind
    return register


class Attention(nn.Module):
    """Projections and the splitting of heads; its forward is the plainest attention."""

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


def scaled_map(attention: Attention, x: Tensor, memory: Tensor) -> Tensor:
    with torch.no_grad():
        q, k = attention.split(attention.q(x)), attention.split(attention.k(memory))
        return torch.softmax(q @ k.transpose(-2, -1) * 0.5, -1)
