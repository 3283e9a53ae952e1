// SPDX-License-Identifier: MIT
// A program of its own: no other test has begun a library's threads.
#include <ATen/Parallel.h>
#include <gaze/render/bundle.hpp>

#include "records.hpp"
#include "sounds.hpp"

namespace {

size_t threads() { return gaze::test::list("/proc/self/task").size(); }

}  // namespace

CATCH_TEST_CASE("threads: drawing a bundle begins none") {
  at::set_num_threads(1);  // torch's own are the host's choice
  const gaze::test::TempDir dir;
  const size_t before = threads();
  gaze::AttentionRecord large = gaze::test::planted(6, 10, {3, 17, -1}, 1500, 2400);
  large.labels = {"one", "two", "three"};
  gaze::AttentionRecord sound = gaze::test::planted_sound(70, {1, 30, 65}, 0, 2);
  sound.labels = large.labels;
  for (const gaze::ImageFormat format : {gaze::ImageFormat::Png, gaze::ImageFormat::Jpeg, gaze::ImageFormat::Webp}) {
    gaze::BundleOptions options;
    options.out_dir = dir / "out";
    options.format = format;
    std::string published;
    gaze::BundleSink sink(options);
    sink.on_published([&](const std::string&, const std::string& path) { published = path; });
    sink.consume(sound);
    sink.consume(large);
    const char* extension = format == gaze::ImageFormat::Png    ? "png"
                            : format == gaze::ImageFormat::Jpeg ? "jpg"
                                                                : "webp";
    CATCH_INFO(extension);
    // A file of the same size, and one that is enlarged for the sheet.
    gaze::AttentionRecord from_file = large;
    picture_of(from_file) = gaze::Picture(published + "/overlay." + extension);
    sink.consume(from_file);
    gaze::AttentionRecord small = gaze::test::planted(2, 3, {1}, 30, 40);
    sink.consume(small);
    CATCH_CHECK(threads() == before);
  }
}
