// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace gaze {

/// report.html, as it lies beside this file: made into a source when the library is built.
extern const std::string_view kReportHtml;

}  // namespace gaze
