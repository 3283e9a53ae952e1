// SPDX-License-Identifier: MIT
// Which requests were answered, and where their bundles lie. What the network names is looked up here, and is never
// part of a path.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace gaze::serve {

class Reports {
 public:
  struct Entry {
    std::string id, prompt, answer;
    bool captured = false;
    std::string folder;  ///< of the bundle; empty: not written yet, or never
  };

  /// False: the id is that of another request that is remembered.
  bool reserve(const std::string& id, const std::string& prompt);
  void forget(const std::string& id);
  void answered(const std::string& id, const std::string& answer, bool captured);
  void published(const std::string& id, const std::string& folder);
  [[nodiscard]] std::optional<Entry> find(const std::string& id) const;
  /// The newest first.
  [[nodiscard]] std::vector<Entry> latest(size_t most) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  std::deque<std::string> order_;
};

}  // namespace gaze::serve
