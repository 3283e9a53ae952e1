# SPDX-License-Identifier: MIT
"""Records what every attention call of a Python module multiplies its values with."""
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

SOFTMAX = {"_softmax", "_safe_softmax"}
PRODUCT = {"bmm", "baddbmm", "mm", "addmm", "mv", "dot"}
# Ops that leave the weights as they are, and ops that change what the values are multiplied with.
KEEPS = {"view", "_unsafe_view", "reshape", "expand", "permute", "transpose", "t", "unsqueeze", "squeeze", "clone", "_to_copy", "alias",
         "detach", "contiguous", "native_dropout", "copy_", "_reshape_alias", "as_strided", "select", "unbind", "split", "split_with_sizes"}
CHANGES = {"slice", "masked_fill", "masked_fill_", "mul", "mul_", "div", "div_", "where", "add", "add_", "nan_to_num", "index", "cat",
           "clamp", "zero_", "constant_pad_nd"}


@dataclass
class Call:
    module: str      # qualified path of the innermost module that is not a bare function such as nn.Softmax
    weights: Tensor  # float32, keys last
    dim: int
    used: bool = False


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
        self.carried: dict[int, tuple[Tensor, Call]] = {}
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
            call = Call(self.stack[-1], kept(result, dim), dim)
            self.calls.append(call)
            self.carried[id(result)] = (result, call)
        elif op == "_scaled_dot_product_flash_attention_for_cpu":
            weights = torch.ops.aten._scaled_dot_product_attention_math(*args[:3])[1]
            self.calls.append(Call(self.stack[-1], kept(weights, weights.dim() - 1), weights.dim() - 1, used=True))
        elif op in {"bernoulli_", "bernoulli"} or any(id(a) in self.noise for a in args) and op in {"div_", "div"}:
            self.noise[id(result)] = result
        else:
            self.carry(op, args, result)
        return result

    def carry(self, op: str, args: tuple, result) -> None:
        flat = [b for a in args for b in (a if isinstance(a, (list, tuple)) else (a,)) if isinstance(b, Tensor)]
        for call in [self.carried[id(tensor)][1] for tensor in flat if id(tensor) in self.carried]:
            if op in PRODUCT:
                call.used = True
                self.settle(call, op, args)
            elif op in KEEPS or op in CHANGES:
                drops = any(id(tensor) in self.noise for tensor in flat)
                if op in CHANGES and not drops and result.dim() > call.dim:
                    call.weights = kept(result, call.dim)
                for tensor in result if isinstance(result, (list, tuple)) else (result,):
                    if isinstance(tensor, Tensor):
                        self.carried[id(tensor)] = (tensor, call)


    def settle(self, call: Call, op: str, args: tuple) -> None:
        """The keys are the dimension that the product sums over, whichever the softmax went over."""
        left, right = args[1:3] if op == "baddbmm" else args[:2]
        operand = left if id(left) in self.carried else right.transpose(-2, -1)
        matrices = operand.dim() == 3 or call.weights.dim() == 2
        if matrices and operand.numel() == call.weights.numel():
            multiplied = kept(operand, operand.dim() - 1)
            if not torch.equal(multiplied.flatten(), call.weights.flatten()):
                call.weights = multiplied


def kept(weights: Tensor, dim: int) -> Tensor:
    return weights.detach().transpose(dim, -1).to(torch.float32, copy=True).contiguous()


def record(module: nn.Module, inputs: tuple, not_attention: tuple[str, ...]) -> tuple[list[dict], list[dict], object]:
    """The attention calls, the softmax calls that are none, and what the module returned."""
    torch.backends.mha.set_fastpath_enabled(False)  # it would be one operator, which shows no weights
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), Recorder(module) as recorder:
        output = module(*inputs)
    torch.backends.mha.set_fastpath_enabled(True)
    attention, others = [], []
    for call in recorder.calls:
        declared = any(re.search(pattern, call.module) for pattern in not_attention)
        (attention if call.used and not declared else others).append({"module": call.module, "weights": call.weights})
    return attention, others, output
