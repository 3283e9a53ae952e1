# SPDX-License-Identifier: MIT
"""Records what every attention call of a Python module multiplies its values with."""
import re
from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

SOFTMAX = {"_softmax", "_safe_softmax"}
PRODUCT = {"bmm", "baddbmm", "mm", "addmm", "mv", "dot"}
# Ops that leave the weights as they are, and ops that change what the values are multiplied with.
KEEPS = {"view", "_unsafe_view", "reshape", "expand", "permute", "transpose", "t", "unsqueeze", "squeeze", "clone", "_to_copy", "alias",
         "detach", "contiguous", "native_dropout", "copy_", "_reshape_alias", "select", "unbind", "split", "split_with_sizes"}
SKEWS = {"as_strided", "constant_pad_nd"}
CHANGES = {"slice", "masked_fill", "masked_fill_", "mul", "mul_", "div", "div_", "where", "add", "add_", "nan_to_num", "index", "cat",
           "clamp", "zero_"}


@dataclass
class Call:
    module: str      # qualified path of the innermost module that is not a bare function such as nn.Softmax
    softmax: Tensor  # what the softmax gave: float32, the dimension it went over last
    dim: int
    multiplied: list[Tensor] = field(default_factory=list)  # what each product took, keys last

    def weights(self) -> Tensor:
        """What the values are multiplied with; the softmax itself where products take pieces of it."""
        if len({tuple(taken.shape) for taken in self.multiplied}) == 1:
            return self.multiplied[0]
        return self.softmax


@dataclass
class Carried:
    tensor: Tensor   # held, so that its id stays its own
    call: Call
    weights: Tensor  # as they were after the last op that changed them
    skewed: bool = False  # rows were shifted against each other: its dimensions are not queries and keys any more


class Recorder(TorchDispatchMode):
    """Follows every softmax through the ops that carry its result to the product with the values."""

    def __init__(self, root: nn.Module):
        super().__init__()
        self.names = {}
        for name, module in root.named_modules():
            bare = next(module.children(), None) is None and next(module.parameters(), None) is None
            self.names[id(module)] = None if bare and name and type(module).__module__.startswith("torch.") else name
        self.stack: list[str] = [""]
        self.calls: list[Call] = []
        self.carried: dict[int, Carried] = {}
        self.noise: dict[int, Tensor] = {}

    def __enter__(self):
        def enter(module, _):
            name = self.names.get(id(module))
            self.stack.append(self.stack[-1] if name is None else name)

        def leave(module, _, __):
            self.stack.pop()

        self.handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
        return super().__enter__()

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()
        return super().__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        op = function.overloadpacket.__name__
        if op in SOFTMAX:
            dim = args[1] % result.dim()
            weights = kept(result, dim)
            self.calls.append(Call(self.stack[-1], weights, dim))
            self.carried[id(result)] = Carried(result, self.calls[-1], weights)
        elif op == "_scaled_dot_product_flash_attention_for_cpu":
            weights = torch.ops.aten._scaled_dot_product_attention_math(*args[:3])[1]
            self.calls.append(Call(self.stack[-1], weights, weights.dim() - 1, [weights]))
        elif op in {"bernoulli_", "bernoulli"} or any(id(a) in self.noise for a in args) and op in {"div_", "div"}:
            self.noise[id(result)] = result
        else:
            self.carry(op, args, result)
        return result

    def carry(self, op: str, args: tuple, result) -> None:
        flat = [b for a in args for b in (a if isinstance(a, (list, tuple)) else (a,)) if isinstance(b, Tensor)]
        for carried in [self.carried[id(tensor)] for tensor in flat if id(tensor) in self.carried]:
            if op in PRODUCT:
                carried.call.multiplied.append(operand_of(carried, op, args))
            elif op in KEEPS | CHANGES | SKEWS:
                drops = any(id(tensor) in self.noise for tensor in flat)
                changed = op in CHANGES and not drops and not carried.skewed and result.dim() > carried.call.dim
                skewed = carried.skewed or op in SKEWS
                weights = kept(result, carried.call.dim) if changed else carried.weights
                for tensor in result if isinstance(result, (list, tuple)) else (result,):
                    if isinstance(tensor, Tensor):
                        self.carried[id(tensor)] = Carried(tensor, carried.call, weights, skewed)


def operand_of(carried: Carried, op: str, args: tuple) -> Tensor:
    """The keys are the dimension that the product sums over, whichever the softmax went over."""
    left, right = args[1:3] if op == "baddbmm" else args[:2]
    operand = left if left is carried.tensor else right.transpose(-2, -1) if right.dim() > 1 else right
    matrices = operand.dim() == 3 or carried.weights.dim() == 2
    if matrices and not carried.skewed and operand.numel() == carried.weights.numel():
        multiplied = kept(operand, operand.dim() - 1)
        if not torch.equal(multiplied.flatten(), carried.weights.flatten()):
            return multiplied
    return carried.weights


def kept(weights: Tensor, dim: int) -> Tensor:
    return weights.detach().transpose(dim, -1).to(torch.float32, copy=True).contiguous()


def record(module: nn.Module, inputs: tuple, not_attention: tuple[str, ...]) -> tuple[list[dict], list[dict], object]:
    """The attention calls, the softmax calls that are none, and what the module returned."""
    torch.backends.mha.set_fastpath_enabled(False)  # it would be one operator, which shows no weights
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), Recorder(module) as recorder:
        output = module(*inputs)
    torch.backends.mha.set_fastpath_enabled(True)
    attention, others, seen = [], [], Counter()
    for call in recorder.calls:
        seen[call.module] += 1
        declared = any(re.search(pattern, f"{call.module}#{seen[call.module]}") for pattern in not_attention)
        (attention if call.multiplied and not declared else others).append({"module": call.module, "weights": call.weights()})
    return attention, others, output
