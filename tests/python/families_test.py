# SPDX-License-Identifier: MIT
"""Families whose pictures' keys differ from request to request: maps are those of eager attention, and every cell lies where its key's pixels are.

Where a key's pixels are is measured: with vision towers that mix nothing, a spot in the middle of a cell changes the keys that look there alone.
"""
import functools
import types
import unittest

import support

support.need_library()
support.need("transformers")
support.need("PIL")

import numpy as np
import torch

import gaze
import tiny_models as tiny
import tiny_pictures as pictures
import tiny_sounds as sounds

# Of each the picture's height and width.
CASES = (("llava", (40, 60)), ("vipllava", (60, 30)), ("paligemma", (40, 60)), ("gemma3", (40, 60)), ("qwen2_vl", (40, 60)), ("qwen2_5_vl", (60, 40)),
         ("llava_next", (40, 60)), ("llava_next", (90, 31)), ("llava_onevision", (40, 60)), ("llava_onevision1", (48, 64)),
         ("llava_onevision1", (50, 60)), ("internvl", (40, 60)),
         ("internvl", (30, 90)), ("internvl", (32, 32)), ("idefics3", (40, 60)), ("smolvlm", (70, 40)), ("smolvlm", (30, 90)), ("qwen3_vl", (40, 60)),
         ("mllama", (40, 60)), ("mllama", (70, 20)), ("vit", (40, 60)), ("deit", (60, 40)), ("beit", (40, 60)), ("swin", (40, 60)),
         ("donut", (40, 60)), ("donut", (60, 40)))


def picture(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 190, (*size, 3), dtype=np.uint8)


@functools.cache
def reference(name: str, size: tuple[int, int]) -> np.ndarray:
    """[tokens, keys]: the mean over heads and layers that an eager copy of the model returns itself."""
    eager = pictures.model(name, "eager")
    with torch.no_grad():
        out = eager.generate(**pictures.inputs(name, eager, picture(size)), **tiny.GREEDY, output_attentions=True, return_dict_in_generate=True)
    steps = out.cross_attentions if eager.config.is_encoder_decoder else out.attentions
    # Every second layer of this Mllama looks at the picture; the first of this Gemma has a window.
    layers = slice(1, None, 2) if name in ("mllama", "gemma3") else slice(None)
    rows = [np.stack([layer[0, :, -1, :].mean(0).numpy() for layer in step[layers]]).mean(0) for step in steps]
    return np.stack([np.pad(row, (0, max(map(len, rows)) - len(row))) for row in rows])


def centres(facts: dict) -> np.ndarray:
    """[rows, cols, 2]: row and column, in the shown picture's pixels, of each cell's middle; by the formulas of docs/geometry.md."""
    geometry, shown = facts["geometry"], facts["picture"]
    tiles = geometry.get("tiles") or {"rows": 1, "cols": 1}
    whole = {"height": geometry["rows"] * tiles["rows"] + 2 * geometry["cut_rows"],
             "width": geometry["cols"] * tiles["cols"] + 2 * geometry["cut_cols"]}
    scale = min(geometry["input_width"] / shown["width"], geometry["input_height"] / shown["height"])
    if geometry["fit"] == "centre_crop":
        scale = (geometry["resize_shorter"] or max(geometry["input_width"], geometry["input_height"])) / min(shown["width"], shown["height"])
    axes = []
    for side, cut in (("height", "cut_rows"), ("width", "cut_cols")):
        cells, given = whole[side], geometry[f"input_{side}"]
        scaled = given if geometry["fit"] == "resize" else round(shown[side] * scale)
        left = (given - scaled) // 2
        middle = np.arange(cells - 2 * geometry[cut]) + geometry[cut] + 0.5
        axes.append((middle * given / cells - left) * shown[side] / scaled)
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


