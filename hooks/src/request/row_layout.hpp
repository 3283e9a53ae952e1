// SPDX-License-Identifier: MIT
// Where each batch row's medium lies among the keys, from all that is known at the first call. Knows no TorchScript.
#pragma once

#include <gaze/render/profile.hpp>

#include <vector>

#include "capture/prompt_spans.hpp"
#include "capture/token_capture.hpp"
#include "request/request_row.hpp"

namespace gaze {

/// Nothing but the prompt's ids says where the row's picture is.
bool placed_by_ids(const RequestRow& row, const Profile& profile);

/// Of a text: all keys of a row, wherever it is padded.
/// @throws gaze::Error (ShapeMismatch) for another batch than rows
std::vector<RowPlace> place_text(const std::vector<RequestRow>& rows, const AttentionCall& call);

/// One place for each row; the call is the first over the medium's keys, or over latents.
/// A picture that has the row to itself may have keys beyond its own, of a cache of fixed size, while they are masked:
/// looked at at once on the processor, remembered to be flagged on a device.
/// @throws gaze::Error (ShapeMismatch) for another batch than rows; GridMismatch, NoAttention
std::vector<RowPlace> place_rows(const std::vector<RequestRow>& rows, const Profile& profile,
                                 const PromptSpans& prompt_spans, const TokenCapture& capture,
                                 const AttentionCall& call);

/// Where the map is not to be carried on through an encoder: it is taken over the picture's own keys.
void stay_at_keys(std::vector<RowPlace>& places);

}  // namespace gaze
