// SPDX-License-Identifier: MIT
// Picture files that the library leaves to others: HEIC and AVIF, as telephones write them, and TIFF.
#pragma once

#include <gaze/render/picture.hpp>

#include <string>

namespace gaze::cli {

/// The pixels of a HEIC, AVIF or TIFF, upright; of any other file, or none, its path, which the library reads itself.
/// Of several pictures the first, or the one that the file calls its own. For files that the caller trusts: what their
/// decoders take is theirs. @throws Refusal naming --image where it is damaged or too large.
Picture photo_file(const std::string& path);

}  // namespace gaze::cli
