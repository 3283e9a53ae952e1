// SPDX-License-Identifier: MIT
// What the symbol table says of the program or library that holds the emulated kernels.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace emulated {

/// draw_overlay<true>: without namespaces, parameters and the type of a template's value.
/// @throws std::logic_error where the function has no symbol
const std::string& name_of(const void* function);

/// The shared memory that kernels declare, each variable by itself.
const std::vector<std::span<char>>& static_shared();

}  // namespace emulated
