// SPDX-License-Identifier: MIT
// A profile is refused with a gaze::Error or can be used: resolved for any picture, placed, looked up in, and written
// so that the same is read again.
#include <gaze/render/bundle.hpp>
#include <gaze/render/geometry.hpp>
#include <gaze/render/profile.hpp>

#include <array>

#include "../render/same_profile.hpp"
#include "fuzz.hpp"

namespace {

constexpr std::array<int64_t, 10> kPixels = {0, 1, 2, 31, 224, 336, 1024, 4096, 100000, int64_t{1} << 24};
constexpr std::array<int64_t, 12> kRows = {0, 1, 2, 16, 61, 64, 197, 576, 729, 2880, 100000, int64_t{1} << 24};

template <size_t count>
int64_t choose(const std::array<int64_t, count>& values, gaze::fuzz::Bytes& bytes) {
  return values[bytes.take<uint8_t>() % count];
}

void use(gaze::Geometry geometry, const gaze::PictureSizes& sizes, int64_t keys, bool alone, double x, double y) {
  gaze::take_row(geometry, keys);
  geometry = gaze::resolve(geometry, sizes);
  gaze::check_keys(geometry, keys, alone);
  GAZE_HOLDS(geometry.cells() >= 1);
  GAZE_HOLDS(geometry.span() >= geometry.cells() || geometry.cut_rows > 0 || geometry.cut_cols > 0);
  GAZE_HOLDS(geometry.keys() >= 1 && geometry.keys() <= keys);
  GAZE_HOLDS(geometry.first_cell() >= 0 && geometry.first_cell() < keys);
  if (geometry.time || sizes.picture_width < 1 || sizes.picture_height < 1) return;
  const int64_t cell = gaze::cell_at(geometry, sizes.picture_width, sizes.picture_height, x, y);
  GAZE_HOLDS(cell >= -1 && cell < geometry.cells());
  gaze::place(geometry, sizes.picture_width, sizes.picture_height);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gaze::fuzz::Bytes bytes(data, size);
  const gaze::PictureSizes sizes{choose(kPixels, bytes), choose(kPixels, bytes), choose(kPixels, bytes),
                                 choose(kPixels, bytes)};
  const int64_t keys = choose(kRows, bytes);
  const bool alone = bytes.take<uint8_t>() % 2 == 0;
  const double x = bytes.take<uint8_t>() * 4.0;
  const double y = bytes.take<uint8_t>() * 4.0;
  const std::string text = bytes.rest();

  if (const auto heads = gaze::parse_heads(text)) GAZE_HOLDS(heads->head >= 0 && heads->k >= 1);
  if (const auto layers = gaze::parse_layers(text))
    GAZE_HOLDS(layers->first >= 0 && (layers->last == -1 || layers->last >= layers->first));
  gaze::parse_word_files(text);
  gaze::parse_colormap(text);

  gaze::Profile profile;
  try {
    profile = gaze::parse_profile(text, "/nowhere");
  } catch (const gaze::Error& error) {
    GAZE_HOLDS(std::strlen(error.what()) > 0 && std::strlen(error.what()) < 4096);
    return 0;
  }
  const std::string written = gaze::profile_json(profile);
  GAZE_HOLDS(gaze::test::same(gaze::parse_profile(written, "/nowhere"), profile));
  for (const std::string& pattern : profile.sites) gaze::glob_match(pattern, "decoder.layers.0.cross_attn");
  if (!profile.geometry) return 0;
  try {
    use(*profile.geometry, sizes, keys, alone, x, y);
  } catch (const gaze::Error&) {  // does not fit this picture or row
  }
  return 0;
}
