# SPDX-License-Identifier: MIT
"""A host's own code around a model of transformers in Python, with the lines that Gaze needs: `attach`, and a request around each answer."""
import sys
from pathlib import Path

import numpy as np
import torch

SOURCE = Path(__file__).resolve().parents[2]
sys.path += [str(SOURCE / "hooks" / "python"), str(SOURCE / "tests" / "python")]

import gaze  # noqa: E402
import tiny_models as tiny  # noqa: E402

PICTURE_KEYS = 9


class Model:
    def __init__(self):
        torch.set_num_threads(1)
        self.model = tiny.model("llava")
        self.gaze = gaze.attach(self.model)

    def answer(self, name: str, picture_hwc: np.ndarray, prompt: list[int]) -> list[int]:
        picture_bchw = torch.from_numpy(picture_hwc.copy()).permute(2, 0, 1)[None].float() / 255
        ids_bt = torch.tensor([[5, *[tiny.IMAGE] * PICTURE_KEYS, *prompt]])
        inputs = {"input_ids": ids_bt, "attention_mask": torch.ones_like(ids_bt),
                  "pixel_values": (torch.nn.functional.adaptive_avg_pool2d(picture_bchw, (24, 24)) - 0.45) / 0.27}
        with torch.no_grad(), self.gaze.request(id=name, image=picture_hwc, prompt="".join(tiny.TEXTS[each] for each in prompt)) as request:
            out = self.model.generate(**inputs, **tiny.GREEDY)
            request.tokens(out, tiny.TEXTS)
        return out[0, ids_bt.shape[1]:].tolist()
