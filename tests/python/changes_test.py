# SPDX-License-Identifier: MIT
"""A model that is changed after attach: it is captured as it is when it runs, or one sentence says why not; its own results stay as they are."""
import copy
import pickle
import unittest
from typing import Callable

import support

support.need_library()
support.need("transformers")

import numpy as np
import torch
import transformers

import gaze
import tiny_models as tiny

IDS = torch.tensor([[5, 6, 7, 8, 9]])


def replaced(model: torch.nn.Module) -> None:
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, torch.nn.Parameter(parameter.detach().clone() * 0.9))


def with_another_layer(model: torch.nn.Module) -> None:
    old = model.model.language_model.layers[0]
    new = type(old)(model.model.language_model.config, 0).eval()
    new.load_state_dict({name: value * 0.7 for name, value in old.state_dict().items()})
    model.model.language_model.layers[0] = new


class Changes(support.Case):
    def check(self, change: Callable[[torch.nn.Module], object], name: str = "llava", dtype: torch.dtype = torch.float32, atol: float = 1e-4) -> None:
        """The map is that of an eager copy of the model as it is by now."""
        model = tiny.model(name)
        profile = gaze.profile_of(model) | {"heads": {"reduce": "mean"}}
        with torch.no_grad(), gaze.attach(model, profile, capture=True, out_dir=self.out_dir) as g:
            change(model)
            inputs = tiny.inputs(name)
            inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
            off = model.generate(**inputs, **tiny.GREEDY)
            with g.request(**tiny.medium(name)) as r:
                on = model.generate(**inputs, **tiny.GREEDY)
                r.tokens(on, tiny.TEXTS)
            self.assertTrue(torch.equal(off, on))
            self.assertIsNone(r.answer.error)
            eager = copy.deepcopy(model).eval()
            eager.set_attn_implementation("eager")
            out = eager.generate(**inputs, **tiny.GREEDY, output_attentions=True, return_dict_in_generate=True)
        self.assertTrue(torch.equal(out.sequences, on))
        expected = [torch.stack([layer[0, :, -1, 2:11].float().mean(0) for layer in step]).mean(0).numpy() for step in out.attentions]
        np.testing.assert_allclose(r.maps.reshape(-1, 9), np.stack(expected), atol=atol)

    def test_another_type(self) -> None:
        for dtype, atol in ((torch.bfloat16, 2e-2), (torch.float16, 2e-3)):
            with self.subTest(dtype):
                self.check(lambda model: model.to(dtype), dtype=dtype, atol=atol)

    def test_other_parameters(self) -> None:
        for change in (replaced, with_another_layer, lambda model: model.load_state_dict({k: v * 0.8 for k, v in model.state_dict().items()})):
            self.check(change)

    def test_another_attention(self) -> None:
        self.check(lambda model: model.set_attn_implementation("eager"))

    def test_in_training_mode(self) -> None:
        self.check(lambda model: model.train())

    def test_on_the_meta_device(self) -> None:
        model = tiny.model("llama")
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            model.to("meta")
            with self.assertRaisesRegex(gaze.RequestError, "no step"):
                with g.request():
                    self.assertEqual(model(input_ids=IDS.to("meta")).logits.device.type, "meta")
            model.to_empty(device="cpu")
            model.load_state_dict(tiny.model("llama").state_dict())
            model.model.rotary_emb = tiny.model("llama").model.rotary_emb  # its buffers are in no state
            with g.request() as r:
                r.tokens(model.generate(**tiny.inputs("llama"), **tiny.GREEDY), tiny.TEXTS)
            self.assertIsNone(r.answer.error)

    def test_a_training_step(self) -> None:
        """The forward call is captured, with gradients and with checkpoints; the backward call stays outside of the request."""
        model = tiny.model("llama").train()

        def step(open_request: Callable[[], object] | None) -> tuple:
            model.zero_grad()
            if open_request is None:
                out = model(input_ids=IDS, labels=IDS)
            else:
                with open_request() as r:
                    out = model(input_ids=IDS, labels=IDS)
                    r.tokens([*IDS[0, 1:].tolist(), 3], tiny.TEXTS)
                self.assertIsNone(r.answer.error)
                self.assertEqual([token["id"] for token in r.answer.tokens], [6, 7, 8, 9, 3])
            out.loss.backward()
            return out.loss, *(parameter.grad.clone() for parameter in model.parameters())

        for checkpoints in (False, True):
            if checkpoints:
                model.gradient_checkpointing_enable()
            for attention in ("sdpa", "eager"):
                model.set_attn_implementation(attention)
                with self.subTest(attention, checkpoints=checkpoints), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
                    off, on = step(None), step(lambda: g.request(prompt_tokens=1))
                    self.assertTrue(all(torch.equal(a, b) for a, b in zip(off, on)))

    def test_checkpoints_while_it_generates(self) -> None:
        model = tiny.model("llama")
        model.gradient_checkpointing_enable()
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with g.request() as r:
                r.tokens(model.generate(**tiny.inputs("llama"), **tiny.GREEDY), tiny.TEXTS)
            self.assertIsNone(r.answer.error)
            model.train()  # then transformers leaves the cache out, and each step begins anew
            with self.assertRaisesRegex(gaze.RequestError, "another answer"):
                with g.request():
                    model.generate(**tiny.inputs("llama"), **tiny.GREEDY)

    def test_compiled_after_attach(self) -> None:
        model = tiny.model("llama")
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            compiled = torch.compile(model, backend="eager")
            with self.assertRaisesRegex(gaze.RequestError, "torch.compile wrapped it after attach"):
                with g.request():
                    compiled(input_ids=IDS)
            with g.request(inputs={"input_ids": IDS}) as r:
                compiled(input_ids=IDS)
                r.tokens([3], tiny.TEXTS)
            self.assertIsNone(r.answer.error)
            model.model.layers[0].compile(backend="eager")  # a part of it
            with g.request() as r:
                r.tokens(model.generate(**tiny.inputs("llama"), **tiny.GREEDY), tiny.TEXTS)
            self.assertIsNone(r.answer.error)

    def test_steps_that_generate_compiles(self) -> None:
        frames = []

        def backend(graph: torch.fx.GraphModule, examples: list, **options: object) -> Callable:
            frames.append(graph)
            return graph.forward

        how = transformers.CompileConfig(backend=backend, fullgraph=False)
        how._compile_all_devices = True  # else on a GPU alone
        model = tiny.model("llama")
        given = dict(**tiny.inputs("llama"), **tiny.GREEDY, cache_implementation="static")
        with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with g.request() as plain:
                self.assertIn("get_compiled_call", vars(model))
                self.assertNotIn("gaze", str(pickle.dumps(model)))
                for clone in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
                    self.assertIs(clone.get_compiled_call.__self__, clone)
                plain.tokens(model.generate(**given), tiny.TEXTS)
            off = model.generate(**given, compile_config=how)
            compiled = len(frames)
            self.assertGreater(compiled, 0)
            with g.request() as r:
                on = model.generate(**given, compile_config=how)
                r.tokens(on, tiny.TEXTS)
            self.assertEqual(len(frames), compiled)
            self.assertNotIn("get_compiled_call", vars(model))
        self.assertTrue(torch.equal(off, on))
        self.assertIsNone(r.answer.error)
        np.testing.assert_allclose(r.maps, plain.maps, atol=1e-3)

    def test_encoders_and_heads_that_make_no_words(self) -> None:
        sizes = dict(vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
        config = transformers.BertConfig(**sizes)
        for kind in (transformers.BertModel, transformers.BertForSequenceClassification):
            torch.manual_seed(0)
            model = kind._from_config(config, attn_implementation="sdpa").eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.dim() > 1:
                        torch.nn.init.normal_(parameter, std=0.25)
            eager = kind._from_config(config, attn_implementation="eager").eval()
            eager.load_state_dict(model.state_dict())
            with torch.no_grad(), gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
                with g.request() as r:
                    model(input_ids=IDS)
                    r.tokens(IDS, tiny.TEXTS)
                expected = torch.stack(eager(input_ids=IDS, output_attentions=True).attentions).mean((0, 2))[0]
            self.assertIsNone(r.answer.error)
            np.testing.assert_allclose(r.maps, expected, atol=3e-4)
            self.assertEqual(r.answer.text, "word5 word6 word7 word8 word9")


if __name__ == "__main__":
    unittest.main(verbosity=2)
