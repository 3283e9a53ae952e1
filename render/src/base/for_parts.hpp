// SPDX-License-Identifier: MIT
// What the core gives to its parts, which are of the same build; for no host.
#pragma once

#include <gaze/ops/api.hpp>

#define GAZE_FOR_PARTS GAZE_API
