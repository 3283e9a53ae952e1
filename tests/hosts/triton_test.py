#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""NVIDIA Triton, which PyTriton brings along. Usage: triton_test.py --gaze PROGRAM --library LIBRARY --preload LIBRARY"""
import sys

import support

support.skip_without("pytriton")


def body(name, picture_hwc, prompt):
    """As the protocol of Triton and KServe has it."""
    return {"parameters": {"name": name}, "inputs": [
        {"name": "picture", "datatype": "UINT8", "shape": picture_hwc.shape, "data": picture_hwc.flatten().tolist()},
        {"name": "prompt", "datatype": "INT64", "shape": [len(prompt)], "data": prompt}]}


def ids_of(answer):
    import json

    return json.loads(answer)["outputs"][0]["data"]


support.check_host("Triton", lambda model, port, folder: [sys.executable, str(support.HERE / "triton_server.py"), model, str(port)],
                   ready=lambda model: f"/v2/models/{model}/ready", path=lambda model: f"/v2/models/{model}/infer", body=body, ids_of=ids_of,
                   # Its stubs bring a Python library of their own, and what shares memory needs the one that the standard library is of.
                   environment={"PYTRITON_NO_TENSORSTORE": "1"})
