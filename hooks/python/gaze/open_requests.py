# SPDX-License-Identifier: MIT
"""Which requests are open, on this thread and in this context, and whether a call of the model is the innermost one's.

A request is its thread's, but tasks of asyncio and generators take turns on a thread. The context and the stack of calls tell whose turn it is;
where that is not the innermost request's, both are refused, for nobody could tell their calls apart.
"""
import contextlib
import inspect
import sys
import threading
from contextvars import ContextVar
from types import FrameType
from typing import Any

_SUSPENDED = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_context: ContextVar[tuple[Any, ...]] = ContextVar("gaze_open_requests", default=())


class OpenRequests(threading.local):
    """Of one capture, by thread. `innermost` is all that a model's step looks at while none is open."""
    innermost: Any = None

    def __init__(self) -> None:
        self.stack: list[Any] = []

    def push(self, request: Any) -> None:
        """A request opens on this thread."""
        self.stack.append(request)
        self.innermost = request
        _context.set((*_context.get(), request))

    @staticmethod
    def leave_context(request: Any) -> None:
        """A request closes, as far as this context goes."""
        _context.set(tuple(each for each in _context.get() if each is not request))

    def pop(self, request: Any) -> bool:
        """False: it is not of this thread."""
        if request not in self.stack:
            return False
        self.stack.remove(request)
        self.innermost = self.stack[-1] if self.stack else None
        return True

    @staticmethod
    def is_of_context(request: Any) -> bool:
        """Whether this task or this code opened it."""
        return request in _context.get()

    def of_context(self) -> Any:
        """The innermost open one that this task or this code opened."""
        return next((each for each in reversed(_context.get()) if each in self.stack), None)


def opening_frame(inside: str) -> FrameType | None:
    """The frame that a `with` stands in: the nearest one outside of this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(inside):
        frame = frame.f_back
    return frame


def is_suspendable(frame: FrameType | None) -> bool:
    """Whether it is a generator's, which may stop while a request is open. One made by contextlib stops for the body of its own `with` alone."""
    if frame is None or not frame.f_code.co_flags & _SUSPENDED:
        return False
    return frame.f_back is None or frame.f_back.f_code.co_filename != contextlib.__file__


def is_running(frame: FrameType) -> bool:
    """Whether it is among those that led here."""
    each: FrameType | None = sys._getframe(1)
    while each is not None:
        if each is frame:
            return True
        each = each.f_back
    return False
