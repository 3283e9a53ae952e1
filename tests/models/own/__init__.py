# SPDX-License-Identifier: MIT
"""Scripted models of our own: forms of attention that no architecture here has, and softmaxes that are no attention."""
from own import directions, forms, images, modules, none  # noqa: F401
