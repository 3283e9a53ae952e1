# SPDX-License-Identifier: MIT
"""Names for the attention calls of a package that AOTInductor compiles."""
import torch

_ATTENTION = (torch.ops.aten.scaled_dot_product_attention.default, torch.ops.aten.softmax.int, torch.ops.aten._softmax.default)


def export_names(program: torch.export.ExportedProgram) -> dict[str, str]:
    """What tells `gaze::attach(package)` which module each of its attention calls is of.

    For `torch._inductor.aoti_compile_and_package(program, inductor_configs={"aot_inductor.metadata": gaze.export_names(program)})`. The
    graph is not touched: the package computes the same bytes, and loads without Gaze.
    """
    names: list[str] = []
    for node in program.graph.nodes:
        if node.target in _ATTENTION:
            stack = list((node.meta.get("nn_module_stack") or {}).values())
            name = stack[-1][0] if stack and stack[-1][0] else "attention"
            seen = sum(each == name or each.startswith(f"{name}#") for each in names)
            names.append(name if seen == 0 else f"{name}#{seen + 1}")
    return {"gaze.sites": "\n".join(names)}
