#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the small TorchScript files beside this script: the forms in which a loaded model can hold attention.

Needs torch (2.11.0 made the committed files). Run: python3 make_models.py
"""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

HERE = os.path.dirname(os.path.abspath(__file__))
D, HEADS = 16, 4

class SoftmaxAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads, self.size = HEADS, D // HEADS
        self.q, self.k, self.v, self.out = (nn.Linear(D, D) for _ in range(4))

    def split(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), x.size(1), self.heads, self.size).transpose(1, 2)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        attn_bhqk = torch.softmax(q @ k.transpose(-2, -1) * 0.5, dim=-1)
        return self.out((attn_bhqk @ v).transpose(1, 2).reshape(x.shape))

class SdpaAttention(SoftmaxAttention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.out(F.scaled_dot_product_attention(q, k, v, scale=0.5).transpose(1, 2).reshape(x.shape))

class FunctionalSoftmaxAttention(SoftmaxAttention):
    """F.softmax leaves a branch on its dtype argument; dropout and a mask lie between the softmax and the product."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        scores = torch.matmul(q, k.transpose(-2, -1)) * 0.5
        attn_bhqk = F.softmax(scores, dim=-1)
        attn_bhqk = F.dropout(attn_bhqk, p=0.1, training=self.training)
        return self.out(torch.matmul(attn_bhqk, v).transpose(1, 2).reshape(x.shape))

class InPlaceAttention(SoftmaxAttention):
    """Changes the weights in place after the softmax: a tap must neither see nor cause a difference."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        attn_bhqk = torch.softmax(q @ k.transpose(-2, -1) * 0.5, dim=-1)
        attn_bhqk.masked_fill_(attn_bhqk < 0.01, 0.0)
        return self.out((attn_bhqk @ v).transpose(1, 2).reshape(x.shape))

class EinsumAttention(SoftmaxAttention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        attn_bhqk = torch.einsum("bhqd,bhkd->bhqk", q, k).mul(0.5).softmax(-1)
        return self.out(torch.einsum("bhqk,bhkd->bhqd", attn_bhqk, v).transpose(1, 2).reshape(x.shape))

class Block(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.norm = nn.LayerNorm(D)
        self.self_attn = attention()
        self.cross_attn = attention()

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        h = self.norm(x)
        x = x + self.self_attn(h, h)
        return x + self.cross_attn(x, memory)

class Decoder(nn.Module):
    """Three blocks of one type, a loop, and a method of its own beside forward."""

    def __init__(self, attention):
        super().__init__()
        self.layers = nn.ModuleList([Block(attention) for _ in range(3)])

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, memory)
        return x

    @torch.jit.export
    def generate(self, memory: Tensor, steps: int) -> Tensor:
        x = memory[:, :1]
        for _ in range(steps):
            x = self.forward(x, memory)
        return x

class Fork(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = SoftmaxAttention(), SoftmaxAttention()

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        left = torch.jit.fork(self.left, x, memory)
        right = self.right(x, memory)
        return torch.jit.wait(left) + right

class Branch(nn.Module):
    """One attention runs in one arm, another in the other; a third is computed and not used."""

    def __init__(self):
        super().__init__()
        self.short, self.long, self.unused = SoftmaxAttention(), SoftmaxAttention(), SoftmaxAttention()

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        if x.size(1) > 2:
            y = self.long(x, memory)
        else:
            y = self.short(x, memory)
        dead = self.unused(x, memory)
        return y

class Multihead(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(D, HEADS, batch_first=True)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.attn(x, memory, memory, need_weights=True)[0]

class Nan(SoftmaxAttention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        attn_bhqk = torch.softmax(q @ k.transpose(-2, -1) * float("nan"), dim=-1)
        return self.out((attn_bhqk @ v).transpose(1, 2).reshape(x.shape))

class WrongAxis(SoftmaxAttention):
    """Rows that do not sum to 1: softmax over queries."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        attn_bhqk = torch.softmax(q @ k.transpose(-2, -1) * 0.5, dim=-2)
        return self.out((attn_bhqk @ v).transpose(1, 2).reshape(x.shape))

class Throws(SoftmaxAttention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k = self.split(self.q(x)), self.split(self.k(memory))
        attn_bhqk = torch.softmax(q @ k.transpose(-2, -1) * 0.5, dim=-1)
        y = attn_bhqk @ self.split(self.v(memory))
        if x.size(0) == 3:
            raise RuntimeError("the model refuses batches of three")
        return y

@torch.jit.interface
class AttentionInterface(nn.Module):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        pass

class Interface(nn.Module):
    """A call through an interface is never inlined."""

    inner: AttentionInterface

    def __init__(self):
        super().__init__()
        self.inner = SoftmaxAttention()

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.inner.forward(x, memory)

class Classifier(nn.Module):
    """No attention: a softmax over classes, and one over a product that feeds no product."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(D, 5)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        similarity = torch.softmax(x @ memory.transpose(-2, -1), dim=-1)
        return torch.softmax(self.head(x), dim=-1).sum() + similarity.sum()

def save(name, module):
    module.eval()
    script = module if isinstance(module, torch.jit.ScriptModule) else torch.jit.script(module)
    torch.jit.save(script, os.path.join(HERE, name + ".pt"))

def main():
    torch.manual_seed(7)
    softmax = Decoder(SoftmaxAttention)
    save("softmax", softmax)
    sdpa = Decoder(SdpaAttention)
    sdpa.load_state_dict(softmax.state_dict())
    save("sdpa", sdpa)
    for name, attention in [("functional", FunctionalSoftmaxAttention), ("inplace", InPlaceAttention), ("einsum", EinsumAttention)]:
        model = Decoder(attention)
        model.load_state_dict(softmax.state_dict())
        save(name, model)
    save("frozen", torch.jit.freeze(torch.jit.script(softmax.eval()), preserved_attrs=["generate"]))
    x, memory = torch.randn(2, 3, D), torch.randn(2, 6, D)
    class Plain(nn.Module):  # tracing does not mix with exported methods
        def __init__(self):
            super().__init__()
            self.layers = softmax.layers

        def forward(self, x, memory):
            for layer in self.layers:
                x = layer(x, memory)
            return x

    save("traced", torch.jit.trace(Plain().eval(), (x, memory)))
    for module in [Fork(), Branch(), Multihead(), Nan(), WrongAxis(), Throws(), Interface(), Classifier()]:
        save(type(module).__name__.lower(), module)

if __name__ == "__main__":
    main()
