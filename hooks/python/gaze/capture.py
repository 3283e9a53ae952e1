# SPDX-License-Identifier: MIT
"""Attaches a model: a TorchScript module, or any module in Python, whose attention calls are then seen as operators of torch."""
from __future__ import annotations

import dataclasses
import functools
import json
import os
import uuid
import weakref
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import torch

from . import dry_run, families, hugging_face, library, media, native, switches
from .compiled_steps import CompiledSteps
from .errors import AttachError, Error, InputError, ProfileError
from .open_requests import OpenRequests
from .request import Request
from .step_mark import StepMark


class Capture:
    """Capture of one model. Made by `attach`; inert where capture is off."""

    def __init__(self) -> None:
        self.native: Any = None
        self.opened = OpenRequests()
        self.out_dir = ""
        self.profile: dict[str, Any] | None = None  #: what was attached with, where it was made here
        self.notes: list[str] = []  #: what was taken for granted when the profile was made
        self.steps_are_seen = False
        self.compiled_steps: CompiledSteps | None = None  #: where steps are seen
        self.every_row = False  #: whether each row of a call is a token's, as of an encoder
        self.follows_searches = True  #: whether a batch with several rows for each prompt is told apart
        self.ends: tuple[int, ...] = ()  #: ids that end an answer, as far as they are known
        self._knowledge: families.Knowledge | None = None
        self._hook: Any = None
        self._vocabulary: Any = None
        self._pid = os.getpid()

    @property
    def enabled(self) -> bool:
        """Whether requests are captured: False where capture is off, after shutdown, and in a forked child."""
        return self.native is not None and os.getpid() == self._pid and bool(self.native.enabled())

    @property
    def sites(self) -> list[str]:
        """Names of the model's attention calls, which a profile's `sites.match` names; empty until the first request where they were not told."""
        return list(self.native.sites()) if self.enabled else []

    @property
    def stats(self) -> dict[str, int]:
        """begun, sampled, written, in_flight, ..., and what was lost, by reason."""
        return dict(self.native.stats()) if self.enabled else {}

    def request(self, image: Any = None, prompt: str | Sequence[str] | None = None, id: str | Sequence[str] | None = None, *, sound: Any = None,
                sample_rate: float | None = None, inputs: Mapping[str, Any] | None = None, picture: int = 0, prompt_tokens: int = 0,
                attributes: Mapping[str, str] | None = None, batch: int | None = None,
                capture: bool | Sequence[bool | None] | None = None) -> Request:
        """One answer of the model: `with g.request(image=photo, prompt=text) as r: ...`.

        Args:
            image: the original picture, as PIL image, path, array or tensor; of a batch a list of them.
            prompt: shown beside the overlays.
            id: your name of the request; made up where none is given.
            sound: the recording, as samples beside `sample_rate`, or a pair of both; of a batch a list.
            inputs: what the model is called with, as the processor made it. Where none are given the ids of the prompt are read when the
                model's first step begins.
            picture: of several pictures in the prompt, the number of the one that `image` is, from 0.
            prompt_tokens: of teacher forcing, where prompt and answer come in one call, the prompt's length.
            attributes: what you want to find again in request.json.
            batch: number of the batch's rows, where no list says it.
            capture: False: never captured; True: whatever the sample rate; of a batch a list.
        """
        if not self.enabled:
            return Request(self, [native.Row("")], [None])
        rows = _rows_of(batch, image, prompt, id, sound)
        images, prompts, ids, sounds = (_spread(value, rows, name) for value, name in
                                        ((image, "image"), (prompt, "prompt"), (id, "id"), (sound, "sound")))
        wishes = _spread(capture, rows, "capture")
        specs = []
        for number in range(rows):
            pixels, path = media.picture(images[number])
            specs.append(native.Row(id=str(ids[number]) if ids[number] is not None else f"python-{uuid.uuid4().hex[:12]}",
                                    prompt=str(prompts[number] or ""), prompt_tokens=prompt_tokens, capture=wishes[number], image=pixels, image_path=path,
                                    attributes={str(name): str(value) for name, value in (attributes or {}).items()}))
        recordings = [media.recording(each, sample_rate) for each in sounds]
        complete = functools.partial(self._complete, picture)
        if inputs is not None:
            complete(specs, inputs)
        later = inputs is None and self._knowledge is not None and self._knowledge.ids_in_steps
        return Request(self, specs, recordings, complete if later else None)

    def _complete(self, picture: int, rows: list[native.Row], inputs: Mapping[str, Any]) -> None:
        """What only the inputs say: the prompt's ids, and where in them the picture stands."""
        known, profile = self._knowledge, self.profile
        if known is None or profile is None:
            return
        ids = inputs.get("input_ids")
        ids_bt = None if ids is None else torch.as_tensor(ids)
        if ids_bt is not None and ids_bt.dim() == 1:
            ids_bt = ids_bt[None]
        if ids_bt is not None and ids_bt.shape[0] != len(rows):
            raise InputError(f"request: expected a batch of {len(rows)}, as it was opened for, got input_ids of {ids_bt.shape[0]} rows")
        if known.places is None:
            for row, each in zip(rows, ids_bt.tolist() if ids_bt is not None and "text" in profile else []):
                row.prompt_ids = each
            return
        if ids_bt is None:
            raise InputError("request: expected input_ids, which say where in the prompt the picture stands, got none")
        if known.needs_picture:
            for row in rows:
                media.load(row)
        sizes = [None if row.image is None else (int(row.image.shape[0]), int(row.image.shape[1])) for row in rows]
        for row, place in zip(rows, known.places(families.Prompts(ids_bt.tolist(), inputs, sizes, picture))):
            stated = {**profile["geometry"], **place.geometry, "spans": place.spans, "pictures": len(place.spans), "picture": picture}
            row.geometry = {name: value for name, value in stated.items() if value is not None}
            if place.seen is not None:
                media.show_seen(row, *place.seen)

    def is_no_step(self, inputs: Mapping[str, Any]) -> bool:
        """Whether a call of the model makes no token of the answer."""
        return self._knowledge is not None and self._knowledge.is_no_step(inputs)

    def control(self, **changes: Any) -> dict[str, str]:
        """Changes, while the model runs, which requests are captured and which answers are kept; returns what decides now.

        Args:
            changes: `capture`, `sample_rate`, `next`, `ids`, `prompts`, `per_second`, `keep`, as docs/operations.md has them.
        """
        return native.control(self.native, changes) if self.enabled else {}

    def flush(self, timeout: float = 60) -> bool:
        """Waits until everything finished so far is written, at most `timeout` seconds; True when it is."""
        return bool(self.native.flush(round(timeout * 1000))) if self.enabled else True

    def shutdown(self, timeout: float = 5) -> None:
        """Ends the capture and takes the hook off the model. What is still waiting after `timeout` seconds is dropped and counted."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        if self.native is not None and os.getpid() == self._pid:
            self.native.shutdown(round(timeout * 1000))

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, kind: Any, problem: Any, trace: Any) -> None:
        self.shutdown()

    def _mark_steps(self, module: torch.nn.Module) -> None:
        mark = StepMark(self)
        self._hook = module.register_forward_pre_hook(mark, with_kwargs=True)
        self.compiled_steps = CompiledSteps(module, mark)
        self.steps_are_seen = True
        weakref.finalize(self, self._hook.remove)


def attach(model: torch.nn.Module, profile: Mapping[str, Any] | str | os.PathLike[str] | None = None, *, processor: Any = None,
           example_inputs: Mapping[str, Any] | Sequence[Any] | None = None, out_dir: str | os.PathLike[str] | None = None,
           capture: bool | None = None, sample_rate: float | None = None, max_tokens: int | None = None,
           options: Mapping[str, str] | None = None) -> Capture:
    """Attaches a model, once, when it is loaded. Does nothing unless capture is on: GAZE_CAPTURE=1, or `capture=True` without that variable.

    Args:
        model: a TorchScript module, or any torch.nn.Module: eager, with SDPA or without, of transformers or your own.
        profile: which attention, which keys and which grid (docs/profiles.md), as a dict or a file. None: of a model of transformers it is made here.
        processor: of a model of transformers, or its tokenizer: words then need no more than ids, and its picture's fit is known.
        example_inputs: arguments of the model's forward, or of its generate where it has one and they are a mapping: one run of it at attach finds
            the names of its attention calls. None: of a model of transformers they are made up.
        out_dir: where bundles appear; `./overlays`.
        sample_rate: the share of requests that is captured, 0 to 1.
        max_tokens: token rows kept of a request, 256.
        options: what docs/environment.md has, as text: {"format": "png", "keep": "flagged"}. A variable that is set wins.

    Raises:
        LibraryError: the native library is missing or was built for another torch.
        ProfileError: no profile is known, or it does not fit the model.
        AttachError: another capture of the process is live, or the model has no attention.
    """
    result = Capture()
    if not switches.capture_wanted(capture):
        return result
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"attach: expected a torch.nn.Module, got {type(model).__name__}.")
    library.load()
    result.out_dir = switches.out_dir(out_dir)
    text = {"capture": "1", "out_dir": result.out_dir, **{name: str(value) for name, value in (options or {}).items()}}
    if sample_rate is not None:
        text["sample_rate"] = str(sample_rate)
    if max_tokens is not None:
        text["max_tokens"] = str(max_tokens)
    if isinstance(model, torch.jit.ScriptModule):
        _state_profile(text, profile)
        result.native = native.capture(model, [], text)
        _forget_methods_that_ran(model)
    else:
        _attach_calls(result, model, profile, processor, example_inputs, text)
    return result


def _forget_methods_that_ran(model: torch.jit.ScriptModule) -> None:
    """torch keeps a method that was called on the module, in the form that it had then: without taps."""
    for module in model.modules():
        for name in [name for name, value in vars(module).items() if isinstance(value, torch._C.ScriptMethod)]:
            del module.__dict__[name]


def _attach_calls(result: Capture, model: torch.nn.Module, profile: Any, processor: Any, example_inputs: Any, text: dict[str, str]) -> None:
    # torch.compile wraps the module: names are those of what it wraps, and steps are seen outside of what is compiled.
    outer, model = model, getattr(model, "_orig_mod", model)
    of_transformers = families.model_type(model) is not None
    steps = _steps(model, example_inputs, of_transformers)
    stated = switches.profile_from_environment() or profile
    if stated is None:
        profile = _made_profile(result, model, processor, steps)
    elif of_transformers:
        result.profile = _as_dict(stated)
        result._knowledge = _knowledge_for(result.profile, families.knowledge_of(model, processor))
    _state_profile(text, profile)
    result.native = native.capture(None, steps.sites, text)
    stepping = model.get_submodule(steps.module) if steps.module else outer
    made = result.profile or (profile if isinstance(profile, Mapping) else {})
    result.every_row = (made.get("rows") or {}).get("of_call") == "all"
    result.follows_searches = not hasattr(stepping, "_reorder_cache") and (made.get("layers") or {}).get("reduce") != "rollout"
    result.ends = hugging_face.end_ids(model)
    if result.enabled:
        result._mark_steps(stepping)


def _steps(model: torch.nn.Module, example_inputs: Any, of_transformers: bool) -> dry_run.Steps:
    if example_inputs is None and not of_transformers:
        return dry_run.Steps([], "")
    try:
        seen = dry_run.run_dry(model, _run_of(model, example_inputs))
    except Error:
        raise
    except Exception as problem:
        said = native.sentence_of(problem)[:300]
        if example_inputs is not None:
            raise AttachError(f"attach: the model does not run on example_inputs: {type(problem).__name__}: {said}") from problem
        raise AttachError("attach: the model does not run on inputs made up from its config; give example_inputs, as its processor makes them: "
                          f"{type(problem).__name__}: {said}") from problem
    if not seen.calls:
        raise AttachError("attach: the model made no attention call in one run: expected scaled_dot_product_attention, or a softmax whose result a "
                          "product takes.")
    steps = dry_run.steps_of(seen, model)
    families.tell_groups(model, steps.sites)
    return steps


def _run_of(model: Any, example_inputs: Any) -> Callable[[], Any]:
    if example_inputs is None:
        return hugging_face.try_out(model)
    if isinstance(example_inputs, Mapping):
        if hasattr(model, "generate"):
            return lambda: model.generate(**example_inputs, max_new_tokens=2, min_new_tokens=2, do_sample=False, num_beams=1)
        return lambda: model(**example_inputs)
    return lambda: model(*example_inputs)


def profile_of(model: torch.nn.Module, processor: Any = None, example_inputs: Any = None) -> dict[str, Any]:
    """The profile that attach makes of a model of transformers: to look at, to change, and to attach with. Needs no library and no capture.

    Raises:
        ProfileError: none is known, with the reason.
    """
    return _known_profile(model, processor, _steps(model, example_inputs, families.model_type(model) is not None).sites)[0]


def _known_profile(model: torch.nn.Module, processor: Any, sites: Sequence[native.Site]) -> tuple[dict[str, Any], families.Knowledge]:
    if families.model_type(model) is None:
        raise ProfileError("attach: expected a profile, for this is no model of transformers: give one as a dict or a file, with the sites, and the "
                           'geometry of the picture\'s keys or "text": {}.')
    known = families.knowledge_of(model, processor)
    made = hugging_face.profile_with_sites(known, sites)
    if made is None:
        reason = known.reason or "none of its attention calls looks at what its answers are made of"
        raise ProfileError(f"attach: expected a profile, for {reason}. Its sites are {', '.join(site.name for site in sites)}.")
    return made, known


def _made_profile(result: Capture, model: torch.nn.Module, processor: Any, steps: dry_run.Steps) -> dict[str, Any]:
    made, known = _known_profile(model, processor, steps.sites)
    result._vocabulary = hugging_face.vocabulary_folder() if processor is not None else None
    vocabulary = hugging_face.vocabulary_file(processor, result._vocabulary.name) if processor is not None else None
    if vocabulary is not None:
        end = hugging_face.end_id(model)
        made["tokens"] = {"vocabulary": vocabulary, **({} if end is None else {"eos": end})}
    result.profile, result._knowledge, result.notes = made, known, known.notes
    return made


def _as_dict(profile: Any) -> dict[str, Any]:
    if isinstance(profile, Mapping):
        return dict(profile)
    try:
        return dict(json.loads(Path(profile).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as problem:
        raise ProfileError(f"profile '{profile}': cannot be read: {problem}") from problem


def _knowledge_for(profile: Mapping[str, Any], known: families.Knowledge) -> families.Knowledge | None:
    """What is known still holds of a profile of the host's own that says no more than where the sites are."""
    geometry = profile.get("geometry") or {}
    if known.places is None:
        return dataclasses.replace(known, ids_in_steps=known.ids_in_steps and "text" in profile)
    return known if geometry and "spans" not in geometry and not geometry.get("first_key") else None


def _state_profile(text: dict[str, str], profile: Mapping[str, Any] | str | os.PathLike[str] | None) -> None:
    if isinstance(profile, Mapping):
        text["profile_text"] = hugging_face.profile_text(profile)
    elif profile is not None:
        text["profile"] = os.path.abspath(os.fspath(profile))


def _rows_of(batch: int | None, *values: Any) -> int:
    lengths = {len(value) for value in values if isinstance(value, list)}
    if batch is not None:
        lengths.add(batch)
    if len(lengths) > 1:
        raise InputError(f"request: expected lists of one length, one entry for each row of the batch, got lengths {sorted(lengths)}.")
    rows = lengths.pop() if lengths else 1
    if rows < 1:
        raise InputError("request: expected at least one row.")
    return rows


def _spread(value: Any, rows: int, name: str) -> list[Any]:
    if isinstance(value, list):
        if len(value) != rows:
            raise InputError(f"request: expected a list of {rows} for {name}, one for each row of the batch, got {len(value)}.")
        return value
    if value is not None and rows > 1 and name in ("image", "sound", "id"):
        raise InputError(f"request: expected a list of {rows} for {name}, one for each row of the batch, got one alone.")
    return [value] * rows
