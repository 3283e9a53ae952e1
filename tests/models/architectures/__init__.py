# SPDX-License-Identifier: MIT
"""Importing the package registers every architecture in it."""
import importlib
import pkgutil

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")
