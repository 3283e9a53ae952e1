# SPDX-License-Identifier: MIT
"""Where frozen files are read otherwise than plain ones, and why: the tables of docs/frozen.md."""
from dataclasses import dataclass

FILES = ("frozen", "optimised")
ALL = (*FILES, "frozen after loading")

CALLS = "calls of one module are listed one by one: equal constants may as well be two layers that were initialised alike, of which freezing keeps one"
UNUSED = "methods of modules that nothing calls are not listed: freezing leaves nothing of them"
TWICE = "what is computed twice from the same values is one attention: freezing merges it"
LIST = "the frozen file says more: what the plain one appends to a list in a loop, freezing takes apart"
TOWERS = "the plain file's towers are its names'; here loops and streams tell, and these calls stand in no loop and add to no common stream, or to the same"
EINSUM = "the constants that einsum multiplies by are not asked for names"


@dataclass(frozen=True)
class Known:
    models: str  # pattern of NAME.FORM.WAY
    variants: tuple[str, ...]
    fields: tuple[str, ...]
    reason: str


KNOWN = [
    *(Known(models, ALL, ("sites",), CALLS) for models in (
        "albert.*", "lxmert.*", "qwen2.5-vl.*", "own-cache.*.traced", "own-called-twice.*", "own-chunked.*.traced", "own-heads-in-a-list.*.traced",
        "own-loop.*.traced", "own-two-dimensions-two-softmaxes.*.traced")),
    *(Known(models, ALL, ("sites",), UNUSED) for models in ("gpt2.*", "gpt2-upcast.*", "levit.*", "llava.*", "llava-next.*", "own-mha-function.*")),
    Known("diff-llama.eager.*", ALL, ("sites",), TWICE),
    *(Known(f"own-{name}.*.scripted", ALL, ("relation", "heads", "kv_heads", "q_reads", "k_reads"), LIST) for name in (
        "bmm", "baddbmm", "baddbmm-mask", "sdpa-5d", "sdpa-wide-values")),
    *(Known(models, FILES, ("tower",), TOWERS) for models in (
        "sam.*", "grounding-dino.*", "own-two-way.*", "own-one-matrix-two-softmaxes.*", "own-two-dimensions-two-softmaxes.*.scripted",
        "own-latent-array.*", "own-axial.*")),
    Known("mask2former.*", ALL, ("tower",), TOWERS),
    Known("xlnet.*", ("frozen after loading",), ("tower",), EINSUM),
]
