# SPDX-License-Identifier: MIT
"""Gaze shows where a model looked while it answered.

>>> import gaze
>>> g = gaze.attach(model)  # does nothing unless GAZE_CAPTURE=1
>>> with g.request(image=photo, prompt=prompt, id="42") as r:
...     out = model.generate(**inputs)
...     r.tokens(out, processor)
>>> r.words, r.maps, r.overlay, r.bundle
"""
from .answer import Answer, Word
from .capture import Capture, attach, profile_of
from .errors import AttachError, BundleError, Error, InputError, LibraryError, ProfileError, RequestError
from .export import export_names, export_ready, load_ops
from .library import metrics_text
from .request import Request

__version__ = "0.2.0"
__all__ = ["Answer", "AttachError", "BundleError", "Capture", "Error", "InputError", "LibraryError", "ProfileError", "Request", "RequestError",
           "Word", "attach", "export_names", "export_ready", "load_ops", "metrics_text", "profile_of"]
