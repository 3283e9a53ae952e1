# SPDX-License-Identifier: MIT
"""Which weights gaze.export_ready shows, as [..., queries, keys], and what it leaves alone: no package is compiled."""
import unittest
import warnings

import support

support.need_library()

import torch  # noqa: E402
from torch import nn  # noqa: E402

import gaze  # noqa: E402

BATCH, HEADS, QUERIES, KEYS, SIZE = 2, 4, 5, 7, 8


def weights(scores, axis=-1):
    """A softmax that no pattern of the compiler knows."""
    return torch.softmax(scores * 0.3 + 0.1 * scores.sin(), axis)


def merged(x):
    return x.reshape(-1, x.shape[-2], SIZE)


ATTEND = nn.functional.scaled_dot_product_attention
SHOWN = {  # form: the node's shape, and whether its rows are divided by their sums
    "matmul": (lambda q, k, v: weights(q @ k.mT) @ v, (BATCH, HEADS, QUERIES, KEYS), False),
    "merged heads": (lambda q, k, v: torch.bmm(weights(torch.bmm(merged(q), merged(k).mT)), merged(v)), (BATCH * HEADS, QUERIES, KEYS), False),
    "viewed": (lambda q, k, v: torch.bmm(weights(q @ k.mT).view(-1, QUERIES, KEYS), merged(v)), (BATCH * HEADS, QUERIES, KEYS), False),
    "no heads": (lambda q, k, v: weights(q[0, 0] @ k[0, 0].mT) @ v[0, 0], (QUERIES, KEYS), False),
    "second operand": (lambda q, k, v: (v.mT @ weights(q @ k.mT).transpose(-1, -2)).mT, (BATCH, HEADS, QUERIES, KEYS), False),
    "ellipsis": (lambda q, k, v: torch.einsum("... i j, ... j d -> ... i d", weights(q @ k.mT), v), (BATCH, HEADS, QUERIES, KEYS), False),
    "heads behind queries": (lambda q, k, v: torch.einsum("bqhk,bhkd->bqhd", weights(torch.einsum("bhqd,bhkd->bqhk", q, k)), v),
                             (BATCH, HEADS, QUERIES, KEYS), False),
    "keys first": (lambda q, k, v: torch.einsum("bhkq,bhkd->bhqd", weights(k @ q.mT, 2), v), (BATCH, HEADS, QUERIES, KEYS), False),
    "a sink": (lambda q, k, v: weights(torch.cat([q @ k.mT, torch.ones(BATCH, HEADS, QUERIES, 1)], -1))[..., :-1] @ v,
               (BATCH, HEADS, QUERIES, KEYS), True),
    "masked behind": (lambda q, k, v: (weights(q @ k.mT) * torch.ones(QUERIES, KEYS).tril()) @ v, (BATCH, HEADS, QUERIES, KEYS), True),
    "dropout of an evaluated model": (lambda q, k, v: nn.functional.dropout(weights(q @ k.mT), 0.1, False) @ v, (BATCH, HEADS, QUERIES, KEYS), False),
    "grouped heads": (lambda q, k, v: ATTEND(q, k[:, :2], v[:, :2, :, :5], enable_gqa=True, scale=0.2), (BATCH, HEADS, QUERIES, SIZE), None),
    "narrow values": (lambda q, k, v: ATTEND(q, k, v[..., :5], torch.ones(QUERIES, KEYS, dtype=torch.bool).tril()),
                      (BATCH, HEADS, QUERIES, SIZE), None),
}
LEFT = {  # form: whether that is said
    "torch's own": (lambda q, k, v: ATTEND(q, k, v), False),
    "a gate": (lambda q, k, v: weights(q) * q, False),
    "over queries": (lambda q, k, v: weights(q @ k.mT, 2) @ v, True),
    "three operands": (lambda q, k, v: torch.einsum("bhqk,bhkd,d->bhqd", weights(q @ k.mT), v, torch.ones(SIZE)), True),
    "heads that mix": (lambda q, k, v: torch.einsum("bhqk,hg->bgqk", weights(q @ k.mT), torch.ones(HEADS, HEADS)) @ v, True),
}


class Model(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, q, k, v):
        return self.form(q, k, v)


class Export(unittest.TestCase):
    def ready(self, form):
        """The program, what it became, and whether something was said."""
        inputs = [torch.randn(BATCH, HEADS, length, SIZE) for length in (QUERIES, KEYS, KEYS)]
        with torch.no_grad(), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            program = torch.export.export(Model(form).eval(), tuple(inputs))
            ready = gaze.export_ready(program)
            self.assertTrue(torch.equal(ready.module()(*inputs), program.module()(*inputs)))
        return program, ready, any("gaze.export_ready" in str(each.message) for each in said)

    def test_shown(self) -> None:
        for name, (form, shape, scaled) in SHOWN.items():
            with self.subTest(name):
                _, ready, said = self.ready(form)
                (node,) = (each for each in ready.graph.nodes if str(each.target).startswith("gaze."))
                self.assertEqual(tuple(node.args[0].meta["val"].shape), shape)
                if scaled is not None:
                    self.assertEqual(node.args[1:], ("attention", scaled))
                self.assertFalse(said)
                self.assertEqual(gaze.export_names(ready), {"gaze.sites": "attention", "gaze.observed": "attention"})

    def test_left_alone(self) -> None:
        for name, (form, tells) in LEFT.items():
            with self.subTest(name):
                program, ready, said = self.ready(form)
                self.assertIs(ready, program)
                self.assertEqual(said, tells)


if __name__ == "__main__":
    unittest.main(verbosity=2)
