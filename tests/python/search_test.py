# SPDX-License-Identifier: MIT
"""Beams and several samples of a prompt: each answer's rows are those of the beams that made it, as eager attention and beam_indices say."""
import copy
import pickle
import unittest
from unittest import mock

import support

support.need_library()
support.need("transformers")

import numpy as np
import torch
from transformers import DynamicCache

import gaze
import tiny_models as tiny
import tiny_pictures as pictures

# Where the picture's keys are, of those that have one: first key and cells.
CELLS = {"llava": (2, 9), "qwen2_vl": (2, 6), "gemma3": (2, 4)}
NAMES = ("llama", "t5", "bart", "whisper", "llava", "qwen2_vl", "gemma3")
HOW = ({"num_beams": 3}, {"num_beams": 4, "num_return_sequences": 2, "length_penalty": 0.1}, {"num_beams": 3, "use_cache": False},
       {"do_sample": True, "num_return_sequences": 3, "top_k": 5}, {"num_beams": 3, "do_sample": True, "top_k": 8},
       {"num_beams": 3, "cache_implementation": "static"}, {"num_beams": 3, "early_stopping": True, "length_penalty": -1.0})


def ask(model: torch.nn.Module, name: str, inputs: dict | None = None, **how):
    torch.manual_seed(5)
    with torch.no_grad():
        return model.generate(**(tiny.inputs(name) if inputs is None else inputs), max_new_tokens=6, return_dict_in_generate=True, **how)


def ask_for_attention(model: torch.nn.Module, name: str, inputs: dict | None = None, **how):
    """What the search itself returns: Whisper's generate makes something else of it."""
    kept, kind = [], type(model)

    def keep(search):
        def kept_search(*args, **kwargs):
            kept.append(search(*args, **kwargs))
            return kept[-1]
        return kept_search

    with mock.patch.object(kind, "_beam_search", keep(kind._beam_search)), mock.patch.object(kind, "_sample", keep(kind._sample)):
        out = ask(model, name, inputs, **how, output_attentions=True)
    return out, kept[-1]


def reference(out) -> list[np.ndarray]:
    """Of each answer [tokens, keys]: the mean over heads and layers, taken from the beams that made it."""
    steps = getattr(out, "cross_attentions", None) or getattr(out, "decoder_attentions", None) or out.attentions
    answers = []
    for number in range(len(out.sequences)):
        beams = out.beam_indices[number].tolist() if getattr(out, "beam_indices", None) is not None else [number] * len(steps)
        rows = [torch.stack([layer[beam, :, -1, :].mean(0) for layer in step]).mean(0).numpy() for step, beam in zip(steps, beams) if beam >= 0]
        answers.append(np.stack([np.pad(row, (0, max(map(len, rows)) - len(row))) for row in rows]))
    return answers


