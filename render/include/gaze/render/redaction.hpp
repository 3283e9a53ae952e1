// SPDX-License-Identifier: MIT
// What of a record is blacked out or left out before anything is drawn, kept or written (docs/privacy.md).
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/record.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace gaze {

/// Pixels of the original picture. What lies beyond its border is ignored.
struct PixelBox {
  double x = 0, y = 0, width = 0, height = 0;  ///< finite, >= 0; a pixel that is touched belongs to it
};

/// Of a recording, from its first sample.
struct SecondsSpan {
  double start_seconds = 0, end_seconds = 0;  ///< finite, 0 <= start <= end
};

/// Parts of one request. Of several media of a kind each has the same parts taken off.
struct Redaction {
  std::vector<PixelBox> boxes = {};
  at::Tensor mask_yx = {};  ///< bool or uint8 [height, width] of the original picture: what is not 0 is blacked out
  std::vector<SecondsSpan> seconds = {};
  std::vector<int64_t> tokens = {};          ///< of the answer, from 0
  std::vector<int64_t> prompt_tokens = {};   ///< of a text's prompt, from 0
  std::vector<std::string> passages = {};    ///< by TextSource::id
  bool prompt = false;                       ///< the whole prompt
  std::vector<std::string> attributes = {};  ///< by name; one that the record does not have is no fault
};

using Redact = std::function<Redaction(const AttentionRecord&)>;

/// What stands for a redacted text, however long that was.
inline constexpr const char* kRedacted = "\xE2\x96\x88\xE2\x96\x88\xE2\x96\x88\xE2\x96\x88\xE2\x96\x88";

/// Blacks out what `redaction` names, in place: pixels black, samples 0, texts kRedacted, map cells that touch a
/// blacked-out pixel without weight. Any thread.
/// @throws gaze::Error (RedactionFailed), whose text holds nothing of the request's content: a number that is negative,
/// not finite or out of range, a mask of another size, a picture or recording that cannot be decoded. The record is
/// then half redacted, and not to be used
GAZE_API void apply(const Redaction& redaction, AttentionRecord& record);

/// What stands for a text at Content::Hashed.
using HashText = std::function<std::string(const std::string&)>;

/// Leaves of the record's content what `content` allows, in place: pictures become grey, recordings silent, texts
/// numbers, or with `hash` what it makes of them. Which tokens make a word, and whether it has content, stay as they
/// were told from the texts. Any thread.
/// @throws gaze::Error (RedactionFailed) as `apply`; where `content` is Hashed and there is no `hash`
GAZE_API void limit(Content content, const HashText& hash, AttentionRecord& record);

/// "full", "maps", "hashed".
GAZE_API const char* name(Content content) noexcept;

}  // namespace gaze
