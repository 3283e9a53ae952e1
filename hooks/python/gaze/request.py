# SPDX-License-Identifier: MIT
"""One answer of the model, from the `with` that opens it to the bundle that it leaves."""
from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Literal, Sequence

import numpy as np
import torch

from . import hugging_face, native
from .answer import Answer, Word
from .bundle_folder import MARK, find_answers, now
from .errors import BundleError, InputError, RequestError
from .media import recording
from .open_requests import is_running, is_suspendable, opening_frame
from .search import Search, batch_of
from .token_count import TokenCount

if TYPE_CHECKING:
    from .capture import Capture

_PACKAGE = __name__.rsplit(".", 1)[0]


class Request:
    """Made by `Capture.request`; open inside its `with`. Every member does nothing where capture is off or the request was not sampled.

    An exception inside the `with` discards the request and passes through. What would mix it with another request, tasks that take turns on one
    thread say, is refused: `RequestError` at the end of the `with`, and the model's own calls go on unharmed.
    """

    def __init__(self, capture: Capture, rows: list[native.Row], sounds: list[tuple[torch.Tensor, float] | None],
                 complete: Callable[[list[native.Row], dict[str, Any]], None] | None = None):
        self._capture, self._rows, self._sounds = capture, rows, sounds
        self._complete = complete  # says what is missing of the rows, from the inputs of the first step
        self._native: Any = None
        self._captured = False  # sampling took it, and nobody gave it up
        self._opted_out: set[int] = set()  # rows
        self._open = False
        self._closed = False
        self._refused: str | None = None
        self._frame: Any = None
        self._suspendable = False
        self._loop_turn: Any = None
        self._count = TokenCount()
        self._search: Search | None = None  # from the first step on, of a model whose steps are seen
        self._told: list[list[int]] | None = None  # the answers' ids, where the batch has several rows for each prompt
        self._pid = os.getpid()
        self._mark = uuid.uuid4().hex
        self._since = ""
        self._answers: list[Answer | None] | None = None

    # ---- opening and closing

    def __enter__(self) -> Request:
        if self._open or self._closed:
            raise RequestError("A request is opened once: make another one for another answer.")
        if not self._capture.enabled:
            return self
        self._pid, self._since = os.getpid(), now()
        self._frame = opening_frame(_PACKAGE)
        self._suspendable = is_suspendable(self._frame)
        opened = self._capture.opened
        outer = opened.innermost
        if self._complete is None:
            self._begin()
        opened.push(self)
        self._open = True
        if self._capture.compiled_steps is not None:
            self._capture.compiled_steps.open()
        if not self._capture.steps_are_seen:
            self._watch_turns(outer)
        return self

    def _begin(self) -> None:
        for row in self._rows:
            row.attributes = {**row.attributes, MARK: self._mark}
        self._native = native.begin(self._capture.native, self._rows)
        self._captured = bool(self._native.active())
        for number, sound in enumerate(self._sounds):
            if sound is not None:
                self._native.sound(sound[0], sound[1], number)

    def _watch_turns(self, outer: Any) -> None:
        """Of a model whose calls are not seen here, everything is refused that could bring in calls of others."""
        if outer is not None and (outer.is_stopped() or not self._capture.opened.is_of_context(outer)):
            self._refuse_all("it was open on one thread together with another request, of a task or generator that takes turns with it")
        if self._suspendable:
            self.refuse("it was opened in a generator, which stops while the request is open: open it where the model is called")
        self._loop_turn = _next_turn(lambda: self.refuse("it was open across an await, where other tasks may have called the model: "
                                                         "open it around the model's calls alone"))

    def is_stopped(self) -> bool:
        """Whether the generator that opened it stands still."""
        return self._suspendable and self._frame is not None and not is_running(self._frame)

    def _refuse_all(self, text: str) -> None:
        """Of this thread: when one is given up, the calls that go on would be taken for those of the next."""
        for each in list(self._capture.opened.stack):
            each.refuse(text)

    def refuse(self, text: str) -> None:
        """Ends its capture. What is wrong is told where its `with` ends."""
        if self._closed or self._refused is not None:
            return
        self._refused = text
        if self._native is not None:
            self._native.discard()

    def step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A step of the model begins on this thread, and this is its innermost request."""
        opened = self._capture.opened
        if self._closed:  # on another thread
            opened.pop(self)
            if opened.innermost is not None:
                opened.innermost.step(args, kwargs)
            return
        if self._refused is not None or os.getpid() != self._pid:
            return
        if opened.of_context() is not self:
            self._refuse_all("the model was called on its thread by a task or generator that did not open it, while it was open")
            return
        if self.is_stopped():
            self._refuse_all("the model was called while a generator that had opened a request stood still: open it where the model is called")
            return
        if self._count.tokens == 0 and self._capture.is_no_step(kwargs):
            return
        named = _named(args, kwargs)
        before = self._count.tokens
        problem = self._count.step(named) or self._follow(named, before)
        if problem is not None:
            self._refuse_all(problem)
            return
        if self._complete is not None:
            complete, self._complete = self._complete, None
            try:
                complete(self._rows, _of_prompts(named, len(self._rows), self._search))
                self._begin()
            except Exception as wrong:
                self.refuse(native.sentence_of(wrong))
                return
        if self._search is not None and not self._captured:
            self._search.close()
            self._search = None
        if before == 0 and self._search is not None and self._search.each > 1:
            self._native.reorder([row for row in range(len(self._rows)) for _ in range(self._search.each)])
        self._capture.native.step()

    def _follow(self, inputs: dict[str, Any], before: int) -> str | None:
        """A step begins after `before` tokens. Returns what is wrong with it."""
        if before == 0:
            rows, prompts = batch_of(inputs), len(self._rows)
            each = 1 if rows is None else rows // prompts
            if rows is not None and (rows % prompts or each < 1):
                return f"a batch of {rows} rows came, expected {prompts}, as it was opened for, or as many for each"
            if each > 1 and not self._capture.follows_searches:
                return "a search of several beams or samples cannot be followed in this model, which gathers its cache by itself, or in a rollout"
            if rows is not None and rows > 1 and (self._native is None or self._captured):
                self._search = Search(prompts, each, self._rows_stay, self.refuse)
        return None if self._search is None else self._search.step(inputs, before == 0 or self._count.tokens == before)

    def _rows_stay(self) -> None:
        """What waits is computed; every row goes on where it is."""
        if self._search is not None and self._native is not None:
            self._native.reorder(list(range(self._search.prompts * self._search.each)))

    def __exit__(self, kind: Any, problem: Any, trace: Any) -> Literal[False]:
        if not self._open:
            return False
        self._close(keep=kind is None and self._refused is None)
        if kind is None and self._refused is not None:
            raise RequestError(f"Request '{self._rows[0].id}' was refused: {self._refused}.")
        return False

    def finish(self) -> None:
        """Hands what was captured to Gaze's thread; waits for nothing. The end of the `with` does it."""
        self._close(keep=True)

    def discard(self) -> None:
        """Gives the request up: no bundle appears."""
        self._close(keep=False)

    def _close(self, keep: bool) -> None:
        if not self._open:
            return
        self._open, self._closed, self._frame = False, True, None
        if self._capture.compiled_steps is not None:
            self._capture.compiled_steps.close()
        if self._search is not None:
            self._search.close()
        if self._loop_turn is not None:
            self._loop_turn.cancel()
        self._capture.opened.leave_context(self)
        here = self._capture.opened.pop(self)
        if os.getpid() != self._pid:
            return
        if not here:
            self._refused = self._refused or "it was opened on one thread and closed on another"
        if keep and self._native is None:
            self._refused = self._refused or ("the model made no step while it was open, on the thread that opened it; where torch.compile "
                                              "wrapped it after attach, attach what that returned")
        if keep and self._search is not None and self._search.each > 1 and self._told is None and self._captured:
            self._refused = self._refused or (f"the batch had {self._search.each} rows for each prompt, and nobody said which are the answer's: say "
                                              "r.tokens(out) with what generate returned")
        keep = keep and self._refused is None
        self._captured = self._captured and keep
        if self._native is not None:
            self._native.finish() if keep else self._native.discard()

    # ---- what the host says

    @property
    def active(self) -> bool:
        """Whether it is being captured: False where capture is off, sampling left it out, or it ended. Where the model's first step begins it, True
        until then."""
        return self._open and self._refused is None and (self._complete is not None or bool(self._native.active()))

    def tokens(self, ids: Any, tokenizer: Any = None, row: int | None = None) -> None:
        """The answer's ids, and with a tokenizer their texts.

        Args:
            ids: what generate returned, prompt included, or the generated ids alone: [T], or [B, T] of a batch. Tensors, arrays, lists, or an output
                with `sequences`. The last ones are taken, as many as there were steps. Of an encoder all ids of
                its text; where `prompt_tokens` was said, one for each row that it keeps.
                Of a search with beams, or of several samples, all that it returned: as many answers for each prompt.
            tokenizer: of transformers or tokenizers, a processor, a list of texts by id, or a function of an id. None: the vocabulary that attach
                was given.
            row: of a batch, which row [T] is of; None: [B, T] are all of them.
        """
        if not self._can_be_told():
            return
        if self._search is not None and self._search.each > 1:
            self._tell_answers(_ids(ids), tokenizer)
            return
        for number, each in self._by_row(_ids(ids), row):
            made = self._count.tokens
            whole = self._capture.every_row or self._rows[number].prompt_tokens > 0
            generated = each[-made:] if 0 < made < len(each) and not whole else each
            self._native.tokens(generated, number)
            if tokenizer is not None:
                self._native.label(hugging_face.texts_of(generated, tokenizer), number)

    def _tell_answers(self, answers: list[list[int]], tokenizer: Any) -> None:
        """Of a batch with several rows for each prompt. Each answer's tokens were made in rows that change from step to step."""
        assert self._search is not None
        if self._told is not None:
            raise InputError("tokens: expected the answers of a search once, got them again.")
        paths = self._search.paths(answers, self._capture.ends)
        self._native.reorder_tokens([rows for _, rows in paths])
        self._told = [generated for generated, _ in paths]
        self._rows = [self._rows[number * self._search.prompts // len(paths)] for number in range(len(paths))]
        for number, generated in enumerate(self._told):
            self._native.tokens(generated, number)
            if tokenizer is not None:
                self._native.label(hugging_face.texts_of(generated, tokenizer), number)

    def opt_out(self, row: int = 0) -> None:
        """Nothing of this row is kept, though it had begun."""
        if self._can_be_told():
            if not 0 <= row < len(self._rows):
                raise InputError(f"opt_out: expected a row of the batch, 0..{len(self._rows) - 1}, got {row}.")
            self._native.opt_out(row)
            self._opted_out.add(row)
            self._captured = self._captured and len(self._opted_out) < len(self._rows)

    def label(self, texts: Sequence[str], row: int = 0) -> None:
        """The texts of the answer's tokens, one for each step, as the tokenizer writes them."""
        if self._can_be_told():
            self._native.label([str(text) for text in texts], row)

    def sound(self, samples: Any, sample_rate_hz: float | None = None, row: int = 0) -> None:
        """The recording, where it is known only now: samples [N] or [channels, N]."""
        if self._can_be_told():
            made = recording(samples, sample_rate_hz)
            if made is None:
                raise InputError("sound: expected samples, got none.")
            self._native.sound(*made, row)

    def _can_be_told(self) -> bool:
        if not self._open and self._refused is None and self._capture.enabled:
            raise RequestError(f"Request '{self._rows[0].id}' is not open: say its tokens inside its `with`.")
        return self._open and self._refused is None and self._native is not None

    def _by_row(self, ids: list[list[int]], row: int | None) -> list[tuple[int, list[int]]]:
        if row is not None:
            if len(ids) != 1:
                raise InputError(f"tokens: expected the ids of row {row} alone, got {len(ids)} rows.")
            return [(row, ids[0])]
        if len(ids) != len(self._rows):
            raise InputError(f"tokens: expected ids of {len(self._rows)} rows, got {len(ids)}.")
        return list(enumerate(ids))

    # ---- what came of it

    @property
    def answers(self) -> list[Answer | None]:
        """Of every row, once it is written; None of those that were not captured. Waits for Gaze's thread."""
        if self._open:
            raise RequestError(f"Request '{self._rows[0].id}' is still open: its answer is there once its `with` has ended.")
        if not self._captured:
            return [None] * len(self._rows)
        if self._answers is None:
            self._answers = self._read_answers()
        return self._answers

    def _read_answers(self) -> list[Answer | None]:
        if os.getpid() != self._pid:
            return [None] * len(self._rows)
        if not self._capture.flush():
            raise RequestError(f"Request '{self._rows[0].id}' is not written yet: ask again later.")
        found = find_answers(self._capture.out_dir, self._mark, [row.id for row in self._rows], self._since)
        if not any(found) and self._capture.control().get("keep", "all") == "all":
            raise BundleError(f"Request '{self._rows[0].id}' left no bundle in '{self._capture.out_dir}': the log says why, and `stats` counts the "
                              "reasons.")
        return found if self._told is None else _in_order(found, [row.id for row in self._rows], self._told)

    @property
    def answer(self) -> Answer | None:
        """The answer of the first row; None where capture is off, sampling left it out, or the request was discarded."""
        return self.answers[0]

    @property
    def bundle(self) -> Path | None:
        """The folder that it left."""
        return None if self.answer is None else self.answer.bundle

    @property
    def words(self) -> list[Word]:
        """Of the first row; empty where there is no answer."""
        return [] if self.answer is None else self.answer.words

    @property
    def maps(self) -> np.ndarray | None:
        """Of the first row; None where there is no answer."""
        return None if self.answer is None else self.answer.maps

    @property
    def overlay(self) -> Any:
        """Of the first row; None where there is no answer."""
        return None if self.answer is None else self.answer.overlay

    @property
    def verdict(self) -> str | None:
        """Of the first row; None where there is no answer."""
        return None if self.answer is None else self.answer.verdict

    def show(self, height: int = 640, width: str | int = "100%") -> Any:
        """The report as a frame in a notebook; None where there is none."""
        return None if self.answer is None else self.answer.show(height, width)


def _named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    named = dict(kwargs)
    if args and isinstance(args[0], torch.Tensor):
        named.setdefault("input_ids", args[0])
    return named


def _of_prompts(inputs: dict[str, Any], prompts: int, search: Search | None) -> dict[str, Any]:
    """One row of the batch for each prompt."""
    if search is None or search.each == 1:
        return inputs
    made = dict(inputs)
    for name in ("input_ids", "aspect_ratio_ids"):
        value = inputs.get(name)
        if value is None:
            continue
        made[name] = value[::search.each]
        if not torch.equal(value, made[name].repeat_interleave(search.each, 0)):
            raise InputError(f"request: expected a batch of {prompts}, as it was opened for, got {name} of {len(value)} rows that are not alike")
    return made


def _in_order(answers: list[Answer | None], ids: list[str], told: list[list[int]]) -> list[Answer | None]:
    """Several answers of one id are told apart by their tokens."""
    left = [answer for answer in answers if answer is not None]
    ordered: list[Answer | None] = []
    for name, tokens in zip(ids, told):
        same = [answer for answer in left if answer.id == name and [token["id"] for token in answer.tokens] == tokens[:len(answer.tokens)]]
        ordered.append(max(same, key=lambda answer: len(answer.tokens), default=None))
        left = [answer for answer in left if answer is not ordered[-1]]
    return ordered


def _ids(ids: Any) -> list[list[int]]:
    """Rows of ids, whatever they come as."""
    ids = getattr(ids, "sequences", ids)
    if isinstance(ids, torch.Tensor):
        if type(ids) is not torch.Tensor or ids.device.type == "meta":
            raise InputError(f"tokens: expected a plain tensor of ids, got a {type(ids).__name__} on {ids.device}.")
        ids = ids.detach().cpu().numpy()
    if isinstance(ids, (list, tuple)) and ids and isinstance(ids[0], (list, tuple, torch.Tensor, np.ndarray)):
        return [row for each in ids for row in _ids(each)]
    values = np.asarray(ids)
    if values.size and values.dtype.kind not in "iu":
        raise InputError(f"tokens: expected whole numbers, got {values.dtype}.")
    if values.ndim not in (1, 2):
        raise InputError(f"tokens: expected ids [T] or [B, T], got {list(values.shape)}.")
    return [[int(each) for each in row] for row in (values if values.ndim == 2 else values[None])]


def _next_turn(call: Callable[[], None]) -> Any:
    """Has `call` run when the running event loop gets its next turn; None without a loop."""
    import asyncio

    try:
        return asyncio.get_running_loop().call_soon(call)
    except RuntimeError:
        return None
