// SPDX-License-Identifier: MIT
// Export macro and version.
#pragma once

#define GAZE_VERSION "0.2.0"
#define GAZE_API __attribute__((visibility("default")))
