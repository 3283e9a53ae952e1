# SPDX-License-Identifier: MIT
"""The sample model that reads stickers, and a host's loop around it."""
import hashlib
import json

import torch

from support import SAMPLES

FOLDER = SAMPLES / "models" / "stickers"
PROFILE = FOLDER / "profile.json"
WORDS = json.loads((FOLDER / "vocab.json").read_text())["words"]
PHOTO = SAMPLES / "data" / "demo" / "cup.jpg"
_BEGIN, _END, _MOST = [1, 3, 4, 5, 11], 2, 11  # describe the stickers :


def load(form: str = "sdpa") -> torch.jit.ScriptModule:
    return torch.jit.load(str(FOLDER / f"stickers_{form}.pt"))


def pixels() -> torch.Tensor:
    """uint8 [H, W, 3]."""
    import numpy as np
    from PIL import Image

    return torch.from_numpy(np.array(Image.open(PHOTO).convert("RGB")))


def answer(model: torch.jit.ScriptModule) -> tuple[list[int], str]:
    """The answer's ids, and a digest of every logit."""
    picture_bchw = (torch.nn.functional.adaptive_avg_pool2d(pixels().permute(2, 0, 1)[None].float() / 255, (96, 160)) - 0.45) / 0.27
    digest = hashlib.sha256()
    with torch.inference_mode():
        memory, cache, ids, step = model.encode(picture_bchw), [], [], torch.tensor([_BEGIN])
        while len(ids) < _MOST and (not ids or ids[-1] != _END):
            logits, cache = model.decode_step(step, memory, cache)
            digest.update(logits.numpy().tobytes())
            step = logits.argmax(-1, keepdim=True)
            ids.append(step.item())
    return ids, digest.hexdigest()


def words_of(ids: list[int]) -> list[str]:
    return [WORDS[each] for each in ids if each != _END]
