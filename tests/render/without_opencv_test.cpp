// SPDX-License-Identifier: MIT
// A build without OpenCV says so where it matters, and does everything else.
#include <gaze/render/bundle.hpp>
#include <gaze/render/overlay.hpp>

#include "records.hpp"
#include "sounds.hpp"

CATCH_TEST_CASE("without OpenCV: image files and pictures in bundles are refused with what to rebuild") {
  const std::string rebuild = "-DGAZE_WITH_OPENCV=ON";
  GAZE_REQUIRE_REFUSED(gaze::decode(gaze::Picture::from_bytes("x")), gaze::DropReason::DecodeFailed, rebuild);
  const gaze::test::TempDir dir;
  gaze::BundleOptions options;
  options.out_dir = dir / "out";
  gaze::BundleSink sink(options);
  std::string published;
  sink.on_published([&](const std::string&, const std::string& path) { published = path; });
  GAZE_REQUIRE_REFUSED(sink.consume(gaze::test::planted(2, 3, {1})), gaze::DropReason::RenderError, rebuild);
  CATCH_CHECK(gaze::test::list(published) == std::vector<std::string>{"request.json"});
}

CATCH_TEST_CASE("without OpenCV: a picture given as a tensor is composed, stamp included") {
  const gaze::Composition composition = gaze::compose(gaze::test::planted(6, 10, {3, -1}, 200, 400));
  CATCH_CHECK(composition.words[0].rgb_hwc.ne(composition.ground_hwc).any().item<bool>());
  CATCH_CHECK(composition.words[1].rgb_hwc.ne(composition.ground_hwc).any().item<bool>());
}

CATCH_TEST_CASE("without OpenCV: plots of a sound are refused, its word times are not") {
  const gaze::test::TempDir dir;
  gaze::BundleOptions options;
  options.out_dir = dir / "out";
  const gaze::AttentionRecord record = gaze::test::planted_sound(2, {0.5, 1.2});
  gaze::BundleSink sink(options);
  GAZE_REQUIRE_REFUSED(sink.consume(record), gaze::DropReason::RenderError, "-DGAZE_WITH_OPENCV=ON");
  options.delivery = gaze::Delivery::Map;
  gaze::BundleSink maps(options);
  std::string published;
  maps.on_published([&](const std::string&, const std::string& path) { published = path; });
  maps.consume(record);
  CATCH_CHECK(gaze::test::list(published) ==
              std::vector<std::string>{"maps.safetensors", "request.json", "words.json"});
}
