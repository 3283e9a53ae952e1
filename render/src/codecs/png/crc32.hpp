// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

namespace gaze {

/// The checksum of PNG's chunks.
uint32_t crc32(std::string_view bytes);

}  // namespace gaze
