#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What gaze says that an answer read equals eager attention, over families of language models of transformers with random weights.

Usage: text.py --gaze PROGRAM [--only NAME...] [--keep DIR]

Each model is traced with its fused or eager attention, run by `gaze run --text` over prompt and answer, and compared with the mean over
heads and layers of what the same model returns as attentions: every token's row, and the sums over three sources. Needs torch and
transformers (2.11.0 and 5.23.0 were used), and no network.
"""
import argparse
import json
import logging
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (AutoModelForCausalLM, BartConfig, BertConfig, BertModel, BartForConditionalGeneration, FalconConfig, Gemma2Config, GPT2Config, GPTNeoXConfig, LlamaConfig,
                          MistralConfig, MptConfig, OPTConfig, PhiConfig, Qwen2Config, T5Config, T5ForConditionalGeneration)

VOCABULARY, PROMPT, TOKENS, PASSAGE, PASSAGES = 64, 23, 6, 7, 3
LIMIT = 2e-3  # float16 in the file
SIZES = dict(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
LLAMA = dict(**SIZES, intermediate_size=48, max_position_embeddings=128)

DECODERS = {
    "gpt2": lambda: GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=128),
    "llama": lambda: LlamaConfig(**LLAMA, num_key_value_heads=2),
    "qwen2": lambda: Qwen2Config(**LLAMA, num_key_value_heads=1),
    "mistral, sliding window": lambda: MistralConfig(**LLAMA, num_key_value_heads=2, sliding_window=8),
    "gemma2, every other layer slides": lambda: Gemma2Config(**{**LLAMA, "num_hidden_layers": 4}, num_key_value_heads=2, head_dim=8, sliding_window=8),
    "phi": lambda: PhiConfig(**LLAMA),
    "gpt_neox": lambda: GPTNeoXConfig(**SIZES, intermediate_size=48, max_position_embeddings=128),
    "opt": lambda: OPTConfig(**SIZES, ffn_dim=48, max_position_embeddings=128, word_embed_proj_dim=32),
    "mpt, alibi": lambda: MptConfig(vocab_size=VOCABULARY, d_model=32, n_layers=2, n_heads=4, max_seq_len=128),
    "falcon, one kv head": lambda: FalconConfig(**SIZES, multi_query=True, new_decoder_architecture=False, max_position_embeddings=128),
}
EAGER_ALONE = ("gemma2, every other layer slides", "mpt, alibi")
ENCODER_DECODERS = {
    "t5": lambda: T5ForConditionalGeneration(T5Config(vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)),
    "bart": lambda: BartForConditionalGeneration(BartConfig(vocab_size=VOCABULARY, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
                                                            encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=128)),
}


class Logits(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model(input_ids=ids, use_cache=False).logits


class Masked(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model(input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0), use_cache=False).logits


class Encoded(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model(input_ids=ids).last_hidden_state


class Answers(nn.Module):
    """An encoder-decoder. With several passages each is encoded by itself, and the decoder sees all, one behind the other."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, answer: Tensor) -> Tensor:
        encoded = self.model.get_encoder()(input_ids=ids, return_dict=True).last_hidden_state
        return self.model(encoder_outputs=(encoded.reshape(1, -1, encoded.size(2)),), decoder_input_ids=answer, use_cache=False).logits


def traced(module: nn.Module, inputs: tuple, folder: Path) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, inputs, check_trace=False).save(str(folder / "model.pt"))
    torch.save(inputs, folder / "inputs.pt")


def gaze(program: str, folder: Path, profile: dict, sources: list, *flags: str) -> tuple[Tensor, dict]:
    (folder / "vocab.json").write_text(json.dumps([f" w{i}" for i in range(VOCABULARY)]))
    (folder / "profile.json").write_text(json.dumps({"gaze_profile": 1, "name": "text", "tokens": {"vocabulary": "vocab.json"}, **profile}))
    (folder / "text.json").write_text(json.dumps({"sources": sources}))
    command = [program, "run", str(folder / "model.pt"), "--inputs", str(folder / "inputs.pt"), "--text", str(folder / "text.json"), "--out", str(folder / "out"), *flags]
    ran = subprocess.run(command, capture_output=True, text=True, env={"GAZE_DELIVERY": "map", "OMP_NUM_THREADS": "1"})
    if ran.returncode:
        raise AssertionError(ran.stderr.strip()[-400:])
    bundle = next((folder / "out").glob("*/request.json")).parent
    request = json.loads((bundle / "request.json").read_text())
    if request["error"]:
        raise AssertionError(request["error"]["message"])
    return load_file(bundle / "maps.safetensors")["map_tk"].float(), json.loads((bundle / "sources.json").read_text())


