// SPDX-License-Identifier: MIT
#include <gaze/render/artifacts.hpp>
#include <gaze/render/stop.hpp>

#include <algorithm>

#include "base/utf8.hpp"

namespace gaze {
namespace {

constexpr size_t kMostName = 200;

bool is_harmless(const std::string& name) {
  if (name.empty() || name.size() > kMostName || name.back() == '/') return false;
  char before = '/';
  for (const char c : name) {
    const bool begins = before == '/';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!(letter || c == '_' || c == '-' || (c == '.' && !begins) || (c == '/' && !begins))) return false;
    before = c;
  }
  return true;
}

}  // namespace

void Artifacts::add(const std::string& name, std::string_view bytes) {
  throw_if_stopping();
  if (!is_harmless(name)) {
    throw Error("artifact: expected a relative name of at most " + std::to_string(kMostName) +
                    " of [A-Za-z0-9._-/], no part of it empty or hidden, got '" + excerpt(name, kMostName) + "'.",
                DropReason::Internal);
  }
  if (std::find(names_.begin(), names_.end(), name) != names_.end()) {
    throw Error("artifact: expected each name once, got '" + name + "' again.", DropReason::Internal);
  }
  take(name, bytes);
  names_.push_back(name);
}

}  // namespace gaze
