// SPDX-License-Identifier: MIT
// What a record is made into, for whatever keeps it: a bundle on disk, or a host's own sink.
#pragma once

#include <gaze/render/answer_figures.hpp>
#include <gaze/render/formats.hpp>
#include <gaze/render/record.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gaze {

/// Frame: pictures, report.html, maps.safetensors and request.json; Map: the last two.
enum class Delivery { Frame, Map };

struct RenderOptions {
  ImageFormat format = ImageFormat::Jpeg;
  PictureChoice pictures = {};
  int64_t longest_side_pixels = 1280;  ///< of an overlay; a larger picture is drawn smaller. 0: as large as it is
  Delivery delivery = Delivery::Frame;
  std::vector<WordFile> word_files = {};  ///< of a sound, beside words.json: words.vtt, words.srt, words.TextGrid
};

/// Takes files one by one, in memory, as they are finished. Used by one thread at a time.
class GAZE_API Artifacts {
 public:
  Artifacts() = default;
  Artifacts(const Artifacts&) = delete;
  Artifacts& operator=(const Artifacts&) = delete;
  virtual ~Artifacts() = default;

  /// @param name   relative, with '/' between folders: "overlay.png", "words/01-red.png". At most 200 of
  ///               [A-Za-z0-9._-/], no part empty or beginning with a dot, each name once
  /// @param bytes  valid during the call
  /// @throws gaze::Error (Internal) for another name, (Shutdown) when the record is no longer wanted; what `take`
  /// throws
  void add(const std::string& name, std::string_view bytes);
  /// What was measured of the answer, once, when all pictures are added and nothing says yet what they show. Does
  /// nothing here. What it throws ends the rendering.
  virtual void measured(const AnswerFigures& figures) { (void)figures; }
  /// Of what was added, in order.
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }

 private:
  /// Keeps one file. What it throws ends the rendering.
  virtual void take(const std::string& name, std::string_view bytes) = 0;
  std::vector<std::string> names_;
};

/// Makes all artifacts of `record`: pictures, maps and word files of each of its maps as `options` say, report.html and
/// request.json last. The first map's lie at the top, those of the others in folders: "sound-2/overlay.png". Frames are
/// drawn on the record's device, on a stream of Gaze's own; the calling thread waits for them. Any thread.
/// @throws gaze::Error with the reason, when the record cannot be drawn, and what `artifacts` throws; what they were
///         given until then is not to be used
GAZE_API void render(const AttentionRecord& record, const RenderOptions& options, Artifacts& artifacts);

}  // namespace gaze