def compare(name: str, got_tk: Tensor, sources: dict, want_tk: Tensor, spans: list) -> str:
    if got_tk.shape != want_tk.shape:
        raise AssertionError(f"expected rows {list(want_tk.shape)}, got {list(got_tk.shape)}")
    worst = (got_tk - want_tk).abs().max().item()
    if worst > LIMIT:
        raise AssertionError(f"rows differ by {worst:.4f}")
    if sources["notes"]:
        raise AssertionError("notes: " + "; ".join(sources["notes"]))
    told = [i for i, source in enumerate(sources["sources"]) if source["kind"] == "passage"]
    for t, token in enumerate(sources["tokens"]):
        for i, (first, end) in zip(told, spans):
            # A causal model's first token is a sink of its own.
            first = max(first, 1) if sources["answer_key"] is not None else first
            if abs(token["mass"][i] - want_tk[t, first:end].sum().item()) > 1e-4:
                raise AssertionError(f"token {t}: the mass of source {i} is {token['mass'][i]}, expected {want_tk[t, first:end].sum().item()}")
    return f"{name}: {got_tk.shape[0]} rows over {got_tk.shape[1]} keys, worst difference {worst:.1e}"


def sources_of(spans: list) -> list:
    return [{"kind": "passage", "id": f"doc-{i}", "tokens": list(span)} for i, span in enumerate(spans)]


def decoder_only(program: str, name: str, folder: Path, implementation: str) -> str:
    config = DECODERS[name]()
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation).eval()
    ids = torch.randint(3, VOCABULARY, (1, PROMPT + TOKENS - 1))
    traced(Logits(model), (ids,), folder)
    spans = [(0, 6), (6, 13), (15, PROMPT)]
    profile = {"sites": {"match": ["*"]}, "text": {"argument": {"forward": 0}}}
    got_tk, sources = gaze(program, folder, profile, sources_of(spans), "--prompt-tokens", str(PROMPT))
    eager = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    eager.load_state_dict(model.state_dict())
    with torch.no_grad():
        attentions = eager(input_ids=ids, use_cache=False, output_attentions=True).attentions
    want_tk = torch.stack(attentions).mean((0, 2))[0, PROMPT - 1:]
    if sources["answer_key"] != PROMPT:
        raise AssertionError(f"the answer begins at key {sources['answer_key']}, expected {PROMPT}")
    return compare(f"{name}, {implementation}", got_tk, sources, want_tk, spans)


def encoder_decoder(program: str, name: str, folder: Path, passages: int) -> str:
    model = ENCODER_DECODERS[name]().eval()
    model.set_attn_implementation("eager")
    ids, answer = torch.randint(3, VOCABULARY, (passages, PASSAGE)), torch.randint(3, VOCABULARY, (1, TOKENS))
    module = Answers(model)
    traced(module, (ids, answer), folder)
    sites = json.loads(subprocess.run([program, "sites", str(folder / "model.pt"), "--json"], capture_output=True, text=True, check=True).stdout)["sites"]
    cross = [site["name"] for site in sites if site["attention"] == "cross"] if "attention" in sites[0] else [site["name"] for site in sites if site["relation"] == "cross"]
    spans = [(p * PASSAGE, (p + 1) * PASSAGE) for p in range(passages)]
    profile = {"sites": {"match": cross}, "rows": {"of_call": "all"}, "text": {"argument": {"forward": 0}}}
    got_tk, sources = gaze(program, folder, profile, sources_of(spans))
    with torch.no_grad():
        encoded = model.get_encoder()(input_ids=ids, return_dict=True).last_hidden_state.reshape(1, passages * PASSAGE, -1)
        attentions = model(encoder_outputs=(encoded,), decoder_input_ids=answer, use_cache=False, output_attentions=True).cross_attentions
    want_tk = torch.stack(attentions).mean((0, 2))[0]
    if sources["answer_key"] is not None:
        raise AssertionError("the answer's tokens are no keys of its cross-attention")
    return compare(f"{name}, {passages} passages", got_tk, sources, want_tk, spans)


