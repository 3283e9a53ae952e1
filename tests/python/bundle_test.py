# SPDX-License-Identifier: MIT
"""A real bundle as objects, and what is no bundle."""
import json
import shutil
import unittest
from pathlib import Path

import support

support.need_library()
support.need("PIL")

import numpy as np

import gaze
import sample_model as sample


class Bundle(support.Case):
    def setUp(self) -> None:
        super().setUp()
        model = sample.load()
        with gaze.attach(model, sample.PROFILE, capture=True, out_dir=self.out_dir) as g:
            with g.request(image=sample.pixels(), prompt="describe the stickers", id="b") as r:
                r.tokens(sample.answer(model)[0])
            self.answer = r.answer

    def test_what_it_says(self) -> None:
        answer = gaze.Answer(self.answer.bundle)
        facts = json.loads((answer.bundle / "request.json").read_text())
        self.assertEqual((answer.id, answer.prompt, answer.text, answer.error), ("b", "describe the stickers", facts["answer"], None))
        self.assertEqual([word.text for word in answer.words], [entry["text"] for entry in facts["words"]])
        self.assertEqual([word.verdict for word in answer.words], [entry["grounding"]["verdict"] for entry in facts["words"]])
        self.assertEqual([(word.first, word.end) for word in answer.words], [(n, n + 1) for n in range(len(answer.words))])
        self.assertEqual(answer.verdict, facts["grounding"]["verdict"])
        self.assertEqual(answer.grid, (6, 10))

    def test_its_numbers(self) -> None:
        answer = self.answer
        tokens = len(answer.words)  # each is one; the row that made the end has none
        self.assertEqual((answer.maps.shape, answer.lift.shape, answer.mass.shape), ((tokens, 6, 10), (tokens, 6, 10), (tokens,)))
        self.assertEqual(answer.word_maps.shape, (len(answer.words), 6, 10))
        np.testing.assert_allclose(answer.maps.sum((1, 2)), answer.mass, atol=1e-5)
        np.testing.assert_allclose(answer.mass, [token["mass"] for token in answer.tokens[:tokens]], atol=1e-6)
        for word, map_rc in zip(answer.words, answer.word_maps):
            row, col = np.unravel_index(map_rc.argmax(), map_rc.shape)
            self.assertTrue(abs(word.hot_point[0] / 96 - col - 0.5) <= 1 and abs(word.hot_point[1] / 96 - row - 0.5) <= 1)

    def test_its_file_is_read_as_others_read_it(self) -> None:
        numpy_file = support.need("safetensors.numpy")
        theirs = numpy_file.load_file(self.answer.bundle / "maps.safetensors")
        self.assertEqual(theirs.keys(), self.answer.tensors.keys())
        for name, values in theirs.items():
            np.testing.assert_array_equal(values, self.answer.tensors[name])

    def test_its_pictures_and_page(self) -> None:
        self.assertEqual(self.answer.overlay.size, (960, 576))
        for word in self.answer.words:
            self.assertEqual(self.answer.picture_of(word) is not None, word.content)
        frame = self.answer.frame(height=321)
        self.assertTrue(frame.startswith("<iframe srcdoc=") and 'height="321"' in frame and frame.count("<iframe") == 1)
        self.assertNotIn("<script", frame)

    def test_what_is_no_bundle(self) -> None:
        folder = Path(self.out_dir) / "copy"
        with self.assertRaisesRegex(gaze.BundleError, "cannot be read"):
            gaze.Answer(folder)
        folder.mkdir()
        for text, says in (("{", "no JSON"), ("[]", "gaze_request 1"), ('{"gaze_request": 2}', "got 2")):
            (folder / "request.json").write_text(text)
            with self.assertRaisesRegex(gaze.BundleError, says):
                gaze.Answer(folder)

    def test_numbers_that_are_damaged(self) -> None:
        folder = Path(self.out_dir) / "copy"
        shutil.copytree(self.answer.bundle, folder)
        whole = (folder / "maps.safetensors").read_bytes()
        length = int.from_bytes(whole[:8], "little")
        for damaged in (b"", whole[:5], whole[:100], whole[:-4], b"\xff" * 8 + whole[8:], whole[:8] + b"[" + whole[9:],
                        whole[:8] + whole[8:8 + length].replace(b"F32", b"Q99") + whole[8 + length:]):
            (folder / "maps.safetensors").write_bytes(damaged)
            with self.assertRaises(gaze.BundleError):
                gaze.Answer(folder).maps
        (folder / "maps.safetensors").unlink()
        self.assertIsNone(gaze.Answer(folder).maps)

    def test_a_request_that_could_not_be_drawn(self) -> None:
        model = sample.load()
        with gaze.attach(model, sample.PROFILE, capture=True, out_dir=self.out_dir) as g:
            with g.request(image=sample.PHOTO) as r:
                pass
        self.assertRegex(r.answer.error, "no_attention")
        self.assertEqual((r.words, r.maps, r.overlay, r.verdict, r.answer.report), ([], None, None, None, None))


if __name__ == "__main__":
    unittest.main(verbosity=2)
