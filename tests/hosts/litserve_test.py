#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""LitServe. Usage: litserve_test.py --gaze PROGRAM --library LIBRARY --preload LIBRARY"""
import sys

import support

support.skip_without("litserve")
support.check_host("LitServe", lambda model, port, folder: [sys.executable, str(support.HERE / "litserve_server.py"), model, str(port)],
                   ready=lambda model: "/health", path=lambda model: "/predict")