def padded_batch(program: str, name: str, folder: Path, implementation: str) -> str:
    """Two rows; the first one's prompt is shorter, and padded at its left."""
    config, padding = DECODERS[name](), 5
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation).eval()
    ids = torch.randint(3, VOCABULARY, (2, PROMPT + TOKENS - 1))
    mask = torch.ones_like(ids)
    ids[0, :padding], mask[0, :padding] = 0, 0
    traced(Masked(model), (ids, mask), folder)
    spans = [[(padding, 13), (15, PROMPT)], [(0, 6), (6, 13)]]
    (folder / "vocab.json").write_text(json.dumps(["<pad>"] + [f" w{i}" for i in range(1, VOCABULARY)]))
    (folder / "profile.json").write_text(json.dumps({"gaze_profile": 1, "name": "text", "tokens": {"vocabulary": "vocab.json"}, "sites": {"match": ["*"]}, "text": {"argument": {"forward": 0}}}))
    command = [program, "run", str(folder / "model.pt"), "--inputs", str(folder / "inputs.pt"), "--out", str(folder / "out"), "--prompt-tokens", str(PROMPT)]
    for row in range(2):
        (folder / f"text-{row}.json").write_text(json.dumps({"sources": sources_of(spans[row])}))
        command += ["--text", str(folder / f"text-{row}.json")]
    subprocess.run(command, check=True, capture_output=True, env={"GAZE_DELIVERY": "map", "OMP_NUM_THREADS": "1"})
    eager = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    eager.load_state_dict(model.state_dict())
    with torch.no_grad():
        attentions = eager(input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0), use_cache=False, output_attentions=True).attentions
    want_btk = torch.stack(attentions).mean((0, 2))[:, PROMPT - 1:]
    said = []
    for request in (folder / "out").glob("*/request.json"):
        row = int(json.loads(request.read_text())["request_id"].rsplit("-", 1)[1])
        sources = json.loads((request.parent / "sources.json").read_text())
        kinds = [f"{source['kind']} {source['id']}" for source in sources["sources"]]
        if ("sink padding" in kinds) != (row == 0):
            raise AssertionError(f"row {row}: sources {kinds}")
        # The first token that is seen is a sink.
        first_seen = [(max(first, padding + 1 if row == 0 else 1), end) for first, end in spans[row]]
        said.append(compare(f"{name}, {implementation}, padded row {row}", load_file(request.parent / "maps.safetensors")["map_tk"].float(), sources, want_btk[row], first_seen))
    if len(said) != 2:
        raise AssertionError(f"{len(said)} bundles")
    return "; ".join(sorted(said))


def encoder_alone(program: str, name: str, folder: Path, implementation: str) -> str:
    """Every token of a text by every token of it."""
    config = BertConfig(**SIZES, intermediate_size=48, max_position_embeddings=128)
    model = BertModel._from_config(config, attn_implementation=implementation).eval()
    ids = torch.randint(3, VOCABULARY, (1, PROMPT))
    traced(Encoded(model), (ids,), folder)
    spans = [(0, 6), (6, 13)]
    got_tk, sources = gaze(program, folder, {"sites": {"match": ["*"]}, "rows": {"of_call": "all"}, "text": {"argument": {"forward": 0}}}, sources_of(spans))
    eager = BertModel._from_config(config, attn_implementation="eager").eval()
    eager.load_state_dict(model.state_dict())
    with torch.no_grad():
        want_tk = torch.stack(eager(input_ids=ids, output_attentions=True).attentions).mean((0, 2))[0]
    if sources["answer_key"] is not None:
        raise AssertionError("an encoder's text has no answer among its keys")
    return compare(f"{name}, {implementation}", got_tk, sources, want_tk, spans)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaze", required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    cases = [(name, decoder_only, implementation) for name in DECODERS for implementation in ("eager", "sdpa") if implementation == "eager" or name not in EAGER_ALONE]
    cases += [(name, encoder_decoder, passages) for name in ENCODER_DECODERS for passages in (1, PASSAGES)]
    cases += [(name, padded_batch, implementation) for name in ("llama", "gpt2") for implementation in ("eager", "sdpa")]
    cases += [("bert, an encoder", encoder_alone, implementation) for implementation in ("eager", "sdpa")]
    failed = 0
    for number, (name, check, how) in enumerate(cases):
        if arguments.only and name not in arguments.only:
            continue
        torch.manual_seed(7 + number)
        with tempfile.TemporaryDirectory() as made:
            folder = arguments.keep / str(number) if arguments.keep else Path(made)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                print("ok  ", check(arguments.gaze, name, folder, how), flush=True)
            except Exception as error:  # the others are still to be tried
                failed += 1
                print("FAIL", f"{name}, {how}: {type(error).__name__}: {str(error)[:600]}", flush=True)
    print(f"{failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
