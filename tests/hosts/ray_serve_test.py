#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ray Serve. Usage: ray_serve_test.py --gaze PROGRAM --library LIBRARY --preload LIBRARY"""
import json
import sys

import support

support.skip_without("ray", "fastapi")
support.check_host("Ray Serve", lambda model, port, folder: [sys.executable, str(support.HERE / "ray_serve_server.py"), model, str(port), str(folder / "ray")],
                   ready=lambda model: "/-/healthz", path=lambda model: "/", hand_over=lambda variables: [json.dumps(variables)],
                   # The last one keeps what Ray's processes say to one another on the loopback.
                   environment={"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"})