class Search(support.Case):
    def setUp(self) -> None:
        super().setUp()
        self.seen = {"finished early": 0, "changed rows": 0}
        self.worst = 0.0

    def check(self, name: str, attention: str, ends: dict | None = None, inputs: dict | None = None, prompts: int = 1, **how) -> None:
        model, layers = tiny.model(name, attention), slice(1, 2) if name == "gemma3" else slice(None)
        how = how | (ends or {})
        off = ask(model, name, inputs, **how)
        profile = gaze.profile_of(model) | {"heads": {"reduce": "mean"}, "layers": {"reduce": "mean"}}
        with gaze.attach(model, profile, capture=True, out_dir=self.out_dir) as g:
            medium = {key: [value] * prompts if prompts > 1 else value for key, value in tiny.medium(name).items()}
            with g.request(**medium, id=[f"{each}" for each in range(prompts)] if prompts > 1 else "0") as r:
                on = ask(model, name, inputs, **how)
                r.tokens(on, tiny.TEXTS)
            answers = r.answers
        self.assertTrue(torch.equal(off.sequences, on.sequences))
        if getattr(on, "past_key_values", None) is not None:
            self.assertNotIn("reorder_cache", vars(on.past_key_values))
        out, eager = ask_for_attention(tiny.model(name, "eager"), name, inputs, **how)
        self.assertTrue(torch.equal(out.sequences, on.sequences))
        if layers != slice(None):
            eager.attentions = [step[layers] for step in eager.attentions]
        expected = reference(eager)
        self.assertEqual(len(answers), len(on.sequences))
        for number, (answer, rows_tk) in enumerate(zip(answers, expected)):
            self.assertIsNone(answer.error)
            self.assertEqual(answer.id, str(number * prompts // len(answers)))
            made = [token["id"] for token in answer.tokens]
            sequence = on.sequences[number].tolist()
            place = next(start for start in range(len(sequence)) if sequence[start:start + len(made)] == made)
            self.assertEqual(len(set(sequence[place + len(made):])) <= 1, True)  # filled up
            first, cells = CELLS.get(name, (0, rows_tk.shape[1]))
            rows_tk = rows_tk[:len(made), first:first + cells]
            maps = answer.maps.reshape(len(answer.maps), -1)[:len(made), :rows_tk.shape[1]].astype(np.float64)
            self.assertEqual(len(maps), len(made))
            keys = min(maps.shape[1], rows_tk.shape[1])
            off = np.abs(maps[:, :keys] - rows_tk[:, :keys]).max()
            self.worst = max(self.worst, float(off)) if answer.tensors.get("map_tc") is not None else self.worst
            self.assertLess(off, 1e-4 if answer.tensors.get("map_tc") is not None else 3e-4)  # a text's map is kept in half precision
            self.seen["finished early"] += len(made) < 6
        beams = getattr(eager, "beam_indices", None)
        if beams is not None:
            self.seen["changed rows"] += sum(len(set(row[row >= 0].tolist())) > 1 for row in beams)

    def test_answers_are_those_of_their_beams(self) -> None:
        for name in NAMES:
            for how in HOW:
                if how.get("use_cache") is False and name in ("llava", "qwen2_vl"):
                    continue  # transformers' own generate does not do so
                with self.subTest(name, **how):
                    self.check(name, "sdpa", **how)
        with self.subTest("eager"):
            self.check("llama", "eager", **HOW[0])
        self.assertGreater(self.seen["changed rows"], 10)
        print(f"worst difference: {self.worst:.1e}")

    def test_answers_that_end_before_the_search(self) -> None:
        for name in ("llama", "t5", "bart", "llava"):
            made = ask(tiny.model(name), name, num_beams=4, num_return_sequences=4).sequences
            for end in sorted({row[-3].item() for row in made} | {row[-4].item() for row in made}):
                for how in ({}, {"early_stopping": True}, {"num_return_sequences": 3}):
                    with self.subTest(name, end=end, **how):
                        self.check(name, "sdpa", {"eos_token_id": end, "pad_token_id": 0}, num_beams=4, length_penalty=-0.5, **how)
        self.assertGreater(self.seen["finished early"], 10)

    def test_a_batch_of_prompts(self) -> None:
        ids = torch.tensor([[5, 6, 7, 8], [0, 0, 9, 10]])
        for how in HOW[:2] + HOW[3:5]:
            with self.subTest(**how):
                self.check("llama", "sdpa", inputs={"input_ids": ids, "attention_mask": (ids != 0).long()}, prompts=2, **how)

    def test_blip_and_its_latents(self) -> None:
        for name, attention in (("blip", "eager"), ("blip-2", "sdpa")):
            model = tiny.model(name, attention)
            with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
                answers = []
                for beams in (1, 3):
                    with g.request(**tiny.medium(name)) as r:
                        out = model.generate(**tiny.inputs(name), **tiny.GREEDY | {"num_beams": beams})
                        r.tokens(out, tiny.TEXTS)
                    self.assertIsNone(r.answer.error)
                    answers.append(r.maps)
            self.assertEqual(answers[0].shape, answers[1].shape)
            np.testing.assert_allclose(answers[0][0], answers[1][0], atol=1e-5)  # the first token's row is the same

    def test_tiles_with_beams(self) -> None:
        picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        for name in ("llava_next", "internvl", "idefics3", "mllama", "idefics2", "vit"):
            with self.subTest(name):
                model = pictures.model(name)
                inputs = pictures.inputs(name, model, picture)
                with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
                    with g.request(image=picture, inputs=inputs if name == "idefics2" else None) as r:
                        r.tokens(model.generate(**inputs, max_new_tokens=4, num_beams=3), tiny.TEXTS)
                self.assertIsNone(r.answer.error)
                self.assertEqual(len(r.maps), len(r.answer.tokens))

    def test_what_cannot_be_followed_is_refused(self) -> None:
        model, how = tiny.model("llama"), dict(max_new_tokens=3, num_beams=3)
        inputs = tiny.inputs("llama")
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with self.assertRaisesRegex(gaze.RequestError, "which are the answer's"):
                with g.request():
                    model.generate(**inputs, **how)
            with self.assertRaisesRegex(gaze.InputError, "no row of the batch made"):
                with g.request() as r:
                    model.generate(**inputs, **how)
                    r.tokens([[5, 6, 11, 12, 13]])
            with self.assertRaisesRegex(gaze.RequestError, "assisted"):
                with g.request() as r:
                    r.tokens(model.generate(**inputs, max_new_tokens=12, prompt_lookup_num_tokens=2, do_sample=False))
            with self.assertRaisesRegex(gaze.RequestError, "gathered by a search"):
                with g.request(batch=3):
                    ids = inputs["input_ids"].repeat(3, 1)
                    past = model(input_ids=ids, use_cache=True).past_key_values
                    model(input_ids=ids[:, :1], past_key_values=past)
                    past.reorder_cache(torch.tensor([0, 0, 1]))
            self.assertNotIn("reorder_cache", vars(past))
        model = tiny.model("t5")
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with self.assertRaisesRegex(gaze.InputError, "not alike"):
                with g.request() as r:
                    r.tokens(model.generate(input_ids=torch.tensor([[5, 6, 7], [8, 9, 10]]), **tiny.GREEDY))
        profile = gaze.profile_of(tiny.model("llava")) | {"layers": {"reduce": "rollout"}}
        model = tiny.model("llava")
        with torch.no_grad(), gaze.attach(model, profile, capture=True, out_dir=self.out_dir) as g:
            with self.assertRaisesRegex(gaze.RequestError, "rollout"):
                with g.request(**tiny.medium("llava")):
                    model.generate(**tiny.inputs("llava"), **how)

    def test_copies_of_a_watched_cache_are_their_own(self) -> None:
        model = tiny.model("llama")
        ids = tiny.inputs("llama")["input_ids"].repeat(3, 1)
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with g.request() as r:
                past = DynamicCache(config=model.config)
                model(input_ids=ids, past_key_values=past)
                self.assertIn("reorder_cache", vars(past))
                before = past.layers[0].keys.clone()
                for clone in (copy.deepcopy(past), pickle.loads(pickle.dumps(past)), copy.deepcopy(copy.deepcopy(past))):
                    clone.layers[0].keys += torch.arange(3.0)[:, None, None, None]
                    changed = clone.layers[0].keys.clone()
                    clone.reorder_cache(torch.tensor([2, 0, 0]))
                    self.assertTrue(torch.equal(clone.layers[0].keys, changed[[2, 0, 0]]))
                    self.assertTrue(torch.equal(past.layers[0].keys, before))
                r.discard()
            self.assertNotIn("reorder_cache", vars(past))

    def test_what_is_not_sampled_is_not_followed(self) -> None:
        for name in ("llama", "t5"):
            model = tiny.model(name)
            with gaze.attach(model, capture=True, out_dir=self.out_dir, sample_rate=0) as g:
                with g.request() as r:
                    out = ask(model, name, num_beams=3)
                    self.assertNotIn("reorder_cache", vars(out.past_key_values))
                    r.tokens(out, tiny.TEXTS)
                self.assertIsNone(r.answer)
                self.assertEqual(g.stats["sampled"], 0)

    def test_a_compiled_model_is_not_compiled_again(self) -> None:
        from torch._dynamo.testing import CompileCounter

        model, counter = tiny.model("llama"), CompileCounter()
        model.forward = torch.compile(model.forward, backend=counter)
        ask(model, "llama", num_beams=3)
        with gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            off, frames = ask(model, "llama", num_beams=3), counter.frame_count
            self.assertGreater(frames, 0)
            with g.request() as r:
                on = ask(model, "llama", num_beams=3)
                r.tokens(on, tiny.TEXTS)
            self.assertIsNone(r.answer.error)
        self.assertTrue(torch.equal(off.sequences, on.sequences))
        self.assertEqual(counter.frame_count, frames)


if __name__ == "__main__":
    unittest.main(verbosity=2)
