# SPDX-License-Identifier: MIT
"""Models of transformers out of the box: the same answers, names from modules, and the maps that eager attention computes."""
import unittest

import support

support.need_library()
support.need("transformers")

import numpy as np
import torch

import gaze
import tiny_models as tiny

# Of each its rows, columns and first key.
PICTURES = (("llava", 3, 3, 2), ("vipllava", 3, 3, 2), ("paligemma", 3, 3, 0), ("gemma3", 2, 2, 2), ("qwen2_vl", 2, 3, 2), ("qwen2_5_vl", 2, 3, 2))


def reference(name: str, weights: dict, layers: slice = slice(None), **how) -> np.ndarray:
    """[tokens, keys]: the mean over heads and layers that an eager copy of the model returns itself."""
    eager = tiny.model(name, "eager")
    eager.load_state_dict(weights)
    if name == "blip":
        return blip_reference(eager)
    with torch.no_grad():
        out = eager.generate(**tiny.inputs(name), **tiny.GREEDY, **how, output_attentions=True, return_dict_in_generate=True)
    steps = getattr(out, "cross_attentions", None) or getattr(out, "decoder_attentions", None) or out.attentions
    rows = [torch.stack([layer[0, :, -1, :].mean(0) for layer in step[layers]]).mean(0).numpy() for step in steps]
    return np.stack([np.pad(row, (0, max(map(len, rows)) - len(row))) for row in rows])


def blip_reference(eager: torch.nn.Module) -> np.ndarray:
    """Its generate returns no cross-attention, its modules do."""
    rows: list[np.ndarray] = []
    for layer in eager.text_decoder.bert.encoder.layer:
        layer.crossattention.self.register_forward_hook(lambda module, args, output: rows.append(output[1][0, :, -1, :].mean(0).numpy()))
    with torch.no_grad():
        eager.generate(**tiny.inputs("blip"), **tiny.GREEDY)
    return np.stack(rows).reshape(tiny.TOKENS, len(eager.text_decoder.bert.encoder.layer), -1).mean(1)


