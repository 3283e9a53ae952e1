# SPDX-License-Identifier: MIT
"""What an architecture's file hands over: a module with its inputs, in one of the forms attention can have."""
import re
from dataclasses import dataclass, field
from typing import Callable

import torch
from torch import Tensor, nn

FORMS = ("eager", "sdpa")
HALF = "eager-bf16"


@dataclass
class Example:
    module: nn.Module
    inputs: tuple
    scripted: bool = False
    not_attention: tuple[str, ...] = ()  # patterns of MODULE#CALL: a softmax that feeds a product, yet is no attention
    unused: tuple[str, ...] = ()         # patterns of modules that run in Python, while TorchScript drops their result
    reported: tuple[str, ...] = ()       # patterns of modules whose attention gaze says it does not understand
    repeats: bool = False                # the same attention over the same values runs more than once
    calls_expected: bool = True          # False: there is no attention in it, and nothing may be captured
    computed: list[tuple[str, Tensor]] = field(default_factory=list)  # module and weights, where they cannot be recorded


@dataclass
class Entry:
    name: str
    forms: tuple[str, ...]
    build: Callable[[str], Example]


REGISTRY: dict[str, Entry] = {}


def architecture(name: str, forms: tuple[str, ...] = FORMS):
    def register(build):
        assert name not in REGISTRY, name
        REGISTRY[name] = Entry(name, forms, build)
        return build
    return register


class Positional(nn.Module):
    """Takes tensors in order, as a traced function must, and returns the tensors of the model's output."""

    def __init__(self, model: nn.Module, names: tuple[str, ...], fixed: dict):
        super().__init__()
        self.model, self.names, self.fixed = model, names, fixed

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_of(self.model(**dict(zip(self.names, tensors)), **self.fixed)))


def tensors_of(value) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, (tuple, list)) or hasattr(value, "__iter__") and not isinstance(value, str):
        return [tensor for item in value for tensor in tensors_of(item)]
    return []


def positional(model: nn.Module, inputs: dict, fixed: dict | None = None, gain: float = 1.7, **declared) -> Example:
    reinitialise(model, gain=gain)
    return Example(Positional(model.eval(), tuple(inputs), fixed or {}), tuple(inputs.values()), **declared)


QUERY_OR_KEY = re.compile(r"(^|[._])(q|k|query|key|qkv|q_proj|k_proj|qkv_proj|query_key_value|c_attn|in_proj|Wqkv)(_proj)?([._]|$)|"
                          r"query_proj|key_proj|queries|to_q|to_k|q_lin|k_lin|in_proj_weight")


def reinitialise(model: nn.Module, seed: int = 11, gain: float = 1.7) -> None:
    """Random weights that keep activations in range and make every head's map different, and far from uniform."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if parameter.dim() >= 2:
                embeds = "embed" in name or name.endswith(("wte.weight", "shared.weight"))
                fan_in = 1 if embeds else parameter[0].numel()
                scale = fan_in ** -0.5 * (gain if QUERY_OR_KEY.search(name) else 1.0)
                parameter.copy_(noise * scale)
            elif parameter.dim() == 1:
                parameter.add_(noise * 0.1)
