# SPDX-License-Identifier: MIT
"""A batch with several rows for each prompt, as generate makes it for beams and for several samples: which row made which token of an answer.

Rows are followed by their ids, and by what a cache is told when it is gathered, which is looked at while the request is open. Nothing is read from a
device before the answer's ids are.
"""
from __future__ import annotations

from typing import Any, Callable, Collection, Mapping, Sequence

import torch

from .errors import InputError
from .own_method import OwnMethod, can_be_watched

_IDS = ("decoder_input_ids", "input_ids")
_OF_ROWS = (*_IDS, "attention_mask", "inputs_embeds", "encoder_hidden_states")
_BATCH = (*_IDS, "inputs_embeds", "decoder_inputs_embeds")


def batch_of(inputs: Mapping[str, Any]) -> int | None:
    """Rows of a step's batch."""
    return next((int(inputs[name].shape[0]) for name in _BATCH if getattr(inputs.get(name), "ndim", 0) >= 2), None)


class Search:
    """Of one request. `each` rows of the batch are one prompt's."""

    def __init__(self, prompts: int, each: int, gathered: Callable[[], None], refuse: Callable[[str], None]):
        self.prompts, self.each = prompts, each
        self._gathered, self._refuse = gathered, refuse
        self._prompt: list[torch.Tensor | None] = []  # in pieces, as it came
        self._made: list[torch.Tensor] = []  # ids that each later step was given: the last alone, or all that were made
        self._from: list[torch.Tensor | None] = []  # before each later step: which row each goes on from
        self._pending: torch.Tensor | None = None
        self._alike: list[torch.Tensor] = []
        self._cache: Any = None
        self._watched: OwnMethod | None = None

    # ---- while the model runs

    def step(self, inputs: Mapping[str, Any], first: bool) -> str | None:
        """A step begins; `first`: of the prompt, or of a piece of it. Returns what is wrong with it."""
        ids = next((inputs[name].detach() for name in _IDS if inputs.get(name) is not None), None)
        rows = batch_of(inputs)
        if rows is not None and rows != self.prompts * self.each:
            return f"a step of {rows} rows came after one of {self.prompts * self.each}: open the request for the prompts alone"
        problem = self._watch(inputs.get("past_key_values"))
        if problem is not None or self.each == 1:
            return problem
        if first:
            self._prompt.append(None if ids is None else ids.clone())
            self._compare(inputs, rows)
        elif ids is None:
            return "a step of several rows for each prompt was given no ids, by which they are told apart"
        else:
            self._made.append(ids.clone())
            self._from.append(self._pending)
            self._pending = None
        return None

    def _compare(self, inputs: Mapping[str, Any], rows: int | None) -> None:
        """Whether a prompt's rows begin alike; asked for later, so that nobody waits for a device."""
        encoded: Any = inputs.get("encoder_outputs")
        for value in (*(inputs.get(name) for name in _OF_ROWS), *(encoded.values() if hasattr(encoded, "values") else encoded or ())):
            if isinstance(value, torch.Tensor) and value.dim() and value.shape[0] == rows:
                self._alike.append((value == value[::self.each].repeat_interleave(self.each, 0)).all().detach())

    def _watch(self, cache: Any) -> str | None:
        """Has a cache say how it is gathered. The attribute that does so is the object's own, and goes when the request is closed."""
        if cache is None or cache is self._cache:
            return None
        self.close()
        if not can_be_watched(cache, "reorder_cache"):
            return None if self.each == 1 else f"how a {type(cache).__name__} is gathered by a search cannot be followed"
        self._cache, self._watched = cache, OwnMethod(cache, "reorder_cache", self._reorder)
        self._watched.put()
        return None

    def _reorder(self, method: Callable[..., Any], beam_idx: torch.Tensor) -> Any:
        self._note(beam_idx)
        return method(beam_idx)

    def _note(self, rows: torch.Tensor) -> None:
        try:
            if self.each == 1:
                return self._refuse("the rows of its batch were gathered by a search: open the request for the prompts alone")
            rows = rows.detach()
            # What waits to be computed from the cache's keys is computed before they are others.
            self._gathered()
            self._pending = rows.clone() if self._pending is None else self._pending.index_select(0, rows.to(self._pending.device))
        except Exception as problem:  # the call is the host's
            self._refuse(f"{type(problem).__name__}: {problem}")

    def close(self) -> None:
        """Takes the attribute off the cache."""
        if self._watched is not None:
            self._watched.take_away()
            self._cache = self._watched = None

    # ---- when the answers are known

    def paths(self, answers: Sequence[list[int]], ends: Collection[int]) -> list[tuple[list[int], list[int]]]:
        """Of each answer its ids without the prompt's, and the row that made each.

        Args:
            answers: as generate returns them, as many for each prompt.
            ends: ids that end an answer, as far as they are known.
        """
        if not all(bool(each) for each in self._alike):
            raise InputError(f"tokens: expected a batch of {self.prompts}, as the request was opened for, got {self.prompts * self.each} rows that "
                             "are not alike")
        if not answers or len(answers) % self.prompts:
            raise InputError(f"tokens: expected as many answers for each of {self.prompts} prompts, got {len(answers)}.")
        told = len(answers) // self.prompts
        tree = _Tree(self)
        return [tree.path(ids, number // told, ends, number) for number, ids in enumerate(answers)]


class _Tree:
    """What the rows had made before each step: nodes of a tree whose edges are ids, one root for each prompt."""

    def __init__(self, search: Search):
        rows = search.prompts * search.each
        self._child: dict[tuple[int, int], int] = {}
        self._nodes = search.prompts
        self.prompts = self._prompts(search)
        nodes = [row // search.each for row in range(rows)]
        self._rows: list[dict[int, int]] = []  # of each step: a row that had made what the node says
        self._add(nodes)
        made = 0
        for ids, gathered in zip(search._made, search._from):
            table = ids.tolist()
            made += 1
            if len(table[0]) > made:  # all ids anew, prompt and answer
                nodes = [self._walk(row // search.each, each[len(each) - made:]) for row, each in enumerate(table)]
            else:
                source = range(rows) if gathered is None else gathered.tolist()
                nodes = [self._walk(nodes[before], each[-1:]) for before, each in zip(source, table)]
            self._add(nodes)

    @staticmethod
    def _prompts(search: Search) -> list[list[int]] | None:
        pieces = [piece.tolist() for piece in search._prompt if piece is not None]
        if not pieces or len(pieces) < len(search._prompt):
            return None
        return [[each for piece in pieces for each in piece[prompt * search.each]] for prompt in range(search.prompts)]

    def _walk(self, node: int, ids: Sequence[int]) -> int:
        for each in ids:
            if (node, each) not in self._child:
                self._child[node, each] = self._nodes
                self._nodes += 1
            node = self._child[node, each]
        return node

    def _add(self, nodes: list[int]) -> None:
        rows: dict[int, int] = {}
        for row, node in enumerate(nodes):
            rows.setdefault(node, row)  # rows that made the same saw the same
        self._rows.append(rows)

    def path(self, ids: list[int], prompt: int, ends: Collection[int], number: int) -> tuple[list[int], list[int]]:
        own = self.prompts[prompt] if self.prompts is not None else None
        starts = [len(own)] if own is not None and ids[:len(own)] == own and len(ids) > len(own) else range(len(ids)) if own is None else [0]
        best: tuple[list[int], list[int]] = ([], [])
        for start in starts:
            made = ids[start:]
            stops = [place + 1 for place, each in enumerate(made) if each in ends][:1] + [len(made)]
            for stop in stops:
                rows = self._follow(prompt, made[:stop])
                if len(set(made[len(rows):])) <= 1:  # what is left fills the batch up
                    if len(rows) > len(best[1]):
                        best = made[:len(rows)], rows
                    break
        if not best[1]:
            raise InputError(f"tokens: expected what generate returned, got an answer (number {number}) that no row of the batch made.")
        return best

    def _follow(self, prompt: int, made: Sequence[int]) -> list[int]:
        rows: list[int] = []
        node: int | None = prompt
        for step, each in zip(self._rows, made):
            if node is None or node not in step:
                break
            rows.append(step[node])
            node = self._child.get((node, each))
        return rows
