// SPDX-License-Identifier: MIT
// OpenCV tells of a failed allocation by a type of its own.
#pragma once

#include <new>
#include <opencv2/core.hpp>

namespace gaze {

/// Runs `work`; memory that it was not given comes out as std::bad_alloc.
template <typename Work>
auto with_memory_errors(Work work) {
  try {
    return work();
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) throw std::bad_alloc();
    throw;
  }
}

}  // namespace gaze