def changed_keys(made: torch.nn.Module, name: str, plain: np.ndarray, before: torch.Tensor, spot: np.ndarray) -> np.ndarray:
    """The keys that a bright spot of a picture changes, strongest first."""
    row, col = int(spot[0]), int(spot[1])
    marked = plain.copy()
    marked[max(0, row - 1):row + 2, max(0, col - 1):col + 2] = 255
    change = (pictures.seen_features(made, pictures.inputs(name, made, marked)) - before).norm(dim=-1).numpy()
    order = np.argsort(-change)
    return order[change[order] > 0]


def thumbnail_parts(rows: int, coarse: int, low: float, high: float) -> np.ndarray:
    """[rows, coarse]: which part of each of the coarse pieces of [low, high) lies on each row."""
    edges = low + (high - low) * np.arange(coarse + 1) / coarse
    parts = np.array([[max(0, min(edges[j + 1], i + 1) - max(edges[j], i)) for j in range(coarse)] for i in range(rows)])
    return parts / parts.sum(0)


class Families(support.Case):
    def capture(self, made: torch.nn.Module, name: str, size: tuple[int, int], told: bool) -> gaze.Answer:
        given = pictures.inputs(name, made, picture(size))
        with torch.no_grad():
            off = made.generate(**given, **tiny.GREEDY)
            processor = types.SimpleNamespace(image_processor=types.SimpleNamespace(min_patches=1, max_patches=6)) if name == "internvl" else None
            profile = gaze.profile_of(made, processor) | {"heads": {"reduce": "mean"}, "layers": {"reduce": "mean"}}
            with gaze.attach(made, profile, processor=processor, capture=True, out_dir=self.out_dir) as g:
                with g.request(image=picture(size), inputs=given if told else None) as r:
                    on = made.generate(**given, **tiny.GREEDY)
                    r.tokens(on, tiny.TEXTS)
                answer = r.answer
        self.assertTrue(torch.equal(off, on))
        self.assertIsNone(answer.error)
        return answer

    def expected(self, facts: dict, cells: np.ndarray, rows_tk: np.ndarray) -> np.ndarray:
        """[tokens, rows, cols] of keys that were found by their pixels, and of the thumbnail spread over the picture."""
        maps = rows_tk[:, cells]
        geometry, thumbnail = facts["geometry"], facts["geometry"].get("thumbnail")
        if thumbnail is None:
            return maps
        keys = thumbnail["rows"] * thumbnail["cols"]
        span = geometry["spans"][geometry["picture"]]
        first = span["first_key"] if thumbnail["at"] == "first" else span["first_key"] + span["keys"] - keys
        small = rows_tk[:, first:first + keys].reshape(-1, thumbnail["rows"], thumbnail["cols"])
        middles = centres(facts)
        axes = []
        for axis, (side, coarse) in enumerate((("height", thumbnail["rows"]), ("width", thumbnail["cols"]))):
            line = middles[:, 0, 0] if axis == 0 else middles[0, :, 1]
            step = line[1] - line[0]  # pixels of a cell
            low = 0.5 - line[0] / step
            # Of a picture whose borders were cut it covers what the grid does, which is half a cell off at most.
            ends = (0, len(line)) if geometry["fit"] == "centre_crop" else (low, low + facts["picture"][side] / step)
            axes.append(thumbnail_parts(len(line), coarse, *ends))
        return maps + np.einsum("ri,tij,cj->trc", axes[0], small, axes[1])

    def check(self, name: str, size: tuple[int, int]) -> float:
        answer = self.capture(pictures.model(name), name, size, told=False)
        eager = self.capture(pictures.model(name, "eager"), name, size, told=True)
        made = pictures.without_mixing(pictures.model(name))
        plain = picture(size)
        before = pictures.seen_features(made, pictures.inputs(name, made, plain))
        middles = centres(answer.facts)
        self.assertEqual(middles.shape[:2], answer.maps.shape[1:])
        geometry = answer.facts["geometry"]
        cells = np.full(middles.shape[:2], -1)
        for row, col in np.ndindex(cells.shape):
            inside = (middles[row, col] >= 0).all() and middles[row, col, 0] < size[0] and middles[row, col, 1] < size[1]
            if inside:  # what is padding has no pixels to change
                keys = changed_keys(made, name, plain, before, middles[row, col])
                cells[row, col] = next(key for key in keys if not self.is_thumbnail(key, geometry))
                self.check_thumbnail(keys, geometry, middles[row, col] / size)
        found = cells[cells >= 0]
        self.assertEqual(len(set(found.tolist())), len(found), "two cells have one key")
        self.assertGreater(len(found), 3)
        rows_tk = reference(name, size)
        expected = self.expected(answer.facts, np.maximum(cells, 0), rows_tk)
        self.assertGreater(float(expected[:, cells >= 0].std()), 5e-4, "the reference is flat: it would tell nothing")
        worst = 0.0
        for each in (answer, eager):
            off = np.abs(each.maps - expected)[:, cells >= 0].max()
            worst = max(worst, float(off))
            self.assertLess(off, 1e-4)
        return worst

    @staticmethod
    def is_thumbnail(key: int, geometry: dict) -> bool:
        thumbnail = geometry.get("thumbnail")
        if thumbnail is None:
            return False
        span = geometry["spans"][geometry["picture"]]
        place, keys = key - span["first_key"], thumbnail["rows"] * thumbnail["cols"]
        return place < keys if thumbnail["at"] == "first" else place >= span["keys"] - keys

    def check_thumbnail(self, keys: np.ndarray, geometry: dict, at: np.ndarray) -> None:
        """The strongest of its keys that a spot changed is that of the spot's place in the picture, or a neighbour's where it lies at a border."""
        changed = next((key for key in keys if self.is_thumbnail(key, geometry)), None)
        if changed is None:
            return
        thumbnail, span = geometry["thumbnail"], geometry["spans"][geometry["picture"]]
        rows, cols = thumbnail["rows"], thumbnail["cols"]
        number = changed - span["first_key"] - (0 if thumbnail["at"] == "first" else span["keys"] - rows * cols)
        off = np.abs(np.array([number // cols, number % cols]) + 0.5 - at * (rows, cols))
        self.assertTrue((off < 1.0).all(), f"{number} of {rows} x {cols} for {at}")

    def places(self, name: str, given: dict, size: tuple[int, int], picture_number: int) -> dict:
        """What a request says of the picture."""
        made = pictures.model(name)
        with torch.no_grad(), gaze.attach(made, capture=True, out_dir=self.out_dir) as g:
            with g.request(image=picture(size), picture=picture_number, inputs=given) as r:
                r.tokens(made.generate(**given, **tiny.GREEDY), tiny.TEXTS)
        self.assertIsNone(r.answer.error)
        return r.answer.facts["geometry"]

    def test_several_pictures_in_a_prompt(self) -> None:
        sizes = ((40, 60), (60, 40))
        for name, joined in (("llava_next", "pixel_values image_sizes"), ("idefics3", ""), ("mllama", "")):
            made = pictures.model(name)
            each = [pictures.inputs(name, made, picture(size)) for size in sizes]
            ids = torch.cat([each[0]["input_ids"], each[1]["input_ids"]], 1)
            given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            if name == "mllama":
                given |= {key: torch.cat([each[0][key], each[1][key]], 1) for key in ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask")}
                given["cross_attention_mask"] = given["aspect_ratio_mask"][:, None].repeat(1, ids.shape[1], 1, 1)
            else:
                keys, along = (("pixel_values", "image_sizes"), 0) if name == "llava_next" else (("pixel_values", "pixel_attention_mask"), 1)
                given |= {key: torch.cat([each[0][key], each[1][key]], along) for key in keys}
            for number, size in enumerate(sizes):
                with self.subTest(name, number=number):
                    alone = self.places(name, each[number], size, 0)
                    together = self.places(name, given, size, number)
                    self.assertEqual(len(together["spans"]), 2)
                    self.assertEqual(together["spans"][number]["keys"], alone["spans"][0]["keys"])
                    for field in ("rows", "cols", "tiles", "thumbnail", "fit", "input_width", "input_height"):
                        self.assertEqual(together.get(field), alone.get(field))

    def test_several_pictures_that_are_shown_once(self) -> None:
        whole = [pictures._resized(picture((40, 60)), (16, 16), keep=False)[None] for _ in range(2)]
        ids = torch.tensor([[5, *[tiny.IMAGE] * 17, 6, *[tiny.IMAGE] * 17, 7]])
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.cat(whole),
                 "image_sizes": torch.tensor([[40, 60]] * 2), "batch_num_images": torch.tensor([2])}
        geometry = self.places("llava_onevision", given, (40, 60), 1)
        self.assertEqual((geometry["rows"], geometry["cols"], geometry["trailing"], geometry["fit"]), (4, 4, 1, "resize"))
        self.assertEqual(geometry["first_key"], 19)

    def test_what_cannot_be_told_is_refused(self) -> None:
        def refused(name: str, words: str, spoil, size=(40, 60), told=True, shown=(40, 60)) -> None:
            made = pictures.model(name)
            given = pictures.inputs(name, made, picture(size))
            spoil(given)
            with self.subTest(name, words=words), torch.no_grad(), gaze.attach(made, capture=True, out_dir=self.out_dir) as g:
                with self.assertRaisesRegex(gaze.Error, words):
                    with g.request(image=picture(shown) if shown else None, inputs=given if told else None):
                        made.generate(**given, **tiny.GREEDY)

        refused("llava_next", "is it the picture that the processor was given", lambda given: given, told=False, shown=(20, 60))
        refused("llava_next", "goes by its size", lambda given: given, told=False, shown=None)
        refused("internvl", "is it the picture that the processor was given", lambda given: given, shown=(40, 40))
        refused("internvl", "by whose proportions", lambda given: given, shown=None)
        refused("idefics3", "which surrounds pictures", lambda given: given["input_ids"][0].__setitem__(7, 50))
        refused("idefics3", "rows of as many tiles", lambda given: given["input_ids"][0].__setitem__(slice(7, 9), torch.tensor([50, pictures.FAKE])))
        refused("idefics2", "give the request its inputs", lambda given: given, told=False)
        refused("idefics2", "padded to the size", lambda given: given["pixel_attention_mask"][..., -1].fill_(0))

    def test_latents(self) -> None:
        # Of each where its latents are in the prompt, the picture that is shown, and what the resampler's layers are called.
        for name, first, latents, shown, across in (("idefics2", 2, 3, (40, 56), "perceiver_resampler.layers.%d.self_attn"),  # 30 pixels: 7 patches
                                                    ("blip-2", 0, 5, (40, 60), "qformer.encoder.layer.%d.crossattention.attention"),
                                                    ("instructblip", 0, 5, (40, 60), "qformer.encoder.layer.%d.crossattention.attention")):
            with self.subTest(name):
                self.check_latents(name, (40, 60), first, latents, shown, across)

    def check_latents(self, name: str, size: tuple[int, int], first: int, latents: int, shown: tuple[int, int], across: str) -> None:
        answers = [self.capture(pictures.model(name, attention), name, size, told=True) for attention in ("sdpa", "eager")]
        eager, rows_lk, steps = pictures.model(name, "eager"), [], []
        modules = {module: number for number in range(2) for module_name, module in eager.named_modules() if module_name.endswith(across % number)}
        for module in modules:
            module.register_forward_hook(lambda module, args, output: rows_lk.append(output[1][0].mean(0)))
        decoder = eager.language_model if hasattr(eager, "language_model") else eager
        given = pictures.inputs(name, eager, picture(size))
        for layer in (each for each_name, each in decoder.named_modules() if each_name.endswith("self_attn") and "layers" in each_name):
            if not any(part in type(layer).__name__ for part in ("Vision", "Perceiver")):
                layer.register_forward_hook(lambda module, args, output: steps.append(output[1][0, :, -1, first:first + latents].mean(0)))
        with torch.no_grad():
            eager.generate(**given, **tiny.GREEDY)
        rows_tl = torch.stack(steps).reshape(tiny.TOKENS, 2, latents).mean(1).numpy()
        made = pictures.without_mixing(pictures.model(name))
        before, facts = pictures.seen_features(made, given), answers[0].facts
        self.assertEqual((facts["picture"]["height"], facts["picture"]["width"]), shown)
        cells = np.array([[changed_keys(made, name, picture(size), before, spot)[0] for spot in row] for row in centres(facts)])
        self.assertEqual(len(set(cells.ravel().tolist())), cells.size)
        seen_lc = torch.stack(rows_lk).mean(0).numpy()[:, cells].reshape(latents, -1)
        expected = (rows_tl @ (seen_lc / seen_lc.sum(1, keepdims=True))).reshape(-1, *cells.shape)
        self.assertGreater(float(expected.std()), 1e-3)
        for answer in answers:
            np.testing.assert_allclose(answer.maps, expected, atol=1e-4)
        print(name, f"{np.abs(answers[0].maps - expected).max():.1e}")

    def test_sounds(self) -> None:
        features = torch.randn(20, sounds.FRAMES, generator=torch.Generator().manual_seed(2))
        samples = np.random.default_rng(0).standard_normal(sounds.FRAMES * 160).astype(np.float32) / 10
        for name, keys in sounds.KEYS.items():
            given, frames = sounds.inputs(name, features), sounds.FRAMES_OF_KEY[name]
            eager = sounds.model(name, "eager")
            with torch.no_grad():
                out = eager.generate(**given, **tiny.GREEDY, output_attentions=True, return_dict_in_generate=True)
            expected = np.stack([torch.stack([layer[0, :, -1, 2:2 + keys].mean(0) for layer in step]).mean(0).numpy() for step in out.attentions])
            self.assertGreater(float(expected.std()), 1e-2)
            for attention in ("sdpa", "eager"):
                with self.subTest(name, attention=attention):
                    made = sounds.model(name, attention)
                    profile = gaze.profile_of(made) | {"heads": {"reduce": "mean"}, "layers": {"reduce": "mean"}}
                    with torch.no_grad(), gaze.attach(made, profile, capture=True, out_dir=self.out_dir) as g:
                        with g.request(sound=(samples, 16000)) as r:
                            r.tokens(made.generate(**given, **tiny.GREEDY), tiny.TEXTS)
                    self.assertIsNone(r.answer.error)
                    self.assertEqual(r.answer.facts["geometry"]["time"], {"seconds_per_key": frames / 100, "first_seconds": 0.0})
                    np.testing.assert_allclose(r.maps[:, :keys], expected, atol=1e-4)
            made = pictures.without_mixing(sounds.model(name))
            before = pictures.seen_features(made, given)
            for key in range(keys):  # a key is that of the frames that change it most
                marked = features.clone()
                marked[:, key * frames + frames // 4:key * frames + 3 * frames // 4] += 3
                change = (pictures.seen_features(made, sounds.inputs(name, marked)) - before).norm(dim=-1)
                self.assertEqual(int(change.argmax()) - 2, key)

    def test_every_cell_lies_where_its_keys_pixels_are(self) -> None:
        worst = {}
        for name, size in CASES:
            with self.subTest(name, size=size):
                worst[name] = max(worst.get(name, 0.0), self.check(name, size))
        print("worst differences:", {name: f"{off:.1e}" for name, off in worst.items()})


if __name__ == "__main__":
    unittest.main(verbosity=2)
