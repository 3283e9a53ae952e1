# SPDX-License-Identifier: MIT
"""Attention calls of a package that AOTInductor compiles: their names, and nodes that show those which the compiler would fuse away."""
from __future__ import annotations

import copy
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import torch
from torch.fx import Graph, GraphModule, Node

from .errors import Error, LibraryError
from .library import library_path

_ATEN = torch.ops.aten
_FUSED = _ATEN.scaled_dot_product_attention.default
_SOFTMAX = (_ATEN.softmax.int, _ATEN._softmax.default, _ATEN._safe_softmax.default)
_OPERANDS = {_ATEN.matmul.default: (0, 1), _ATEN.bmm.default: (0, 1), _ATEN.baddbmm.default: (1, 2)}
# What weights may pass on their way to the product: as they are, with other numbers in them, or with other axes.
_SAME = (_ATEN.to, _ATEN._to_copy, _ATEN.type_as, _ATEN.clone, _ATEN.contiguous, _ATEN.alias, _ATEN.detach)
_SCALED = (_ATEN.mul, _ATEN.div, _ATEN.masked_fill, _ATEN.where, _ATEN.dropout, _ATEN.nan_to_num, _ATEN.slice)
_SWAPPED = (_ATEN.transpose, _ATEN.swapaxes, _ATEN.swapdims, _ATEN.mT, _ATEN.t)
_SHAPED = (_ATEN.view, _ATEN.reshape, _ATEN._unsafe_view, _ATEN.expand, _ATEN.flatten, _ATEN.unflatten)


@dataclass
class _Attention:
    """A softmax with the product that takes its result, or an attention of torch's own, whose product it is itself."""
    node: Node
    product: Node
    name: str
    operand: int = 0  # which of those that the product multiplies the weights are
    scaled: bool = False  # rows may have another sum than 1
    order: list[int] | None = None  # the weights' axes as [..., queries, keys]; None: they are not these


def _shape(node: Node) -> list[Any]:
    return list(node.meta["val"].shape)


def _axis_behind(user: Node, weights: Node, axis: int) -> int:
    """Where the axis of keys lies behind a node that moves axes; -1: it cannot be told."""
    before, after, packet = _shape(weights), _shape(user), user.target.overloadpacket
    if axis < 0:
        return -1
    if packet in _SWAPPED:
        first, second = (int(each) % len(before) for each in user.args[1:3] or (-2, -1))
        return {first: second, second: first}.get(axis, axis)
    if packet is _ATEN.permute:
        return [int(each) % len(before) for each in user.args[1]].index(axis)
    if packet is _ATEN.unsqueeze:
        return axis + (int(user.args[1]) % len(after) <= axis)
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # takes its time
    # Whatever it does to those before, the axes from this one on stay.
    tail = before[axis:]
    same = len(tail) <= len(after) and all(statically_known_true(one == other) for one, other in zip(tail, after[len(after) - len(tail):]))
    return len(after) - len(tail) if same else -1


def _attention_of(softmax: Node) -> _Attention | None:
    """With the first product that takes the softmax's result over its axis, else any; None: no product does."""
    axis = int(softmax.args[1]) % len(_shape(softmax))
    todo, seen, other = [(softmax, axis, False)], {softmax}, None
    while todo:
        weights, axis, scaled = todo.pop(0)
        for user in weights.users:
            if user in seen or user.op != "call_function":
                continue
            packet = getattr(user.target, "overloadpacket", None)
            taken = [user.args[at] for at in _OPERANDS[user.target]] if user.target in _OPERANDS else \
                list(user.args[1]) if user.target is _ATEN.einsum.default else []
            if weights in taken:
                one = _Attention(softmax, user, "", taken.index(weights), scaled)
                order = _weights_of(one)[1]
                one.order = order if order is not None and order[-1] == axis else None
                if one.order is not None:
                    return one
                other = other or one
            elif packet in _SAME or packet in _SCALED:
                as_it_is = packet in _SAME or (packet is _ATEN.dropout and not user.args[2])
                # What it is scaled by may have more axes, which come first.
                todo.append((user, axis + len(_shape(user)) - len(_shape(weights)) if axis >= 0 else -1, scaled or not as_it_is))
            elif packet in (*_SHAPED, *_SWAPPED, _ATEN.permute, _ATEN.unsqueeze):
                todo.append((user, _axis_behind(user, weights, axis), scaled))
            seen.add(user)
    return other


