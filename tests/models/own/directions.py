# SPDX-License-Identifier: MIT
"""Attention between two sides, attention that runs twice, and attention that does not run."""
import torch
import torch.nn as nn
from torch import Tensor

from own.base import D, HEADS, ONE, TWO, Attention, own, scaled_map


@own("own-two-way")
class TwoWay(nn.Module):
    """Tokens to tokens, tokens to image, image to tokens."""

    def __init__(self):
        super().__init__()
        self.self_attn, self.token_to_image, self.image_to_token = Attention(), Attention(), Attention()

    def forward(self, tokens: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens = tokens + self.self_attn(tokens, tokens)
        tokens = tokens + self.token_to_image(tokens, image)
        image = image + self.image_to_token(image, tokens)
        return tokens, image


@own("own-one-matrix-two-softmaxes")
class OneMatrixTwoSoftmaxes(nn.Module):
    """One matrix of scores, softmaxed over either side, as in co-attention and GLIP."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.va, self.vb = (nn.Linear(D, D) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.bmm(self.a(x), self.b(memory).transpose(1, 2)) * 0.3
        to_memory = torch.softmax(scores, dim=-1)
        to_x = torch.softmax(scores.transpose(1, 2), dim=-1)
        return torch.bmm(to_memory, self.vb(memory)), torch.bmm(to_x, self.va(x))


@own("own-two-dimensions-two-softmaxes")
class TwoDimensionsTwoSoftmaxes(nn.Module):
    """The same, with softmaxes over two dimensions of one tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.a(x) @ self.b(memory).transpose(1, 2) * 0.3
        return scores.softmax(2) @ memory, scores.softmax(1).transpose(1, 2) @ x


@own("own-called-twice")
class CalledTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = Attention()

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.attn(self.attn(x, memory), x)


@own("own-loop")
class Loop(nn.Module):
    """The number of calls is known when it runs, and so is the number of queries."""

    def __init__(self):
        super().__init__()
        self.attn = Attention()

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        y = x[:, :1]
        for _ in range(x.size(1) - 2):
            y = torch.cat([y, self.attn(y, memory)[:, -1:]], 1)
        return y


@own("own-branch-not-taken")
class BranchNotTaken(nn.Module):
    def __init__(self):
        super().__init__()
        self.short, self.long = Attention(), Attention()

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        if x.size(1) > 100:
            y = self.long(x, memory)
        else:
            y = self.short(x, memory)
        return y


@own("own-branch-inside")
class BranchInside(Attention):
    """Fused where nothing is masked, written out where something is."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        if x.size(1) > memory.size(1):
            y = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-2, -1) * 0.5, -1) @ v
        return self.join(y)


@own("own-cache", shapes=TWO)
class Cache(Attention):
    """Keys and values of earlier steps are concatenated to the new ones."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        k, v = self.split(self.k(memory)), self.split(self.v(memory))
        done: list[Tensor] = []
        for t in range(x.size(1)):
            step = x[:, t:t + 1]
            k, v = torch.cat([k, self.split(self.k(step))], 2), torch.cat([v, self.split(self.v(step))], 2)
            done.append(torch.softmax(self.split(self.q(step)) @ k.transpose(-2, -1) * 0.5, -1) @ v)
        return self.join(torch.cat(done, 2))


@own("own-learned-queries", shapes=ONE)
class LearnedQueries(nn.Module):
    """Pooling by a few learned queries, as in Perceiver, Q-Former and SigLIP's head."""

    def __init__(self):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(3, D))
        self.attn = Attention()

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(self.latents.expand(x.size(0), -1, -1), x)


@own("own-learned-query-unprojected", shapes=ONE)
class LearnedQueryUnprojected(nn.Module):
    """The query is a parameter, not projected; the pooled tensor is what made the keys."""

    def __init__(self):
        super().__init__()
        self.query = nn.Parameter(torch.randn(HEADS, D))
        self.k, self.v = nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.query @ self.k(x).transpose(1, 2) / 4.0, -1)
        return weights @ self.v(x)


@own("own-latent-array", shapes=ONE)
class LatentArray(nn.Module):
    """A bottleneck: latents read the input, attend to themselves, and the input reads the latents."""

    def __init__(self):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, 3, D))
        self.read, self.process, self.write = Attention(), Attention(), Attention()

    def forward(self, x: Tensor) -> Tensor:
        z = self.latents.expand(x.size(0), -1, -1)
        z = self.read(z, x)
        return self.write(x, z + self.process(z, z))


class Shifted(Attention):
    pass


@own("own-two-types-one-name")
class TwoTypes(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleDict({"first": Attention(), "second": Shifted()})

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        for block in self.blocks.values():
            x = x + block(x, memory)
        return x


@own("own-two-attentions-in-one-module")
class TwoInOne(Attention):
    """One forward holds two attentions, and each has projections of its own."""

    def __init__(self):
        super().__init__()
        self.q2, self.k2 = nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        v = self.split(self.v(memory))
        first = torch.softmax(self.split(self.q(x)) @ self.split(self.k(memory)).transpose(-2, -1) * 0.5, -1)
        second = torch.softmax(self.split(self.q2(x)) @ self.split(self.k2(memory)).transpose(-2, -1) * 0.5, -1)
        return self.join(first @ v + second @ v)


@own("own-differential")
class Differential(TwoInOne):
    """The difference of two maps multiplies the values."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        v = self.split(self.v(memory))
        first = torch.softmax(self.split(self.q(x)) @ self.split(self.k(memory)).transpose(-2, -1) * 0.5, -1)
        second = torch.softmax(self.split(self.q2(x)) @ self.split(self.k2(memory)).transpose(-2, -1) * 0.5, -1)
        return self.join((first - 0.3 * second) @ v)

    @torch.jit.unused
    def maps(self, x: Tensor, memory: Tensor) -> list[Tensor]:
        second = torch.softmax(self.split(self.q2(x)) @ self.split(self.k2(memory)).transpose(-2, -1) * 0.5, -1)
        return [scaled_map(self, x, memory), second]
