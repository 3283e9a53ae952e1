# SPDX-License-Identifier: MIT
"""The attention that torch ships: its modules, its functions and its operators."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from own.base import D, HEADS, ONE, Attention, own


class Multihead(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(D, HEADS, batch_first=True)


@own("own-mha-weights")
class MultiheadWeights(Multihead):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.attn(x, memory, memory, need_weights=True)[0]


@own("own-mha-head-weights")
class MultiheadHeadWeights(Multihead):
    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        y, weights = self.attn(x, memory, memory, need_weights=True, average_attn_weights=False)
        assert weights is not None
        return y, weights


@own("own-mha-fused")
class MultiheadFused(Multihead):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.attn(x, memory, memory, need_weights=False)[0]


@own("own-mha-self", shapes=ONE)
class MultiheadSelf(Multihead):
    """In eval and without gradients this is one fused operator."""

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(x, x, x, need_weights=False)[0]


@own("own-mha-self-weights", shapes=ONE)
class MultiheadSelfWeights(Multihead):
    def forward(self, x: Tensor) -> Tensor:
        return self.attn(x, x, x, need_weights=True)[0]


@own("own-mha-masked", shapes=ONE)
class MultiheadMasked(Multihead):
    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.triu(torch.ones(x.size(1), x.size(1)), 1) > 0
        return self.attn(x, x, x, attn_mask=hidden, need_weights=False)[0]


@own("own-mha-padded", shapes=ONE)
class MultiheadPadded(Multihead):
    def forward(self, x: Tensor) -> Tensor:
        padding = torch.arange(x.size(1)).expand(x.size(0), -1) > 3
        return self.attn(x, x, x, key_padding_mask=padding, need_weights=True)[0]


@own("own-mha-sequence-first", shapes=((5, 2, D), (7, 2, D)))
class MultiheadSequenceFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(D, HEADS, kdim=D, vdim=D, add_bias_kv=True, add_zero_attn=True)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.attn(x, memory, memory)[0]


@own("own-encoder-layer", shapes=ONE)
class EncoderLayer(nn.Module):
    """Its fast path, too, is one fused operator in eval."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(D, HEADS, 24, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@own("own-encoder", shapes=ONE)
class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(D, HEADS, 24, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


@own("own-decoder-layer")
class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(D, HEADS, 24, batch_first=True)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.layer(x, memory)


@own("own-mha-function")
class MultiheadFunction(Multihead):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        x, memory = x.transpose(0, 1), memory.transpose(0, 1)
        y, _ = F.multi_head_attention_forward(
            x, memory, memory, 16, 4, self.attn.in_proj_weight, self.attn.in_proj_bias, None, None, False, 0.0,
            self.attn.out_proj.weight, self.attn.out_proj.bias, training=False, need_weights=False)
        return y.transpose(0, 1)


@own("own-sdpa")
class Sdpa(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.join(F.scaled_dot_product_attention(q, k, v))


@own("own-sdpa-causal-scale", shapes=ONE)
class SdpaCausal(Attention):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        return self.join(F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.9))


@own("own-sdpa-masked-row")
class SdpaMaskedRow(Attention):
    """One query may see nothing at all."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        seen = (torch.arange(q.size(2)) != 2).unsqueeze(1).expand(-1, k.size(2))
        return self.join(F.scaled_dot_product_attention(q, k, v, attn_mask=seen))


@own("own-sdpa-float-mask")
class SdpaFloatMask(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        bias = torch.arange(k.size(2)).float().expand(1, 1, q.size(2), -1) * 0.3
        return self.join(F.scaled_dot_product_attention(q, k, v, attn_mask=bias))


@own("own-sdpa-grouped")
class SdpaGrouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(D, D), nn.Linear(D, D // 2), nn.Linear(D, D // 2)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q = self.q(x).unflatten(-1, [4, 4]).transpose(1, 2)
        k = self.k(memory).unflatten(-1, [2, 4]).transpose(1, 2)
        v = self.v(memory).unflatten(-1, [2, 4]).transpose(1, 2)
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).flatten(2)


@own("own-sdpa-3d")
class SdpaThreeDimensions(nn.Module):
    """One head, no dimension for it."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(D, D) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(self.q(x), self.k(memory), self.v(memory))


@own("own-sdpa-5d", shapes=((2, 3, 5, D), (2, 3, 7, D)))
class SdpaFiveDimensions(nn.Module):
    """Frames beside the batch."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(D, D) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = [t.unflatten(-1, [4, 4]).transpose(2, 3) for t in [self.q(x), self.k(memory), self.v(memory)]]
        return F.scaled_dot_product_attention(q, k, v).transpose(2, 3).flatten(3)


@own("own-sdpa-wide-values")
class SdpaWideValues(nn.Module):
    """Values of another width than the keys."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(D, 12), nn.Linear(D, 12), nn.Linear(D, 20)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = [t.unflatten(-1, [4, -1]).transpose(1, 2) for t in [self.q(x), self.k(memory), self.v(memory)]]
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


@own("own-sdpa-dropout")
class SdpaDropout(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.join(F.scaled_dot_product_attention(q, k, v, dropout_p=0.1 if self.training else 0.0))


@own("own-aten-math")
class AtenMath(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.join(torch.ops.aten._scaled_dot_product_attention_math(q, k, v)[0])


@own("own-aten-flash-for-cpu")
class AtenFlash(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.join(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[0])


@own("own-aten-safe-softmax")
class AtenSafeSoftmax(Attention):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        hidden = (torch.arange(q.size(2)) == 2).unsqueeze(1)
        scores = (q @ k.transpose(-2, -1)).masked_fill(hidden, float("-inf"))
        return self.join(torch.ops.aten._safe_softmax(scores, -1) @ v)
