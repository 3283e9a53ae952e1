#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints src/colormap_tables.hpp: 256 RGB entries per colour map, round(255 v) of the published tables.

    pip install matplotlib        # read for its reference tables only
    python3 cuda/tools/make_colormaps.py > cuda/src/colormap_tables.hpp
"""

import math

from matplotlib import colormaps

HEADER = """\
// SPDX-License-Identifier: MIT
// Colour tables, 256 RGB entries each. Made by cuda/tools/make_colormaps.py: do not edit.
//
// turbo             (c) Google LLC, Anton Mikhailov 2019, Apache-2.0
// inferno, viridis  Nathaniel Smith, Stefan van der Walt 2015, CC0
// cividis           Jamie Nunez, Christopher Anderton, Ryan Renslow 2018, CC0
// gray, diverging   of this project
#pragma once

#include <cstdint>

namespace gaze::kernels {

using ColourTable = std::uint8_t[256][3];
"""

BLUE, WHITE, RED = (0, 60, 200), (255, 255, 255), (200, 20, 20)


def published(name):
    return [[math.floor(255 * v + 0.5) for v in colour] for colour in colormaps[name].colors]


def diverging():
    # 256 entries have no middle one: both neighbours of 127.5 are white, so that "no difference" has no hue.
    def entry(i):
        share = (abs(i - 127.5) - 0.5) / 127
        end = BLUE if i < 128 else RED
        return [math.floor(w + (e - w) * share + 0.5) for w, e in zip(WHITE, end)]

    return [entry(i) for i in range(256)]


TABLES = {
    "Turbo": published("turbo"),
    "Inferno": published("inferno"),
    "Viridis": published("viridis"),
    "Cividis": published("cividis"),
    "Gray": [[i, i, i] for i in range(256)],
    "Diverging": diverging(),
}

print(HEADER)
print("// clang-format off")
for name, table in TABLES.items():
    print(f"constexpr ColourTable k{name} = {{")
    for start in range(0, 256, 6):
        print("    " + ", ".join("{%d, %d, %d}" % tuple(c) for c in table[start : start + 6]) + ",")
    print("};")
print("// clang-format on")
print("\n/// In the order of Colormap.")
print("constexpr const ColourTable* kColourTables[] = {%s};" % ", ".join(f"&k{name}" for name in TABLES))
print("\n}  // namespace gaze::kernels")
