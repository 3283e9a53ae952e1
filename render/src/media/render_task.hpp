// SPDX-License-Identifier: MIT
// What a renderer works on and with. There is one for each alternative of Medium, in the medium's own folder:
//   MapFacts render_map(const XMedium& medium, const RenderTask& task, Artifacts& artifacts);
// It analyses the map, draws it into artifacts, and says what it found. The record was checked, and the thread's work
// for its device runs on the ring's stream. What a renderer throws ends the record.
#pragma once

#include <gaze/render/artifacts.hpp>
#include <gaze/render/words.hpp>

#include <string>

#include "device/frame_ring.hpp"
#include "media/map_facts.hpp"
#include "page/page_memory.hpp"

namespace gaze {

struct RenderTask {
  const AttentionRecord& record;
  const MediumMap& map;  ///< of the record
  const RenderOptions& options;
  FrameRing& ring;
  PageMemory& pages;
  std::string folder = {};  ///< of all its artifacts: empty, or with a '/' at its end

  [[nodiscard]] const ops::Route& route() const noexcept { return ring.route(); }
  /// "words.json"
  [[nodiscard]] std::string file(const std::string& name) const { return folder + name; }
  /// "overlay" -> "overlay.png"
  [[nodiscard]] std::string picture(const std::string& name) const;
  /// "words/01-red.png". Only [a-z0-9] of the text: whatever a token says, its file name is harmless.
  [[nodiscard]] std::string word(size_t index, const Word& word) const;
};

}  // namespace gaze
