# SPDX-License-Identifier: MIT
"""Steps that a model's own generate compiles, as it does over a cache of fixed size: a compiler leaves the hook out that marks them."""
from __future__ import annotations

import threading
from typing import Any, Callable

from .own_method import OwnMethod, can_be_watched
from .step_mark import StepMark

_NAME = "get_compiled_call"  # of transformers' models: what generate asks for the compiled form of their call


class CompiledSteps:
    """While any request is open the model hands out a call that marks the step and then does what it would have done."""

    def __init__(self, model: Any, mark: StepMark):
        self._model, self._mark = model, mark
        self._lock = threading.Lock()
        self._open = 0
        self._watched: OwnMethod | None = None

    def open(self) -> None:
        """A request opens."""
        with self._lock:
            self._open += 1
            if self._open == 1 and can_be_watched(self._model, _NAME):
                self._watched = OwnMethod(self._model, _NAME, self._marked)
                self._watched.put()

    def close(self) -> None:
        """It closes."""
        with self._lock:
            self._open -= 1
            if self._open == 0 and self._watched is not None:
                self._watched.take_away()
                self._watched = None

    def _marked(self, method: Callable[..., Callable[..., Any]], *how: Any, **named: Any) -> Callable[..., Any]:
        call = method(*how, **named)

        def step(*args: Any, **kwargs: Any) -> Any:
            self._mark(self._model, args, kwargs)
            return call(*args, **kwargs)

        return step
