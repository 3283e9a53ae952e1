// SPDX-License-Identifier: MIT
// From a batch row and what was captured of it to the record that is drawn. Knows no TorchScript.
#pragma once

#include <gaze/render/record.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/token_capture.hpp"
#include "delivery/worker.hpp"
#include "request/recorder.hpp"
#include "request/replayed_answer.hpp"
#include "request/request_row.hpp"

namespace gaze {

/// Why a capture ended early.
struct CaptureError {
  std::string text;
  DropReason reason = DropReason::Internal;
};

/// What a request's rows have in common.
struct SharedFacts {
  int64_t method = -1;  ///< that ran last; -1: none
  std::vector<SoundWindow> windows;
  bool windows_moved = false;  ///< some began after the first
  int64_t named_by_batch = 0;  ///< the most labels of any row
  std::optional<CaptureError> error;
  double open_ms = 0;
  TokenCapture* text = nullptr;                    ///< of a text beside another medium
  std::string text_left_out;                       ///< why there is none
  std::shared_ptr<const ReplayedCopies> replayed;  ///< null: no graph was
};

struct BuiltRecord {
  AttentionRecord record;
  std::unique_ptr<RecordRest> rest;  ///< what is left for the worker's thread; null: nothing
};

/// Of a site that contributed.
SiteUse site_use(const Recorder& recorder, const TokenCapture& capture, int64_t site, int64_t heads, int64_t calls);

/// Takes over what the row holds. With an error, or without a token, the record says so and has no map.
BuiltRecord build_record(RequestRow& row, size_t index, TokenCapture& capture, const SharedFacts& facts,
                         const Recorder& recorder);

}  // namespace gaze
