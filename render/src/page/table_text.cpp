// SPDX-License-Identifier: MIT
#include <mutex>

#include "page/glyphs_text.hpp"
#include "page/text_part.hpp"

namespace gaze::text {
namespace {

struct Fonts {
  Catalogue catalogue;
  Glyphs glyphs;
};

// For the time of one call: of the machine's fonts there is one of each in a process.
class Held {
 public:
  Held() : lock_(mutex()) {
    static Fonts* const made = new Fonts;  // leaked: used until the last thread ends
    fonts_ = made;
  }
  Fonts* operator->() const { return fonts_; }

 private:
  static std::mutex& mutex() {
    static auto* const made = new std::mutex;
    return *made;
  }
  std::lock_guard<std::mutex> lock_;
  Fonts* fonts_;
};

double width(std::string_view line, double size) {
  const Held fonts;
  return static_cast<double>(advance_of(shape(fonts->catalogue, line, size))) / 64;
}

void draw(const Canvas& canvas, std::string_view line, int left, int baseline, const Pen& pen) {
  const Held fonts;
  draw_shaped(fonts->glyphs, canvas, shape(fonts->catalogue, line, pen.size), left, baseline, pen);
}

std::vector<Cluster> clusters(std::string_view text, double size) {
  const Held fonts;
  return clusters_of(shape(fonts->catalogue, text, size));
}

std::vector<uint32_t> lacking(std::string_view text) {
  const Held fonts;
  return without_glyph(fonts->catalogue, text);
}

}  // namespace
}  // namespace gaze::text

extern "C" GAZE_API const gaze::text::TextPart gaze_text_table = {{GAZE_VERSION, sizeof(gaze::text::TextPart)},
                                                                  &gaze::text::width,
                                                                  &gaze::text::draw,
                                                                  &gaze::text::clusters,
                                                                  &gaze::text::lacking};
