# SPDX-License-Identifier: MIT
"""LitServe: litserve_server.py MODEL PORT. Two workers, each a process that loads the model; ends with SIGINT."""
import base64
import importlib
import sys

import litserve
import numpy as np


class Api(litserve.LitAPI):
    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def setup(self, device):
        self.model = importlib.import_module(f"{self.name}_model").Model()

    def decode_request(self, request):
        return request["name"], np.frombuffer(base64.b64decode(request["picture"]), np.uint8).reshape(request["shape"]), request["prompt"]

    def predict(self, asked):
        return self.model.answer(*asked)

    def encode_response(self, ids):
        return {"ids": ids}


if __name__ == "__main__":
    server = litserve.LitServer(Api(sys.argv[1]), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), num_api_servers=1, generate_client_file=False, log_level="warning")
