// SPDX-License-Identifier: MIT
// GPT-2's alphabet: a printable character for every byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gaze {

/// The byte that a character stands for, -1 for none.
int stood_for(uint32_t code) noexcept;

/// A token of this alphabet as bytes; nullopt where some character of it is none of the alphabet's.
std::optional<std::string> bytes_of_stand_ins(std::string_view token);

}  // namespace gaze