def _attentions(graph: Graph) -> list[_Attention]:
    """In the order of the graph, each with a name of its own."""
    found: list[_Attention] = []
    times: dict[str, int] = {}
    for node in graph.nodes:
        one = _Attention(node, node, "") if node.target is _FUSED else _attention_of(node) if node.target in _SOFTMAX else None
        if one is None:
            continue
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        name = stack[-1][0] if stack and stack[-1][0] else "attention"
        times[name] = times.get(name, 0) + 1
        one.name = name if times[name] == 1 else f"{name}#{times[name]}"
        found.append(one)
    return found


def export_names(program: torch.export.ExportedProgram) -> dict[str, str]:
    """What tells `gaze::attach(package)` which module each of its attention calls is of.

    For `torch._inductor.aoti_compile_and_package(program, inductor_configs={"aot_inductor.metadata": gaze.export_names(program)})`. The
    graph is not touched: the package computes the same bytes, and loads without Gaze. Calls that the compiler would fuse into a kernel of its own
    have no name there, unless `export_ready` put nodes at them; where there is attention in branches (torch.cond) too, nodes alone have names.

    Raises:
        Error: torch cannot decompose the program
    """
    attentions = _attentions(program.graph)
    away = _fused_away(program) if attentions else set()
    shown = {text for node in program.graph.nodes if str(node.target).startswith("gaze.observe_") for text in node.args if isinstance(text, str)}
    # Calls of branches stand between the others, and whether they run is not known.
    branches = any(module is not program.graph_module and isinstance(module, GraphModule) and _attentions(module.graph)
                   for module in program.graph_module.modules())
    named = [each.name for each in attentions if each.name in shown or (each.node.name not in away and not branches)]
    observed = [name for name in named if name in shown]
    return {"gaze.sites": "\n".join(named)} | ({"gaze.observed": "\n".join(observed)} if observed else {})


def load_ops() -> None:
    """Loads the operators of `export_ready` into this process: what compiles or loads a package with them needs this. Needs no capture.

    Raises:
        LibraryError: the library is not there, or not for this torch.
    """
    if not hasattr(torch.ops.gaze, "observe_weights"):
        stated = os.environ.get("GAZE_LIBRARY")
        path = (Path(stated) if stated else library_path()).with_name("libgaze_observe.so")
        try:
            torch.ops.load_library(str(path))
        except OSError as problem:
            raise LibraryError(f"'{path}' cannot be loaded with torch {torch.__version__}: build Gaze again for this torch ({problem}).") from problem
    # They have no result: without this the compiler deletes them.
    for operator in (torch.ops.gaze.observe_weights.default, torch.ops.gaze.observe_scores.default):
        torch.fx.node.has_side_effect(operator)


def _fused_away(program: torch.export.ExportedProgram) -> set[str]:
    """Names of the nodes whose softmax no pattern of the compiler turns into an attention of torch's own: asked of these patterns."""
    from torch._inductor.decomposition import select_decomp_table
    from torch._inductor.fx_passes.joint_graph import joint_graph_passes

    device = next((node.meta["val"].device for node in program.graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)), torch.device("cpu"))
    try:
        with torch.no_grad():
            lowered = joint_graph_passes(program.run_decompositions(select_decomp_table()).graph_module, device)
    except Exception as problem:  # torch's own, of many kinds
        raise Error("This torch cannot decompose the program, so what its compiler fuses cannot be told: give the program as torch.export.export "
                    f"returned it ({type(problem).__name__}: {problem}).") from problem
    return {source.name for node in lowered.graph.nodes if node.target is _ATEN.exp.default for source in node.meta.get("from_node") or []}


