# SPDX-License-Identifier: MIT
"""NVIDIA Triton by way of PyTriton: triton_server.py MODEL PORT. Two instances, each a thread of this process; ends with SIGINT."""
import importlib
import os
import sys

import numpy as np
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

name, port = sys.argv[1], int(sys.argv[2])
model = importlib.import_module(f"{name}_model").Model()


def infer(requests):
    return [{"ids": np.array(model.answer(each.parameters["name"], each["picture"], each["prompt"].tolist()), np.int64)} for each in requests]


config = TritonConfig(http_port=port, http_address="127.0.0.1", allow_grpc=False, allow_metrics=False)
with Triton(config=config, workspace=os.path.abspath("triton")) as triton:
    triton.bind(model_name=name, infer_func=[infer, infer], strict=False, config=ModelConfig(batching=False),
                inputs=[Tensor(name="picture", dtype=np.uint8, shape=(-1, -1, 3)), Tensor(name="prompt", dtype=np.int64, shape=(-1,))],
                outputs=[Tensor(name="ids", dtype=np.int64, shape=(-1,))])
    triton.serve()
