// SPDX-License-Identifier: MIT
// Records with planted attention, and a directory that goes away.
#pragma once

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gaze/render/bundle.hpp>
#include <gaze/render/record.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/media.hpp"
#include "support/test.hpp"

namespace gaze::test {

/// A picture without symmetries, so that any swap or shift of axes shows.
inline at::Tensor noise_picture(int64_t height, int64_t width) {
  at::manual_seed(7);
  return at::randint(0, 256, {height, width, 3}, at::kByte);
}

/// One token per entry of `hot`: 90 % of the attention on that cell, the rest spread evenly. -1: all spread evenly.
inline AttentionRecord planted(int64_t rows, int64_t cols, const std::vector<int64_t>& hot, int64_t height = 60,
                               int64_t width = 100) {
  AttentionRecord record;
  record.request_id = "request 1";
  const auto tokens = static_cast<int64_t>(hot.size());
  const int64_t cells = rows * cols;
  PictureMedium medium;
  medium.geometry.rows = rows;
  medium.geometry.cols = cols;
  medium.picture = Picture(noise_picture(height, width));
  record.maps.emplace_back().medium = std::move(medium);
  record.maps[0].map_tk = at::empty({tokens, cells}, at::kFloat);
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t cell = hot[static_cast<size_t>(t)];
    record.maps[0].map_tk[t].fill_((cell < 0 ? 0.95 : 0.05) / static_cast<double>(cells));
    if (cell >= 0) record.maps[0].map_tk[t][cell] = 0.9;
  }
  record.maps[0].mass_t = record.maps[0].map_tk.sum(1);
  record.maps[0].visible_t = at::full({tokens}, static_cast<double>(cells), at::kFloat);
  record.maps[0].flags_t = at::zeros({tokens}, at::kInt);
  record.keys = cells;
  record.style.normalise.subtract_sinks = false;
  return record;
}

struct Refusal {
  DropReason reason;
  std::string text;
};

/// What `work` was refused with; nullopt when it was not.
template <typename Work>
std::optional<Refusal> refusal(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return Refusal{error.reason(), error.what()};
  }
  return std::nullopt;
}

#define GAZE_REQUIRE_REFUSED(work, wanted_reason, wanted_text)                          \
  do {                                                                                  \
    const auto refused = gaze::test::refusal([&] { (void)(work); });                    \
    CATCH_REQUIRE(refused);                                                             \
    CATCH_CHECK(gaze::name(refused->reason) == std::string(gaze::name(wanted_reason))); \
    CATCH_CHECK_THAT(refused->text, Catch::Matchers::Contains(wanted_text));            \
  } while (false)

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gaze-render-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// Names in a directory, sorted, hidden ones too, but what proves the others.
inline std::vector<std::string> list(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    const std::string name = entry.path().filename();
    if (name != "manifest.json" && name != "chain.json" && name != ".chain.lock") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// Every picture there is, as large as it is, and to the bit.
inline gaze::BundleOptions all_pictures_in(const std::string& out_dir) {
  gaze::BundleOptions options;
  options.out_dir = out_dir;
  options.format = gaze::ImageFormat::Png;
  options.pictures = {true, true, true, true};
  options.longest_side_pixels = 0;
  return options;
}

}  // namespace gaze::test