class HuggingFace(support.Case):
    def check(self, name: str, attention: str, cells=None, layers=slice(None), **how) -> None:
        model = tiny.model(name, attention)
        with torch.no_grad():
            off = model.generate(**tiny.inputs(name), **tiny.GREEDY, **how)
            profile = gaze.profile_of(model) | {"heads": {"reduce": "mean"}, "layers": {"reduce": "mean"}}
            with gaze.attach(model, profile, capture=True, out_dir=self.out_dir) as g:
                with g.request(**tiny.medium(name), prompt="what", id="7") as r:
                    on = model.generate(**tiny.inputs(name), **tiny.GREEDY, **how)
                    r.tokens(on, tiny.TEXTS)
                answer = r.answer
                self.assertIsNone(answer.error)
                self.assertEqual(answer.id, "7")
            self.assertTrue(torch.equal(off, on))
            self.assertTrue(torch.equal(off, model.generate(**tiny.inputs(name), **tiny.GREEDY, **how)))
        modules = dict(model.named_modules())
        self.assertTrue(answer.sites)
        for site in answer.sites:
            self.assertIn(site, modules)
        self.assertEqual(len(answer.tokens), tiny.TOKENS)
        self.assertEqual([token["id"] for token in answer.tokens], off[0][-tiny.TOKENS:].tolist())
        expected = reference(name, model.state_dict(), layers, **how)
        if cells is not None:
            expected = expected[:, cells]
        maps = answer.maps.reshape(tiny.TOKENS, -1).astype(np.float64)
        keys = min(maps.shape[1], expected.shape[1])
        self.assertGreater(float(expected.std()), 1e-3, "the reference is flat: it would tell nothing")
        # A text's map is kept in half precision.
        np.testing.assert_allclose(maps[:, :keys], expected[:, :keys], atol=1e-4 if answer.tensors.get("map_tc") is not None else 3e-4)
        self.assertEqual(float(np.abs(expected[:, keys:]).sum()), 0)

    def test_llama(self) -> None:
        for attention in ("sdpa", "eager"):
            with self.subTest(attention):
                self.check("llama", attention)

    def test_llama_static_cache(self) -> None:
        for attention in ("sdpa", "eager"):
            with self.subTest(attention):
                self.check("llama", attention, cache_implementation="static")

    def test_t5(self) -> None:
        for attention in ("sdpa", "eager"):
            for how in ({}, {"cache_implementation": "static"}):
                with self.subTest(attention, **how):
                    self.check("t5", attention, **how)

    def test_bart(self) -> None:
        for attention in ("sdpa", "eager"):
            with self.subTest(attention):
                self.check("bart", attention)

    def test_whisper(self) -> None:
        for attention in ("sdpa", "eager"):
            for how in ({}, {"cache_implementation": "static"}):
                with self.subTest(attention, **how):
                    self.check("whisper", attention, **how)

    def test_blip(self) -> None:
        self.check("blip", "eager", cells=slice(1, 10))

    def test_pictures_in_prompts(self) -> None:
        for name, rows, cols, first in PICTURES:
            for attention in ("sdpa", "eager"):
                with self.subTest(name, attention=attention):
                    self.check(name, attention, cells=slice(first, first + rows * cols), layers=slice(1, 2) if name == "gemma3" else slice(None))

    def test_pictures_with_a_static_cache(self) -> None:
        for name, rows, cols, first in PICTURES:
            with self.subTest(name):
                self.check(name, "sdpa", cells=slice(first, first + rows * cols), layers=slice(1, 2) if name == "gemma3" else slice(None),
                           cache_implementation="static")

    def test_layers_with_windows_are_left_out(self) -> None:
        self.assertEqual(gaze.profile_of(tiny.model("gemma3"))["sites"]["match"], ["model.language_model.layers.1.self_attn"])

    def test_spans_of_the_hosts_own(self) -> None:
        for name, rows, cols, first in PICTURES:
            for attention in ("sdpa", "eager"):
                with self.subTest(name, attention=attention):
                    model = tiny.model(name, attention)
                    profile = gaze.profile_of(model) | {"heads": {"reduce": "mean"}}
                    profile["geometry"] = {"rows": rows, "cols": cols, "spans": [{"first_key": first, "keys": rows * cols}]}
                    with torch.no_grad(), gaze.attach(model, profile, capture=True, out_dir=self.out_dir) as g:
                        with g.request(**tiny.medium(name)) as r:
                            r.tokens(model.generate(**tiny.inputs(name), **tiny.GREEDY), tiny.TEXTS)
                    self.assertIsNone(r.answer.error)
                    layers = slice(1, 2) if name == "gemma3" else slice(None)
                    expected = reference(name, model.state_dict(), layers)[:, first:first + rows * cols].reshape(-1, rows, cols)
                    np.testing.assert_allclose(r.maps, expected, atol=1e-4)

    def test_blip2_behind_latents(self) -> None:
        for attention in ("sdpa", "eager"):
            with self.subTest(attention):
                model = tiny.model("blip-2", attention)
                with torch.no_grad():
                    off = model.generate(**tiny.inputs("blip-2"), **tiny.GREEDY)
                    with gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
                        with g.request(**tiny.medium("blip-2")) as r:
                            on = model.generate(**tiny.inputs("blip-2"), **tiny.GREEDY)
                            r.tokens(on, tiny.TEXTS)
                        self.assertTrue(g.notes)
                self.assertTrue(torch.equal(off, on))
                self.assertIsNone(r.answer.error)
                self.assertEqual(r.maps.shape, (tiny.TOKENS, 3, 3))
                self.assertEqual(len(r.answer.facts["through"]["sites"]), 2)

    def test_padded_prompts_make_a_batch(self) -> None:
        model = tiny.model("llama")
        ids = torch.tensor([[5, 6, 7, 8], [0, 0, 9, 10]])
        batch = {"input_ids": ids, "attention_mask": (ids != 0).long()}
        with torch.no_grad():
            off = model.generate(**batch, **tiny.GREEDY)
            with gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
                with g.request(id=["a", "b"], prompt=["one", "two"]) as r:
                    on = model.generate(**batch, **tiny.GREEDY)
                    r.tokens(on, tiny.TEXTS)
                answers = r.answers
        self.assertTrue(torch.equal(off, on))
        self.assertEqual([answer.id for answer in answers], ["a", "b"])
        for row, answer in enumerate(answers):
            self.assertIsNone(answer.error)
            self.assertEqual([token["id"] for token in answer.tokens], off[row, -tiny.TOKENS:].tolist())
        self.assertLess(float(answers[1].maps[:, :2].max()), 1e-3)

    def test_a_model_call_in_a_loop_of_the_hosts_own(self) -> None:
        model, ids = tiny.model("llama"), tiny.inputs("llama")["input_ids"]
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with g.request() as r:
                past, step, answer = None, ids, []
                for _ in range(4):
                    out = model(input_ids=step, past_key_values=past, use_cache=True)
                    past, step = out.past_key_values, out.logits[:, -1:].argmax(-1)
                    answer.append(step.item())
                r.tokens(answer, tiny.TEXTS)
        self.assertEqual([token["id"] for token in r.answer.tokens], answer)

    def test_rows_say_where_the_picture_stands(self) -> None:
        from unittest import mock

        for name, rows, cols, first in PICTURES:
            for told in (False, True):
                with self.subTest(name, told=told):
                    model, begun = tiny.model(name), []
                    with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g, \
                            mock.patch("gaze.native.begin", side_effect=lambda native, rows: begun.extend(rows) or mock.MagicMock()):
                        with g.request(**tiny.medium(name), inputs=tiny.inputs(name) if told else None):
                            model.generate(**tiny.inputs(name), **tiny.GREEDY)
                    row, = begun
                    self.assertEqual((row.geometry["rows"], row.geometry["cols"]), (rows, cols))
                    self.assertEqual(row.geometry["spans"], [{"first_key": first, "keys": rows * cols}])

    def test_several_pictures_in_a_prompt(self) -> None:
        from unittest import mock

        image = [tiny.IMAGE] * 9
        ids = torch.tensor([[5, *image, 6, *image, *image, 7]])
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.randn(3, 3, 24, 24)}
        model, begun = tiny.model("llava"), []
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with mock.patch("gaze.native.begin", side_effect=lambda native, rows: begun.extend(rows) or mock.MagicMock()):
                with g.request(**tiny.medium("llava"), picture=1):
                    model.generate(**inputs, **tiny.GREEDY)
            with self.assertRaisesRegex(gaze.InputError, "one of the prompt's 3"):
                g.request(**tiny.medium("llava"), picture=3, inputs=inputs)
        self.assertEqual([span["first_key"] for span in begun[0].geometry["spans"]], [1, 11, 20])
        self.assertEqual((begun[0].geometry["pictures"], begun[0].geometry["picture"]), (3, 1))

    def test_a_prompt_without_a_picture_is_refused(self) -> None:
        model = tiny.model("llava")
        ids = torch.tensor([[5, 6, 7]])
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with self.assertRaisesRegex(gaze.RequestError, "placeholder 96"):
                with g.request(**tiny.medium("llava")):
                    model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **tiny.GREEDY)

    @staticmethod
    def tokenizer():
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        vocabulary = {f"w{each}": each for each in range(tiny.IMAGE)} | {"<image>": tiny.IMAGE}
        inner = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
        inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="w2", extra_special_tokens={"image_token": "<image>"})

    def test_a_tokenizer(self) -> None:
        tokenizer, model = self.tokenizer(), tiny.model("llama")
        with torch.no_grad():
            for at_attach in (False, True):
                with gaze.attach(model, capture=True, out_dir=self.out_dir, processor=tokenizer if at_attach else None) as g:
                    with g.request() as r:
                        out = model.generate(**tiny.inputs("llama"), **tiny.GREEDY)
                        r.tokens(out, None if at_attach else tokenizer)
                    self.assertIsNone(r.answer.error)
                self.assertEqual([token["text"] for token in r.answer.tokens], tokenizer.convert_ids_to_tokens(out[0, -tiny.TOKENS:]))

    def test_a_processor_of_pictures(self) -> None:
        from transformers import CLIPImageProcessor, LlavaProcessor

        images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 24, "width": 24})
        processor = LlavaProcessor(images, self.tokenizer(), patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1)
        model, photo = tiny.model("llava"), tiny.medium("llava")["image"]
        inputs = processor(images=photo, text="w5 <image> w6 w7", return_tensors="pt")
        self.assertEqual((inputs["input_ids"] == tiny.IMAGE).sum().item(), 9)
        geometry = gaze.profile_of(model, processor)["geometry"]
        self.assertEqual((geometry["fit"], geometry["resize_shorter"]), ("centre_crop", 32))
        with torch.no_grad(), gaze.attach(model, processor=processor, capture=True, out_dir=self.out_dir) as g:
            with g.request(image=photo, prompt="w5 w6 w7", inputs=inputs) as r:
                r.tokens(model.generate(**inputs, **tiny.GREEDY), processor)
        self.assertIsNone(r.answer.error)
        self.assertEqual(r.maps.shape, (tiny.TOKENS, 3, 3))

    def test_what_generate_returns_in_every_form(self) -> None:
        model = tiny.model("llama")
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            for form in (lambda out: out.sequences, lambda out: out, lambda out: out.sequences[0], lambda out: out.sequences.tolist(),
                         lambda out: out.sequences[0, -tiny.TOKENS:].numpy()):
                with g.request() as r:
                    out = model.generate(**tiny.inputs("llama"), **tiny.GREEDY, return_dict_in_generate=True)
                    r.tokens(form(out), tiny.TEXTS)
                self.assertEqual([token["id"] for token in r.answer.tokens], out.sequences[0, -tiny.TOKENS:].tolist())

    def test_answers_without_a_cache_and_prompts_in_pieces(self) -> None:
        model, ids = tiny.model("llama"), tiny.inputs("llama")["input_ids"]
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with g.request() as r:
                out = model.generate(**tiny.inputs("llama"), **tiny.GREEDY, use_cache=False)
                r.tokens(out, tiny.TEXTS)
            self.assertEqual([token["id"] for token in r.answer.tokens], out[0, -tiny.TOKENS:].tolist())
            with g.request() as r:
                past = model(input_ids=ids[:, :4], use_cache=True).past_key_values
                step = model(input_ids=ids[:, 4:], past_key_values=past, use_cache=True).logits[:, -1:].argmax(-1)
                again = model(input_ids=step, past_key_values=past, use_cache=True).logits[:, -1:].argmax(-1)
                r.tokens(torch.cat([ids, step, again], 1), tiny.TEXTS)
            self.assertEqual([token["id"] for token in r.answer.tokens], [step.item(), again.item()])

    def test_whisper_that_asks_for_the_language_first(self) -> None:
        model = tiny.model("whisper")
        generation = model.generation_config
        generation.is_multilingual, generation.lang_to_id, generation.task_to_id = True, {"<|en|>": 5, "<|de|>": 6}, {"transcribe": 7}
        generation.no_timestamps_token_id, generation.max_length = 9, 32
        with torch.no_grad():
            off = model.generate(**tiny.inputs("whisper"), max_new_tokens=4, do_sample=False)
            with gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
                with g.request(**tiny.medium("whisper")) as r:
                    on = model.generate(**tiny.inputs("whisper"), max_new_tokens=4, do_sample=False)
                    r.tokens(on, tiny.TEXTS)
        self.assertTrue(torch.equal(off, on))
        self.assertIsNone(r.answer.error)
        self.assertEqual(len(r.answer.tokens), 4)
        self.assertTrue(all(word.start_seconds is not None for word in r.words))

    def test_what_cannot_be_followed_is_refused(self) -> None:
        model, how = tiny.model("llama"), dict(max_new_tokens=3, do_sample=False)
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with self.assertRaisesRegex(gaze.RequestError, "another answer"):
                with g.request():
                    model.generate(**tiny.inputs("llama"), **how)
                    model.generate(**tiny.inputs("llama"), **how)
            with self.assertRaisesRegex(gaze.RequestError, "no step"):
                with g.request():
                    pass

    def test_an_unknown_model_is_refused_with_a_reason(self) -> None:
        model = tiny.model("llava")
        model.config.model_type = "surprise"
        with self.assertRaisesRegex(gaze.ProfileError, "'surprise'.*language_model.layers.0.self_attn"):
            gaze.attach(model, capture=True, out_dir=self.out_dir)
        self.assertFalse(model._forward_pre_hooks)

    def test_a_compiled_model(self) -> None:
        from torch._dynamo.testing import CompileCounter

        model, ids = tiny.model("llama"), tiny.inputs("llama")["input_ids"]

        def loop(call) -> list[int]:
            past, step, answer = None, ids, []
            for _ in range(4):
                out = call(input_ids=step, past_key_values=past, use_cache=True)
                past, step = out.past_key_values, out.logits[:, -1:].argmax(-1)
                answer.append(step.item())
            return answer

        def check(attached, call, **how) -> None:
            with gaze.attach(attached, capture=True, out_dir=self.out_dir) as g:
                loop(call), loop(call)
                frames = counter.frame_count
                with g.request(**how) as r:
                    out = loop(call)
                    r.tokens(out, tiny.TEXTS)
                self.assertEqual(counter.frame_count, frames)
            self.assertEqual(out, expected)
            self.assertEqual([token["id"] for token in r.answer.tokens], expected)
            self.assertEqual(r.answer.sites, ["model.layers.0.self_attn", "model.layers.1.self_attn"])

        counter = CompileCounter()
        with torch.no_grad():
            expected = loop(model)
            compiled = torch.compile(model, backend=counter)
            check(compiled, compiled)
            check(model, compiled, inputs={"input_ids": ids})
            model.forward = torch.compile(model.forward, backend=counter)
            check(model, model)

    def test_the_hooks_of_the_dry_run_are_gone(self) -> None:
        model = tiny.model("bart")
        model.train()
        state = torch.get_rng_state()
        gaze.profile_of(model)
        self.assertTrue(torch.equal(state, torch.get_rng_state()))
        self.assertTrue(all(module.training for module in model.modules()))
        for module in model.modules():
            self.assertFalse(module._forward_pre_hooks or module._forward_hooks)


if __name__ == "__main__":
    unittest.main(verbosity=2)
