# SPDX-License-Identifier: MIT
"""Where frozen files are read otherwise than plain ones, and why."""
REASONS: dict[str, str] = {}
# (model, variant): {field: reason}
KNOWN: dict[tuple[str, str], dict[str, str]] = {}
