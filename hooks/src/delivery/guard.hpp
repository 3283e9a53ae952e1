// SPDX-License-Identifier: MIT
// What of a record is kept, decided on the worker before anything is drawn or written. Knows no TorchScript.
#pragma once

#include <gaze/render/redaction.hpp>

#include <functional>
#include <string>

namespace gaze {

/// Changes a whole record in place, or throws gaze::Error (RedactionFailed) without a word of its content; the record
/// then holds none. Called once for each record, on the worker's thread.
using Guard = std::function<void(AttentionRecord&)>;

/// Empty where everything is kept.
/// @param hash_key  the file that holds the key of Content::Hashed
/// @throws gaze::Error when that is needed, and no regular file of at least 16 bytes that its owner alone may read
Guard guard_of(Content content, const std::string& hash_key, Redact redact);

}  // namespace gaze
