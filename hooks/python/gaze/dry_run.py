# SPDX-License-Identifier: MIT
"""Which attention calls one step of a model makes, in which order, and in which module: seen in one run of it, with hooks that are removed again."""
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .native import Site

_SOFTMAX = {"aten::_softmax", "aten::_safe_softmax", "aten::_masked_softmax"}
_FUSED = {f"aten::_scaled_dot_product_{name}" for name in ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention",
                                                          "fused_attention_overrideable")}
_PACKED = {"aten::_native_multi_head_attention": (0, 1, 4), "aten::_transformer_encoder_layer_fwd": (0, 0, 2)}  # query, key, heads
_PRODUCTS = {"aten::bmm": (0, 1), "aten::baddbmm": (1, 2)}
_CARRIES = {"aten::copy_": (1, 0), "aten::clone": (0, None), "aten::_to_copy": (0, None), "aten::mul": (0, None), "aten::div": (0, None)}
_KEPT_WEIGHTS = 8  # the library follows as many


@dataclass
class Call:
    """One attention call."""
    module: str
    top: int  # number of the top-level call of a module that it is part of; -1: of none
    heads: int
    kv_heads: int
    head_size: int
    queries: int
    keys: int


@dataclass
class DryRun:
    """What was seen. `tops` are the modules that no other module called, in order: of generate the encoder, then the decoder for each token."""
    calls: list[Call] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)


