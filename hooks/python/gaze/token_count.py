# SPDX-License-Identifier: MIT
"""How many tokens the steps of a request made, told from the inputs of each step: which of generate's ids are the answer's."""
from typing import Any, Mapping

import torch

_LENGTH_OF = ("decoder_input_ids", "input_ids", "inputs_embeds")


class TokenCount:
    """Of one request. A prompt may come in pieces; an answer may be computed anew for every token; a second prompt is another answer's."""

    def __init__(self) -> None:
        self.tokens = 0  #: 0 too where it cannot be told
        self._queries: int | None = None
        self._single = False
        self._cache: Any = None

    def step(self, inputs: Mapping[str, Any]) -> str | None:
        """A step with these inputs begins. Returns what is wrong with it."""
        queries = next((inputs[name].shape[1] for name in _LENGTH_OF if getattr(inputs.get(name), "ndim", 0) >= 2), None)
        cache = inputs.get("past_key_values")
        length, known = _length_of(cache)
        before, self._queries = self._queries, queries
        another, self._cache = not known and self._cache is not None and cache is not self._cache, cache
        if self.tokens == 0 or queries is None or before is None:
            self.tokens += 1
            return None
        grown = queries == before + 1  # computed anew, with one token more
        if (another or (known and length == 0)) and not grown:
            return "another answer began while it was open: open a request for each answer"
        if known and length == 0 or queries == 1:
            self._single = True
            self.tokens += 1
        elif self._single:
            return f"a step of {queries} tokens came after steps of one: open a request for each answer, and none for assisted generation"
        return None


def _length_of(cache: Any) -> tuple[int, bool]:
    """Keys that a cache of transformers holds, and whether it says so without waiting for a device."""
    if cache is None:
        return 0, True
    length = cache.get_seq_length() if hasattr(cache, "get_seq_length") else None
    if isinstance(length, torch.Tensor):
        length = int(length) if length.is_cpu else None
    return (length, True) if isinstance(length, int) else (0, False)