def export_ready(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program, with a node at each attention that the compiler would fuse into a kernel of its own, for `gaze::attach(package)` to see it.

    Where nothing would be fused away it is the same program. Else its package needs libgaze_observe.so loaded before it (`gaze.load_ops()`).
    Names come with it: compile it with `gaze.export_names` as well.

    Raises:
        LibraryError: as `load_ops`
        Error: torch cannot decompose the program
    """
    load_ops()
    away = _fused_away(program)
    graph = copy.deepcopy(program.graph)
    nodes = 0
    for each in _attentions(graph):
        if each.node.name not in away:
            continue
        if _observe(graph, each):
            nodes += 1
        else:
            warnings.warn(f"gaze.export_ready: expected weights of queries and keys at '{each.name}', got a product that mixes them otherwise: "
                          "it will not be seen.", stacklevel=2)
    if nodes == 0:
        return program
    graph.lint()
    return torch.export.ExportedProgram(
        root=program.graph_module, graph=graph, graph_signature=program.graph_signature, state_dict=program.state_dict,
        range_constraints=program.range_constraints, module_call_graph=program.module_call_graph, example_inputs=program.example_inputs,
        constants=program.constants, verifiers=program.verifiers)


def _observe(graph: Graph, attention: _Attention) -> bool:
    """Puts the node before the product. False: its operand is no weights of queries and keys."""
    product = attention.product
    with graph.inserting_before(product):
        if attention.node is product:
            given = {argument.name: value for argument, value in zip(product.target._schema.arguments, product.args)} | product.kwargs
            arguments = (given["query"], given["key"], given.get("attn_mask"), given.get("is_causal", False), given.get("scale"), attention.name)
            return _add(graph, torch.ops.gaze.observe_scores.default, arguments, product)
        weights, order = _weights_of(attention)[0], attention.order
        if order is None:
            return False
        if order != sorted(order):
            moved = graph.call_function(_ATEN.permute.default, (weights, order))
            moved.meta = {**weights.meta, "val": weights.meta["val"].permute(order)}
            weights = moved
        return _add(graph, torch.ops.gaze.observe_weights.default, (weights, attention.name, attention.scaled), product)


def _add(graph: Graph, operator: Any, arguments: tuple[Any, ...], product: Node) -> bool:
    node = graph.call_function(operator, arguments)
    node.meta = {key: product.meta[key] for key in ("nn_module_stack", "stack_trace") if key in product.meta} | {"val": None}
    return True


def _weights_of(attention: _Attention) -> tuple[Node, list[int] | None]:
    """The operand, and its axes as [..., queries, what the product sums over]; None: they are not these."""
    product = attention.product
    if product.target is _ATEN.einsum.default:
        operands = list(product.args[1])
        labels = list(_labels(str(product.args[0]), [len(_shape(each)) for each in operands]))
        weights, values, result = labels[attention.operand], labels[1 - attention.operand], labels[-1]
        queries, keys = [each for each in weights if each not in values], [each for each in weights if each in values and each not in result]
        if len(operands) != 2 or len(queries) != 1 or len(keys) != 1:
            return operands[attention.operand], None
        order = [each for each in weights if each not in (*queries, *keys)] + queries + keys
        return operands[attention.operand], [weights.index(each) for each in order]
    weights = product.args[_OPERANDS[product.target][attention.operand]]
    axes = list(range(len(_shape(weights))))
    if len(axes) < 2:
        return weights, None
    # The second operand of a product is contracted over its rows.
    return weights, axes if attention.operand == 0 else [*axes[:-2], axes[-1], axes[-2]]


def _labels(equation: str, dimensions: list[int]) -> Iterator[str]:
    """Of each operand of an einsum, and of its result: a letter for each axis, those of an ellipsis too."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    hidden = max((dimension - len(term.replace("...", "")) for term, dimension in zip(terms, dimensions) if "..." in term), default=0)
    letters = "".join(chr(0x3B1 + each) for each in range(hidden))
    if not arrow:
        every = inputs.replace(",", "").replace(".", "")
        output = "..." + "".join(sorted(each for each in set(every) if every.count(each) == 1))
    for term, dimension in zip([*terms, output], [*dimensions, None]):
        shown = hidden if dimension is None else dimension - len(term.replace("...", ""))
        yield term.replace("...", letters[hidden - shown:] if shown else "")