class _AttentionLog(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator below autograd; tells attention as the library does: fused, packed, or a product that takes a softmax's result."""

    def __init__(self, seen: DryRun, stack: list[str]):
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen, self._stack = seen, stack
        self._weights: deque[tuple[torch.Tensor, torch.Size]] = deque(maxlen=_KEPT_WEIGHTS)  # kept alive, so that no address is used twice

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name in _SOFTMAX:
            self._weights.append((result, result.shape))
        elif name in _PRODUCTS:
            weights, values = (args[i] for i in _PRODUCTS[name])
            shape = self._shape_of(weights)
            if shape is not None and shape[-1] == weights.shape[-1]:
                whole = len(shape) == 4 and shape.numel() == weights.numel()
                self._add(shape[1] if whole else 0, 0, values.shape[-1], shape[-2], shape[-1])
        elif name in _CARRIES and args and isinstance(args[_CARRIES[name][0]], torch.Tensor):
            source, into = _CARRIES[name]
            shape = self._shape_of(args[source])
            if shape is not None:
                self._weights.append((result if into is None else args[into], shape))
        elif name in _PACKED:
            q, k, heads = (args[i] for i in _PACKED[name])
            if q.dim() == 3:
                self._add(heads, heads, q.shape[2] // heads, q.shape[1], k.shape[1])
        elif name in _FUSED:
            q, k = args[0], args[1]
            if q.dim() == 4:
                self._add(q.shape[1], k.shape[1], q.shape[3], q.shape[2], k.shape[2])
        return result

    def _shape_of(self, tensor: torch.Tensor) -> torch.Size | None:
        if tensor.layout != torch.strided:
            return None
        address = tensor.untyped_storage().data_ptr()
        return next((shape for kept, shape in reversed(self._weights) if kept.untyped_storage().data_ptr() == address), None)

    def _add(self, heads: int, kv_heads: int, head_size: int, queries: int, keys: int) -> None:
        self._seen.calls.append(Call(self._stack[-1] if self._stack else "", len(self._seen.tops) - 1 if self._stack else -1,
                                     heads, kv_heads, head_size, queries, keys))


@contextmanager
def _module_stack(model: torch.nn.Module, seen: DryRun, stack: list[str]) -> Iterator[None]:
    """While it lasts `stack` holds the names of the modules that run on this thread, the innermost last."""
    thread, removable = threading.get_ident(), []

    def enter(name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, args: Any) -> None:
            if threading.get_ident() == thread:
                if not stack:
                    seen.tops.append(name)
                stack.append(name)
        return hook

    def leave(module: torch.nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() == thread and stack:
            stack.pop()

    try:
        for name, module in model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                removable.append(module.register_forward_pre_hook(enter(name)))
                removable.append(module.register_forward_hook(leave))
        yield
    finally:
        for each in removable:
            each.remove()


@contextmanager
def _as_at_serving(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; modes and random numbers are put back."""
    training = [(module, module.training) for module in model.modules()]
    devices = sorted({parameter.device.index for parameter in model.parameters() if parameter.device.type == "cuda"})
    try:
        for module, _ in training:
            module.training = False
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, mode in training:
            module.training = mode


def run_dry(model: torch.nn.Module, call: Callable[[], Any]) -> DryRun:
    """Runs `call`, which runs the model, and returns what attention it did. What `call` raises passes through; the hooks are removed in any case."""
    seen, stack = DryRun(), list[str]()
    with _as_at_serving(model), _module_stack(model, seen, stack), _AttentionLog(seen, stack):
        call()
    return seen


@dataclass
class Steps:
    """The sites of one step, and the module whose forward a step is."""
    sites: list[Site]
    module: str


def steps_of(seen: DryRun, model: torch.nn.Module) -> Steps:
    """A step is a call of the module that the host's code calls last: the model itself, or the decoder that its generate drives."""
    if not seen.calls or not seen.tops:
        return Steps([], "")
    name = seen.tops[seen.calls[-1].top]
    in_top: dict[int, list[Call]] = {}
    for call in seen.calls:
        in_top.setdefault(call.top, []).append(call)
    steps = [calls for top, calls in in_top.items() if top >= 0 and seen.tops[top] == name]
    before = [call for top, call in _first_of_each(seen, in_top, name)]
    # The last step is a token's. An earlier one may read the picture first; what an encoder does that is called by itself as well is no part of it.
    last = [call.module for call in steps[-1]]
    elsewhere = {call.module for call in before}
    within = next((calls for calls in steps if [call.module for call in calls][-len(last):] == last
                   and not elsewhere.intersection(call.module for call in calls)), steps[-1])
    later = steps[-1] if steps[-1] is not within else []
    sites = []
    for place, (unique, call) in enumerate(zip(_unique_names([call.module for call in before + within]), before + within)):
        in_step = place >= len(before)
        # A later step leaves out what stands before the decoder, so it is counted from the end.
        at = place - len(before) - len(within) + len(later)
        again = later[at] if in_step and at >= 0 else None
        # Grouped heads may be packed as queries of fewer heads in the steps of one query.
        kv_heads = again.heads if again is not None and again.heads not in (0, call.heads) else call.kv_heads
        sites.append(Site(unique, _relation(call, again, unique, model), call.heads, kv_heads, call.head_size, in_step))
    return Steps(sites, name)


def _first_of_each(seen: DryRun, in_top: dict[int, list[Call]], step: str) -> list[tuple[int, Call]]:
    """The calls outside of steps, of the first time that each module is called by itself."""
    found, known = [], {step}
    for top, calls in in_top.items():
        name = seen.tops[top] if top >= 0 else ""
        if name not in known or top < 0:
            found += [(top, call) for call in calls]
        known.add(name)
    return found


def _unique_names(names: list[str]) -> list[str]:
    counts: dict[str, int] = {}
    unique = []
    for name in names:
        counts[name] = counts.get(name, -1) + 1
        unique.append((name or "attention") if counts[name] == 0 else f"{name or 'attention'}#{counts[name]}")
    return unique


def _relation(call: Call, again: Call | None, name: str, model: torch.nn.Module) -> str:
    """By how the keys grow, else by what the module says of itself."""
    if again is not None and again.keys > call.keys:
        return "self"
    last = name.lower().rsplit(".", 2)[-2:]
    if any(word in part for part in last for word in ("cross", "encoder_attn", "encdec", "enc_dec")):
        return "cross"
    if call.queries == call.keys or "self" in last[-1]:
        return "self"
    return "cross" if again is not None and again.keys == call.keys and call.queries != call.keys else "unknown"
