# SPDX-License-Identifier: MIT
"""Ray Serve: ray_serve_server.py MODEL PORT FOLDER [VARIABLES]. One replica, a process of Ray's, which answers on threads; ends with SIGINT.

VARIABLES: environment variables of the replica alone, as JSON.
"""
import asyncio
import base64
import importlib
import json
import os
import sys

import numpy as np
import ray
from ray import serve

name, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
variables = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}


@serve.deployment(max_ongoing_requests=8)
class Deployment:
    def __init__(self, name: str, path: str):
        sys.path.insert(0, path)
        self.model = importlib.import_module(f"{name}_model").Model()

    def answer(self, asked):
        picture_hwc = np.frombuffer(base64.b64decode(asked["picture"]), np.uint8).reshape(asked["shape"])
        return {"ids": self.model.answer(asked["name"], picture_hwc, asked["prompt"])}

    async def __call__(self, request):
        return await asyncio.to_thread(self.answer, await request.json())


ray.init(num_cpus=2, include_dashboard=False, _temp_dir=folder, object_store_memory=100 << 20)
try:
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployment = Deployment.options(ray_actor_options={"runtime_env": {"env_vars": variables}})
    serve.run(deployment.bind(name, os.path.dirname(os.path.abspath(__file__))), blocking=True)
finally:
    serve.shutdown()
    ray.shutdown()
