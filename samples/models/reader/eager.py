"""The reader's attention weights, computed apart from the model: softmax of scaled products, as textbooks write it."""
from contextlib import contextmanager

import torch
from torch import Tensor, nn

import model as m


def weights_of(attention: m.Attention, x_bqd: Tensor, cos_b1qc: Tensor, sin_b1qc: Tensor, visible_b1qk: Tensor, past_k_bgkc: Tensor) -> Tensor:
    """[B, heads, Q, K]"""
    q_bhqc = m.rotate(attention.split(attention.q_proj(x_bqd)), cos_b1qc, sin_b1qc)
    k_bgkc = torch.cat([past_k_bgkc, m.rotate(attention.split(attention.k_proj(x_bqd)), cos_b1qc, sin_b1qc)], dim=2)
    scores_bhqk = q_bhqc @ k_bgkc.repeat_interleave(attention.group, 1).transpose(2, 3) * attention.head_width ** -0.5
    return scores_bhqk.masked_fill(~visible_b1qk, float("-inf")).softmax(-1)


@contextmanager
def noted(model: nn.Module, notes: dict[str, list[Tensor]]):
    """Notes the weights of every call, by the name of its site."""
    def note_at(site: str):
        def note(module, inputs) -> None:
            notes.setdefault(site, []).append(weights_of(module, *inputs[:5]))
        return note

    handles = [module.register_forward_pre_hook(note_at(name)) for name, module in model.named_modules() if isinstance(module, m.Attention)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
