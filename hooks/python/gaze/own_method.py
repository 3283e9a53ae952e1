# SPDX-License-Identifier: MIT
"""Looks at the calls of one method of one object, for a while."""
from __future__ import annotations

import types
from typing import Any, Callable


class OwnMethod:
    """An attribute of the object that stands before its class' method. Copies and pickles of the object have the method itself."""

    def __init__(self, owner: Any, name: str, around: Callable[..., Any]):
        """`around` is called with the method and its arguments."""
        self._owner, self._name, self._around = owner, name, around

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._around(types.MethodType(getattr(type(self._owner), self._name), self._owner), *args, **kwargs)

    def put(self) -> None:
        """From now on."""
        vars(self._owner)[self._name] = self

    def take_away(self) -> None:
        """As it was before."""
        if vars(self._owner).get(self._name) is self:
            del vars(self._owner)[self._name]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return types.MethodType(getattr(type(self._owner), self._name), memo.get(id(self._owner), self._owner))

    def __reduce__(self) -> Any:
        return getattr, (self._owner, self._name)  # of an object that has no attributes yet


def can_be_watched(owner: Any, name: str) -> bool:
    """Whether it is a method of the class, and nobody stands before it."""
    return callable(getattr(type(owner), name, None)) and hasattr(owner, "__dict__") and name not in vars(owner)
