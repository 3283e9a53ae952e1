# SPDX-License-Identifier: MIT
"""Attention over feature maps: windows, generators, diffusion, channels, axes."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from own.base import Attention, own

C = 16


@own("own-windows", shapes=((2, 6, 9, C),))
class Windows(nn.Module):
    """Attention inside windows of 3 x 3, with a bias per offset."""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
        self.bias = nn.Parameter(torch.randn(4, 9, 9))

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        windows = x.view(b, h // 3, 3, w // 3, 3, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 9, c)
        q, k, v = self.qkv(windows).reshape(-1, 9, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-2, -1) * 0.5 + self.bias, -1)
        y = self.proj((weights @ v).transpose(1, 2).reshape(-1, 9, c))
        return y.view(b, h // 3, w // 3, 3, 3, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)


@own("own-gan-self-attention", shapes=((2, C, 4, 5),))
class GanSelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Conv2d(C, C // 2, 1), nn.Conv2d(C, C // 2, 1), nn.Conv2d(C, C, 1)
        self.gamma = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.size()
        q = self.q(x).view(b, -1, h * w).permute(0, 2, 1)
        k = self.k(x).view(b, -1, h * w)
        weights = F.softmax(torch.bmm(q, k), dim=-1)
        y = torch.bmm(self.v(x).view(b, -1, h * w), weights.permute(0, 2, 1))
        return x + self.gamma * y.view(b, c, h, w)


@own("own-diffusion-block", shapes=((2, C, 4, 5),))
class DiffusionBlock(nn.Module):
    """The attention of a diffusion model's autoencoder: one head, keys on the last dimension."""

    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(4, C)
        self.q, self.k, self.v, self.proj = (nn.Conv2d(C, C, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        b, c, h, w = x.shape
        q = self.q(y).reshape(b, c, h * w).permute(0, 2, 1)
        k = self.k(y).reshape(b, c, h * w)
        weights = F.softmax(torch.bmm(q, k) * (c ** -0.5), dim=2)
        y = torch.bmm(self.v(y).reshape(b, c, h * w), weights.permute(0, 2, 1))
        return x + self.proj(y.reshape(b, c, h, w))


@own("own-diffusion-legacy", shapes=((2, 3 * C, 20),))
class DiffusionLegacy(nn.Module):
    """A U-Net's attention on packed channels, by einsum over [batch x heads, channels, length]."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Conv1d(3 * C, 3 * C, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, width, n = x.shape
        q, k, v = self.qkv(x).reshape(b * 4, width // 4, n).split(width // 12, dim=1)
        weights = torch.softmax(torch.einsum("bct,bcs->bts", q * 0.7, k * 0.7).float(), dim=-1)
        return torch.einsum("bts,bcs->bct", weights, v).reshape(b, -1, n)


@own("own-spatial-transformer", shapes=((2, C, 4, 5), (2, 7, C)))
class SpatialTransformer(nn.Module):
    """A feature map reads the words of a prompt."""

    def __init__(self):
        super().__init__()
        self.enter, self.leave, self.attn = nn.Conv2d(C, C, 1), nn.Conv2d(C, C, 1), Attention()

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        b, c, h, w = x.shape
        y = self.attn(self.enter(x).flatten(2).transpose(1, 2), words)
        return x + self.leave(y.transpose(1, 2).reshape(b, c, h, w))


@own("own-axial", shapes=((2, 4, 5, C),))
class Axial(nn.Module):
    """Rows, then columns: the other axis counts as batch."""

    def __init__(self):
        super().__init__()
        self.row, self.column = Attention(), Attention()

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        rows = x.reshape(b * h, w, c)
        x = self.row(rows, rows).reshape(b, h, w, c)
        columns = x.transpose(1, 2).reshape(b * w, h, c)
        return self.column(columns, columns).reshape(b, w, h, c).transpose(1, 2)


@own("own-pooled-keys", shapes=((2, C, 4, 6),))
class PooledKeys(nn.Module):
    """Keys and values from a smaller map, as in PVT and SegFormer."""

    def __init__(self):
        super().__init__()
        self.reduce, self.attn = nn.Conv2d(C, C, 2, 2), Attention()

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(x.flatten(2).transpose(1, 2), self.reduce(x).flatten(2).transpose(1, 2))


@own("own-channels", shapes=((2, 10, C),))
class Channels(nn.Module):
    """Cross-covariance attention: channels attend to channels. A row says nothing about positions."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C)
        self.temperature = nn.Parameter(torch.full((4, 1, 1), 3.0))

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 4, c // 4).permute(2, 0, 3, 4, 1).unbind(0)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        weights = (q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        return (weights @ v).permute(0, 3, 1, 2).reshape(b, n, c)
