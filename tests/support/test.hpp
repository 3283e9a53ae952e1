// SPDX-License-Identifier: MIT
// The only file that includes Catch2. torch redefines CHECK, so only the prefixed macros are used.
#pragma once

#define CATCH_CONFIG_PREFIX_ALL
#include <catch2/catch.hpp>

/// CTest turns the line into "Skipped".
#define GAZE_SKIP(why)             \
  do {                             \
    CATCH_WARN("gaze-skip: " why); \
    return;                        \
  } while (false)
