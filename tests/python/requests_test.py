# SPDX-License-Identifier: MIT
"""Requests that a host uses wrongly, or in an unusual place: a clear error, nothing mixed, and the host's answer as it was."""
import asyncio
import contextlib
import copy
import io
import os
import pickle
import tempfile
import threading
import unittest

import support

support.need_library()
support.need("transformers")

import numpy as np
import torch

import gaze
import tiny_models as tiny


class Requests(support.Case):
    @classmethod
    def setUpClass(cls) -> None:
        """What a request leaves that had the model to itself."""
        model = tiny.model("t5")
        with tempfile.TemporaryDirectory() as out_dir, torch.no_grad(), gaze.attach(model, capture=True, out_dir=out_dir) as g:
            with g.request() as r:
                r.tokens(model.generate(**tiny.inputs("t5"), **tiny.GREEDY), tiny.TEXTS)
            cls.maps = r.maps

    def setUp(self) -> None:
        super().setUp()
        self.model = tiny.model("t5")
        self.inputs = tiny.inputs("t5")
        torch.set_grad_enabled(False)
        self.addCleanup(torch.set_grad_enabled, True)
        self.expected = self.answer()
        self.g = gaze.attach(self.model, capture=True, out_dir=self.out_dir)
        self.addCleanup(self.g.shutdown)

    def answer(self) -> torch.Tensor:
        return self.model.generate(**self.inputs, **tiny.GREEDY)

    def check_whole(self, request: gaze.Request) -> None:
        self.assertIsNone(request.answer.error)
        np.testing.assert_array_equal(request.maps, self.maps)
        self.assertEqual([token["id"] for token in request.answer.tokens], self.expected[0, -tiny.TOKENS:].tolist())

    def test_an_exception_discards_the_request_and_passes_through(self) -> None:
        with self.assertRaisesRegex(KeyError, "of the host"):
            with self.g.request() as r:
                self.answer()
                raise KeyError("of the host")
        self.assertIsNone(r.answer)
        self.g.flush()
        self.assertEqual(self.bundles(), [])
        with self.g.request() as r:
            r.tokens(self.answer(), tiny.TEXTS)
        self.check_whole(r)

    def test_an_exception_inside_the_model(self) -> None:
        with self.assertRaises(Exception):
            with self.g.request():
                self.model(input_ids=torch.tensor([[10 ** 6]]), decoder_input_ids=torch.tensor([[0]]))
        with self.g.request() as r:
            r.tokens(self.answer(), tiny.TEXTS)
        self.check_whole(r)

    def test_tasks_that_interleave_are_refused_both(self) -> None:
        outs, requests = [], []

        async def ask(turn: asyncio.Event, done: asyncio.Event) -> None:
            with self.g.request() as r:
                requests.append(r)
                await turn.wait()
                outs.append(self.answer())
                done.set()
                await asyncio.sleep(0)

        async def main() -> list:
            first, second = asyncio.Event(), asyncio.Event()
            both = [asyncio.create_task(ask(first, second)), asyncio.create_task(ask(second, asyncio.Event()))]
            await asyncio.sleep(0)
            first.set()
            return await asyncio.gather(*both, return_exceptions=True)

        for problem in asyncio.run(main()):
            self.assertIsInstance(problem, gaze.RequestError)
            self.assertRegex(str(problem), "takes? turns|did not open it")
        self.assertEqual(len(outs), 2)
        for out in outs:
            self.assertTrue(torch.equal(out, self.expected))
        self.g.flush()
        self.assertEqual(self.bundles(), [])

    def test_tasks_whose_calls_do_not_overlap_are_kept_apart(self) -> None:
        async def ask(name: str) -> gaze.Request:
            await asyncio.sleep(0)
            with self.g.request(id=name) as r:
                r.tokens(self.answer(), tiny.TEXTS)
            await asyncio.sleep(0)
            return r

        async def main() -> list:
            return await asyncio.gather(*(ask(f"task {number}") for number in range(4)))

        for number, request in enumerate(asyncio.run(main())):
            self.check_whole(request)
            self.assertEqual(request.answer.id, f"task {number}")

    def test_a_call_of_nobodys_while_a_task_waits(self) -> None:
        async def ask(turn: asyncio.Event) -> None:
            with self.g.request():
                await turn.wait()
                self.answer()

        async def main() -> tuple:
            turn = asyncio.Event()
            task = asyncio.create_task(ask(turn))
            await asyncio.sleep(0)
            out = self.answer()  # by no request
            turn.set()
            return out, (await asyncio.gather(task, return_exceptions=True))[0]

        out, problem = asyncio.run(main())
        self.assertTrue(torch.equal(out, self.expected))
        self.assertIsInstance(problem, gaze.RequestError)

    def test_generators_that_interleave(self) -> None:
        def ask():
            with self.g.request():
                yield
                yield self.answer()

        first, second = ask(), ask()
        next(first), next(second)
        self.assertTrue(torch.equal(next(first), self.expected))
        with self.assertRaises(gaze.RequestError):
            next(first)
        with self.assertRaises(gaze.RequestError):
            next(second), next(second)
        self.g.flush()
        self.assertEqual(self.bundles(), [])

    def test_a_call_while_a_generator_stands_still(self) -> None:
        def ask():
            with self.g.request():
                yield self.answer()

        stream = ask()
        next(stream)
        self.assertTrue(torch.equal(self.answer(), self.expected))
        with self.assertRaisesRegex(gaze.RequestError, "generator"):
            next(stream)

    def test_a_generator_that_calls_the_model_itself(self) -> None:
        requests = []

        def ask():
            with self.g.request() as r:
                requests.append(r)
                yield "begun"
                r.tokens(self.answer(), tiny.TEXTS)
                yield "answered"

        self.assertEqual(list(ask()), ["begun", "answered"])
        self.check_whole(requests[0])

    def test_a_context_manager_of_the_hosts_own(self) -> None:
        @contextlib.contextmanager
        def traced():
            with self.g.request() as r:
                yield r

        with traced() as r:
            r.tokens(self.answer(), tiny.TEXTS)
        self.check_whole(r)
        with contextlib.ExitStack() as stack:
            r = stack.enter_context(self.g.request())
            r.tokens(self.answer(), tiny.TEXTS)
        self.check_whole(r)

    def test_a_generator_that_is_given_up(self) -> None:
        def ask():
            with self.g.request():
                yield

        stream = ask()
        next(stream)
        del stream
        with self.g.request() as r:
            r.tokens(self.answer(), tiny.TEXTS)
        self.check_whole(r)

    def test_threads_have_their_own(self) -> None:
        requests: dict[int, gaze.Request] = {}
        problems: list[Exception] = []

        def ask(number: int) -> None:
            try:
                with torch.no_grad(), self.g.request(id=f"thread {number}") as r:
                    r.tokens(self.answer(), tiny.TEXTS)
                requests[number] = r
            except Exception as problem:
                problems.append(problem)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        [each.start() for each in threads]
        [each.join() for each in threads]
        self.assertEqual(problems, [])
        for number, request in requests.items():
            self.check_whole(request)
            self.assertEqual(request.answer.id, f"thread {number}")

    def test_tasks_that_hand_their_calls_to_threads(self) -> None:
        def ask(name: str) -> gaze.Request:
            with torch.no_grad(), self.g.request(id=name) as r:
                r.tokens(self.answer(), tiny.TEXTS)
            return r

        async def main() -> list[gaze.Request]:
            return await asyncio.gather(*(asyncio.to_thread(ask, f"{number}") for number in range(6)))

        for number, request in enumerate(asyncio.run(main())):
            self.check_whole(request)
            self.assertEqual(request.answer.id, f"{number}")

    def test_one_inside_another(self) -> None:
        with self.g.request() as outer:
            with self.g.request() as inner:
                inner.tokens(self.answer(), tiny.TEXTS)
            outer.tokens(self.answer(), tiny.TEXTS)
        self.check_whole(inner)
        self.check_whole(outer)

    def test_closed_on_another_thread(self) -> None:
        request = self.g.request()
        request.__enter__()
        self.answer()
        problems: list[Exception] = []

        def close() -> None:
            try:
                request.__exit__(None, None, None)
            except gaze.RequestError as problem:
                problems.append(problem)

        thread = threading.Thread(target=close)
        thread.start()
        thread.join()
        self.assertRegex(str(problems[0]), "another")
        with self.g.request() as r:
            r.tokens(self.answer(), tiny.TEXTS)
        self.check_whole(r)

    def test_a_forked_worker(self) -> None:
        with self.g.request() as r:
            child = os.fork()
            if child == 0:
                try:
                    same = torch.equal(self.answer(), self.expected)
                    r.tokens([1, 2], tiny.TEXTS)
                    with self.g.request() as inner:
                        same = same and torch.equal(self.answer(), self.expected) and not inner.active
                    os._exit(0 if same and inner.answer is None else 1)
                finally:
                    os._exit(2)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            r.tokens(self.answer(), tiny.TEXTS)
        self.check_whole(r)
        self.assertEqual(len(self.bundles()), 1)

    def test_calls_that_only_trace(self) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.fx.experimental.proxy_tensor import make_fx

        torch.manual_seed(0)
        q = torch.randn(3, 1, 4, 5, 8)
        one = q[0].clone()
        attend = lambda q: torch.nn.functional.scaled_dot_product_attention(q, q, q)
        ids, decoder = self.inputs["input_ids"], torch.tensor([[0, 3]])
        plain = self.model(input_ids=ids, decoder_input_ids=decoder, use_cache=False).logits
        each = torch.func.vmap(attend)(q)

        class Logits(torch.nn.Module):
            def __init__(self, model):
                super().__init__()
                self.model = model

            def forward(self, ids, decoder):
                return self.model(input_ids=ids, decoder_input_ids=decoder, use_cache=False).logits

        with self.g.request() as r:
            self.assertTrue(r.active)
            self.assertTrue(torch.equal(torch.func.vmap(attend)(q), each))
            with FakeTensorMode() as mode:
                self.assertEqual(attend(mode.from_tensor(one)).shape, one.shape)
            self.assertTrue(torch.equal(make_fx(attend)(one)(one), attend(one)))
            traced = torch.jit.trace(attend, (one,))
            self.assertTrue(torch.equal(traced(one), attend(one)))
            self.assertTrue(torch.equal(torch.jit.trace(Logits(self.model), (ids, decoder), check_trace=False)(ids, decoder), plain))
            r.discard()
        self.assertNotIn("gaze", str(traced.graph))
        with self.g.request() as r:
            r.tokens(self.answer(), tiny.TEXTS)
        self.check_whole(r)

    def test_moved_to_another_type_after_attach(self) -> None:
        self.model.to(torch.bfloat16)
        expected = self.answer()
        with self.g.request() as r:
            out = self.answer()
            r.tokens(out, tiny.TEXTS)
        self.assertTrue(torch.equal(out, expected))
        self.assertIsNone(r.answer.error)
        self.assertEqual(len(r.answer.tokens), tiny.TOKENS)

    def test_a_type_that_cannot_be_captured(self) -> None:
        self.model.double()
        expected = self.answer()
        with self.g.request() as r:
            out = self.answer()
            r.tokens(out, tiny.TEXTS)
        self.assertTrue(torch.equal(out, expected))
        self.assertIn("Double", r.answer.error)

    def test_a_copy_of_the_model_is_free(self) -> None:
        clone = copy.deepcopy(self.model)
        self.assertTrue(torch.equal(clone.generate(**self.inputs, **tiny.GREEDY), self.expected))
        buffer = io.BytesIO()
        torch.save(self.model, buffer)
        self.assertNotIn(b"gaze", buffer.getvalue())
        buffer.seek(0)
        self.assertTrue(torch.equal(torch.load(buffer, weights_only=False).generate(**self.inputs, **tiny.GREEDY), self.expected))
        pickle.loads(pickle.dumps(self.model))

    def test_what_is_given_wrongly(self) -> None:
        with self.assertRaisesRegex(gaze.InputError, "floats from 0 to 1"):
            self.g.request(image=torch.randn(3, 8, 8) * 3)
        with self.assertRaisesRegex(gaze.InputError, "sample rate"):
            self.g.request(sound=[0.0, 0.1])
        with self.assertRaisesRegex(gaze.InputError, "one length"):
            self.g.request(id=["a", "b"], prompt=["one"])
        with self.g.request() as r:
            with self.assertRaisesRegex(gaze.InputError, "expected ids of 1 rows"):
                self.answer()
                r.tokens([[1, 2], [3, 4]])
            with self.assertRaisesRegex(gaze.RequestError, "still open"):
                r.answer
            r.discard()
        with self.assertRaisesRegex(gaze.RequestError, "once"):
            r.__enter__()
        with self.assertRaisesRegex(gaze.AttachError, "live"):
            gaze.attach(tiny.model("llama"), capture=True, out_dir=self.out_dir)

    def test_a_batch_of_another_size(self) -> None:
        self.g.shutdown()
        model = tiny.model("llama")
        ids = torch.tensor([[5, 6], [7, 8]])
        with gaze.attach(model, capture=True, out_dir=self.out_dir) as g:
            with self.assertRaisesRegex(gaze.RequestError, "batch of 1"):
                with g.request():
                    model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **tiny.GREEDY)

    def test_after_shutdown_nothing_is_left(self) -> None:
        self.g.shutdown()
        self.assertFalse(self.model._forward_pre_hooks)
        with self.g.request() as r:
            r.tokens(self.answer(), tiny.TEXTS)
        self.assertIsNone(r.answer)
        self.assertFalse(self.g.enabled)

    def test_sampling_leaves_requests_out(self) -> None:
        self.g.shutdown()
        with gaze.attach(self.model, capture=True, out_dir=self.out_dir, sample_rate=0) as g:
            with g.request() as r:
                r.tokens(self.answer(), tiny.TEXTS)
                self.assertFalse(r.active)
            self.assertIsNone(r.answer)
            self.assertEqual(g.stats["sampled"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
