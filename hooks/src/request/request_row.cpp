// SPDX-License-Identifier: MIT
#include "request/request_row.hpp"

#include <gaze/render/status.hpp>

#include <algorithm>
#include <utility>

namespace gaze {

void RequestRow::name(const std::vector<int64_t>& tokens, const std::vector<std::string>& vocabulary,
                      const Profile& profile) {
  std::vector<std::string> texts;
  std::vector<int64_t> kept;
  for (const int64_t id : tokens) {
    if (id == profile.eos) break;
    kept.push_back(id);
    const bool known = id >= 0 && id < static_cast<int64_t>(vocabulary.size());
    texts.push_back(known ? vocabulary[static_cast<size_t>(id)] : "#" + std::to_string(id));
  }
  named = static_cast<int64_t>(tokens.size());
  ids = std::move(kept);
  labels = std::move(texts);
  spelling = profile.spelling;
}

TextPlace text_place(const Profile& profile, const std::vector<RequestSpec>& specs) {
  const auto any = [&](bool (*has)(const RequestSpec&)) { return std::any_of(specs.begin(), specs.end(), has); };
  if (!profile.text && !any([](const RequestSpec& spec) { return !spec.text.empty(); })) return TextPlace::None;
  const bool other = profile.geometry || any([](const RequestSpec& spec) { return spec.geometry.has_value(); });
  return other ? TextPlace::Beside : TextPlace::Alone;
}

void check_rows(const std::vector<int64_t>& from, int64_t count) {
  const auto wrong = std::find_if(from.begin(), from.end(), [&](int64_t row) { return row < 0 || row >= count; });
  if (!from.empty() && wrong == from.end()) return;
  throw Error("reorder: expected rows of the batch, 0.." + std::to_string(count - 1) + ", at least one, got " +
                  (from.empty() ? "none" : std::to_string(*wrong)) + ". Name for each row the one it goes on from.",
              DropReason::ShapeMismatch);
}

}  // namespace gaze
