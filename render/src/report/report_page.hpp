// SPDX-License-Identifier: MIT
// report.html: one answer on a page of its own, drawn in the browser from the maps. No file beside it, no network.
#pragma once

#include <gaze/render/style.hpp>

#include <string>
#include <vector>

#include "media/map_facts.hpp"

namespace gaze {

/// @param request_json  of `write_json`
/// @param maps          as in request.json; those without a report_picture have figures alone
/// Whatever the texts hold stays text: the page's policy allows nothing from outside, and no '<' of the data remains.
std::string report_page(const std::string& request_json, const Style& style, const std::vector<MapFacts>& maps);

}  // namespace gaze
