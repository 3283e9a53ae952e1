# SPDX-License-Identifier: MIT
"""A host's own code around a TorchScript file. Nothing in it knows of Gaze."""
from pathlib import Path

import numpy as np
import torch

FILE = Path(__file__).resolve().parents[2] / "samples" / "models" / "stickers" / "stickers_sdpa.pt"


class Model:
    def __init__(self):
        torch.set_num_threads(1)
        self.module = torch.jit.load(str(FILE))

    def answer(self, name: str, picture_hwc: np.ndarray, prompt: list[int]) -> list[int]:
        picture_bchw = (torch.from_numpy(picture_hwc.copy()).permute(2, 0, 1)[None].float() / 255 - 0.45) / 0.27
        with torch.inference_mode():
            return self.module.generate(picture_bchw, torch.tensor([prompt]), 11)[0].tolist()
