// SPDX-License-Identifier: MIT
// What the host and the model's own inputs tell of one batch row. Knows no TorchScript.
#pragma once

#include <gaze/hooks/request.hpp>
#include <gaze/render/profile.hpp>
#include <gaze/render/token_spelling.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gaze {

/// Whether a row's answer has every head's map in its bundle.
enum class RowDetail { No, IfFlagged, Yes };

struct RequestRow {
  RequestSpec spec;
  bool captured = true;  ///< false: of its batch others are, and nothing of it is kept
  RowDetail detail = RowDetail::No;
  PictureSize input;  ///< of the model's own input, where the profile names it
  /// Of copies on a device: streams may differ between begin and finish.
  std::vector<std::shared_ptr<c10::Event>> media_ready;
  std::vector<at::Tensor> text_ids;  ///< int64 [tokens], copies of what calls were given, in order
  std::vector<std::string> labels;
  std::vector<int64_t> ids;
  int64_t named = 0;  ///< labels or ids that the host gave, those from the answer's end on included
  std::shared_ptr<const TokenSpelling> spelling;  ///< of labels that are the vocabulary's

  /// Labels and ids of its tokens, up to the one that ends the answer.
  void name(const std::vector<int64_t>& tokens, const std::vector<std::string>& vocabulary, const Profile& profile);
};

/// Where a text is looked at: nowhere, by itself, or beside another medium.
enum class TextPlace { None, Alone, Beside };
TextPlace text_place(const Profile& profile, const std::vector<RequestSpec>& specs);

/// @throws gaze::Error (ShapeMismatch) unless `from` names rows of a batch of `count`, at least one
void check_rows(const std::vector<int64_t>& from, int64_t count);

}  // namespace gaze
