// SPDX-License-Identifier: MIT
#include "reports.hpp"

namespace gaze::serve {
namespace {
constexpr size_t kRemembered = 4096;
}

bool Reports::reserve(const std::string& id, const std::string& prompt) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!entries_.emplace(id, Entry{id, prompt, {}, false, {}}).second) return false;
  order_.push_back(id);
  if (order_.size() > kRemembered) {
    entries_.erase(order_.front());
    order_.pop_front();
  }
  return true;
}

void Reports::forget(const std::string& id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_.erase(id);
  std::erase(order_, id);
}

void Reports::answered(const std::string& id, const std::string& answer, bool captured) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  found->second.answer = answer;
  found->second.captured = captured;
}

void Reports::published(const std::string& id, const std::string& folder) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(id);
  if (found != entries_.end()) found->second.folder = folder;
}

std::optional<Reports::Entry> Reports::find(const std::string& id) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(id);
  return found == entries_.end() ? std::nullopt : std::optional<Entry>(found->second);
}

std::vector<Reports::Entry> Reports::latest(size_t most) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Entry> entries;
  for (auto id = order_.rbegin(); id != order_.rend() && entries.size() < most; ++id)
    entries.push_back(entries_.at(*id));
  return entries;
}

}  // namespace gaze::serve
