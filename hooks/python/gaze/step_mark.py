# SPDX-License-Identifier: MIT
"""The one hook that a model gets: it says that a step begins, while a request is open."""
import contextlib
from typing import Any

import torch


class StepMark:
    """A forward pre-hook. Without an open request on this thread it looks at one attribute."""

    def __init__(self, capture: Any):
        self._opened = capture.opened

    def __call__(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling():  # first: of what follows a compiler would make a break in its graph
            return
        request = self._opened.innermost
        if request is None or torch._C._is_tracing():
            return
        try:
            if all(_is_real(each) for each in (*args, *kwargs.values())):
                request.step(args, kwargs)
        except Exception as problem:  # the model's call is the host's
            request.refuse(f"{type(problem).__name__}: {problem}")

    def __reduce__(self) -> Any:
        # A copy or a pickle of the model has a hook that does nothing, and needs no Gaze to be read.
        return getattr, (contextlib.nullcontext(), "__exit__")


def _is_real(value: Any) -> bool:
    """What a tracer or a compiler runs a model over is no step of it."""
    if not isinstance(value, torch.Tensor):
        return True
    if type(value) not in (torch.Tensor, torch.nn.Parameter) or value.device.type == "meta":
        return False
    return not torch._C._functorch.is_functorch_wrapped_tensor(value)
