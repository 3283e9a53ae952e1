# SPDX-License-Identifier: MIT
"""The sample model as a TorchScript module: the same bytes with capture off and on, and the right words."""
import asyncio
import copy
import unittest

import support

support.need_library()
support.need("PIL")

import torch

import gaze
import sample_model as sample


class Scripted(support.Case):
    def attach(self, model, **how) -> gaze.Capture:
        g = gaze.attach(model, sample.PROFILE, out_dir=self.out_dir, **{"capture": True} | how)
        self.addCleanup(g.shutdown)
        return g

    def test_the_answer_stays_and_its_words_are_there(self) -> None:
        for form in ("sdpa", "softmax"):
            with self.subTest(form):
                off = sample.answer(sample.load(form))
                model = sample.load(form)
                g = self.attach(model)
                with g.request(image=sample.pixels(), prompt="describe the stickers", id=form, attributes={"tenant": "a"}) as r:
                    on = sample.answer(model)
                    r.tokens(on[0])
                self.assertEqual(on, off)
                self.assertEqual([word.text for word in r.words], sample.words_of(on[0]))
                self.assertEqual(r.answer.id, form)
                self.assertEqual(r.answer.facts["attributes"]["tenant"], "a")
                self.assertEqual(r.answer.verdict, "grounded")
                self.assertEqual(r.maps.shape, (len(r.words), 6, 10))
                self.assertEqual(r.overlay.size, (960, 576))

    def test_a_method_that_ran_before_attach(self) -> None:
        model = sample.load()
        off = sample.answer(model)
        g = self.attach(model)
        with g.request(image=sample.PHOTO) as r:
            on = sample.answer(model)
            r.tokens(on[0])
        self.assertEqual(on, off)
        self.assertEqual([word.text for word in r.words], sample.words_of(on[0]))

    def test_options_as_text(self) -> None:
        for options, files in (({"format": "png", "pictures": "overlay"}, {"overlay.png"}), ({"delivery": "map"}, set())):
            with self.subTest(options):
                model = sample.load()
                with self.attach(model, options=options) as g:
                    with g.request(image=sample.PHOTO) as r:
                        r.tokens(sample.answer(model)[0])
                    self.assertEqual({path.name for path in r.bundle.glob("overlay.*")}, files)
        for options, says in (({"colourmap": "turbo"}, 'got "colourmap". The nearest one is colormap'), ({"format": "gif"}, 'format: expected png, jpeg or webp, got "gif"'),
                              ({"per_second": "-1"}, "per_second: expected")):
            with self.subTest(options), self.assertRaisesRegex(gaze.Error, says):
                self.attach(sample.load(), options=options)

    def test_who_is_captured(self) -> None:
        model = sample.load()
        g = self.attach(model, options={"ids": "named-*", "keep": "all"}, sample_rate=0)

        def ask(captured: bool, **spec) -> None:
            with g.request(image=sample.PHOTO, **spec) as r:
                r.tokens(sample.answer(model)[0])
            self.assertEqual(r.bundle is not None, captured, spec)
        ask(False)
        ask(True, capture=True)
        ask(True, id="named-1")
        ask(False, id="named-2", capture=False)
        self.assertEqual(g.control()["ids"], "named-*")
        self.assertEqual(g.control(next=1, ids="")["next"], "1")
        ask(True)
        ask(False)
        self.assertEqual((g.control(capture=False, sample_rate=1)["capture"], g.control()["sample_rate"]), ("off", "1"))
        ask(False, capture=True)
        g.control(capture=True)
        with g.request(image=sample.PHOTO) as r:
            r.tokens(sample.answer(model)[0])
            r.opt_out()
        self.assertIsNone(r.bundle)
        self.assertEqual(g.stats["dropped_withdrawn"], 1)
        self.assertIn("gaze_requests_written_total{model=", gaze.metrics_text())
        for wrong in ({"sample_rate": 2}, {"colour": "red"}, {"ids": "a\nsample_rate = 1"}):
            with self.subTest(wrong), self.assertRaisesRegex(gaze.InputError, "control: "):
                g.control(**wrong)

    def test_rows_that_are_captured(self) -> None:
        model = sample.load()
        g = self.attach(model)
        with g.request(image=[sample.PHOTO] * 2, id=["kept", "left"], capture=[None, False]) as r:
            picture_bchw = torch.zeros(2, 3, 96, 160)
            r.tokens(model.generate(picture_bchw, torch.tensor([[1, 3, 4, 5, 11]] * 2), 11))
        self.assertEqual([answer is not None for answer in r.answers], [True, False])
        with self.assertRaisesRegex(gaze.InputError, "capture"):
            g.request(image=[sample.PHOTO] * 2, id=["a", "b"], capture=[True])

    def test_texts_of_the_hosts_own(self) -> None:
        model = sample.load()
        g = self.attach(model)
        for tokenizer in (sample.WORDS, dict(enumerate(sample.WORDS)), sample.WORDS.__getitem__):
            with g.request(image=sample.PHOTO) as r:
                ids = sample.answer(model)[0]
                r.tokens(torch.tensor(ids[:-1] if ids[-1] == 2 else ids), tokenizer)
            self.assertEqual([word.text for word in r.words], sample.words_of(ids))

    def test_pictures_in_every_form_are_the_same(self) -> None:
        from PIL import Image

        model, shown = sample.load(), sample.pixels()
        g = self.attach(model)
        overlays = []
        for image in (shown, shown.numpy(), shown.permute(2, 0, 1), shown.double() / 255, Image.open(sample.PHOTO)):
            with g.request(image=image) as r:
                r.tokens(sample.answer(model)[0])
            overlays.append((r.bundle / "overlay.jpg").read_bytes())
        self.assertEqual(len(set(overlays)), 1)

    def test_off_is_inert(self) -> None:
        model = sample.load()
        g = self.attach(model, capture=None)
        self.assertFalse(g.enabled)
        with g.request(image=object(), prompt=3, id=None, sound="none") as r:
            sample.answer(model)
            r.tokens("what is it", object())
            r.label(["a"])
        self.assertEqual((r.answer, r.maps, r.overlay, r.bundle, r.verdict, r.show()), (None,) * 6)
        self.assertEqual((r.words, g.sites, g.stats), ([], [], {}))
        self.assertEqual(self.bundles(), [])

    def test_tasks_that_wait_inside_a_request(self) -> None:
        model = sample.load()
        g = self.attach(model)

        async def ask() -> None:
            with g.request(image=sample.PHOTO):
                sample.answer(model)
                await asyncio.sleep(0)

        async def apart() -> gaze.Request:
            with g.request(image=sample.PHOTO) as r:
                r.tokens(sample.answer(model)[0])
            await asyncio.sleep(0)
            return r

        with self.assertRaisesRegex(gaze.RequestError, "await"):
            asyncio.run(ask())

        async def both() -> list[gaze.Request]:
            return await asyncio.gather(apart(), apart())

        for r in asyncio.run(both()):
            self.assertEqual([word.text for word in r.words], sample.words_of(sample.answer(model)[0]))

    def test_a_generator(self) -> None:
        model = sample.load()
        g = self.attach(model)

        def ask():
            with g.request(image=sample.PHOTO):
                yield sample.answer(model)

        with self.assertRaisesRegex(gaze.RequestError, "generator"):
            list(ask())

    def test_a_profile_that_does_not_fit(self) -> None:
        model = sample.load()
        before = sample.answer(sample.load())
        with self.assertRaisesRegex(gaze.ProfileError, "nowhere"):
            gaze.attach(model, {"gaze_profile": 1, "sites": {"match": ["nowhere.*"]}}, capture=True, out_dir=self.out_dir)
        with self.assertRaisesRegex(gaze.ProfileError, "avg"):
            gaze.attach(model, {"gaze_profile": 1, "heads": {"reduce": "avg"}}, capture=True, out_dir=self.out_dir)
        with self.assertRaisesRegex(gaze.ProfileError, "missing.json"):
            gaze.attach(model, "/missing.json", capture=True, out_dir=self.out_dir)
        self.assertEqual(sample.answer(model), before)

    def test_a_model_without_attention(self) -> None:
        with self.assertRaises(gaze.AttachError):
            gaze.attach(torch.jit.script(torch.nn.Linear(2, 2)), capture=True, out_dir=self.out_dir)

    def test_a_copy_is_free(self) -> None:
        model = sample.load()
        self.attach(model)
        self.assertEqual(sample.answer(copy.deepcopy(model)), sample.answer(model))


if __name__ == "__main__":
    unittest.main(verbosity=2)
