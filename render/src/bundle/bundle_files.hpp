// SPDX-License-Identifier: MIT
// What a bundle is put together from.
#pragma once

#include <gaze/render/bundle.hpp>
#include <gaze/render/words.hpp>

#include <string>
#include <string_view>

#include "base/files.hpp"
#include "bundle/request_json.hpp"

namespace gaze {

/// The files of a bundle on their way to disk, and the facts about them.
struct BundleFiles {
  BundleFiles(const BundleOptions& options, const AttentionRecord& record)
      : staged(options.out_dir, options.strict_out_dir), sidecar(record) {}
  /// Writes a file and lists it in the facts.
  void write(const std::string& file, std::string_view bytes);

  files::StagedDirectory staged;
  RequestFacts sidecar;
};

/// "overlay" -> "overlay.png".
std::string picture_file(const std::string& name, ImageFormat format);

/// "words/01-red.png". Only [a-z0-9] of the text: whatever a token says, its file name is harmless.
std::string word_file(size_t index, const Word& word, ImageFormat format);

}  // namespace gaze
