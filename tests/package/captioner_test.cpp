// SPDX-License-Identifier: MIT
// The captioner's side in C++: its tokens are those of the Python package tokenizers, its captions true of its
// pictures.
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <opencv2/core.hpp>
#include <scenes/shapes.hpp>

#include "../../samples/cli/captioner.hpp"
#include "../../samples/cli/console.hpp"
#include "support/test.hpp"

namespace {

using gaze::scenes::Shape;
using gaze::scenes::ShapesComposer;
using gaze::scenes::ShapesPicture;
using gaze::scenes::Split;

const std::string kSamples = GAZE_SAMPLES_DIR;

const ShapesComposer& composer() {
  static const ShapesComposer it(kSamples + "/data");
  return it;
}

}  // namespace

CATCH_TEST_CASE("captioner: the ids of a caption are those that the package tokenizers gives") {
  const gaze::cli::Captioner captioner = gaze::cli::open_captioner(kSamples + "/models/captioner/captioner.pt");
  const std::vector<std::pair<std::string, std::vector<int64_t>>> known = {
      {"a red circle left of a turquoise star",
       {67, 223, 261, 70, 282, 223, 259, 299, 270, 260, 267, 274, 268, 81, 75, 85, 71, 292}},
      {"an orange cross above a white square",
       {262, 265, 84, 269, 71, 289, 260, 68, 81, 88, 71, 260, 223, 89, 74, 75, 86, 71, 285}},
      {"a yellow triangle below a purple circle", {67, 223, 91, 271, 78, 272, 278, 294, 260, 275, 274, 82, 259, 282}},
      {"a green star right of a pink cross", {67, 223, 73, 261, 71, 80, 292, 298, 270, 260, 275, 75, 80, 77, 289}},
      {"", {}},
  };
  for (const auto& [caption, ids] : known) {
    CATCH_INFO(caption);
    CATCH_CHECK(captioner.ids(caption) == ids);
  }
  CATCH_CHECK_THROWS_AS(captioner.ids("a r\xc3\xa9"), gaze::cli::Refusal);
}

CATCH_TEST_CASE("captioner: a caption is true of its picture, and names the two in the order of their colours") {
  std::set<std::string> relations;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const ShapesPicture picture = composer().compose(seed, seed % 2 == 0 ? Split::train : Split::held_out);
    CATCH_REQUIRE(picture.shapes.size() == 2);
    const Shape &a = picture.shapes[0], &b = picture.shapes[1];
    CATCH_REQUIRE(a.colour < b.colour);
    const double across = b.centre_px.x - a.centre_px.x, down = b.centre_px.y - a.centre_px.y;
    CATCH_REQUIRE(std::hypot(across, down) > a.radius_px + b.radius_px);
    std::string where =
        std::abs(across) > std::abs(down) ? (across > 0 ? "left of" : "right of") : (down > 0 ? "above" : "below");
    relations.insert(where);
    const auto named = [](const Shape& shape) {
      return (shape.name().starts_with("orange") ? "an " : "a ") + shape.name();
    };
    CATCH_REQUIRE(picture.caption() == named(a) + " " + where + " " + named(b));
    for (const Shape& shape : picture.shapes) {
      CATCH_REQUIRE(shape.centre_px.x - shape.radius_px >= 0);
      CATCH_REQUIRE(shape.centre_px.y + shape.radius_px <= gaze::scenes::kShapesSide);
    }
  }
  CATCH_CHECK(relations.size() == 4);
}

CATCH_TEST_CASE("captioner: the same seed makes the same picture, without shapes the same photograph and no caption") {
  const cv::Mat once = composer().compose(7, Split::held_out).rgb, again = composer().compose(7, Split::held_out).rgb;
  CATCH_REQUIRE(once.size() == cv::Size(gaze::scenes::kShapesSide, gaze::scenes::kShapesSide));
  CATCH_CHECK(cv::norm(once, again, cv::NORM_INF) == 0);
  const ShapesPicture bare = composer().compose(7, Split::held_out, /*with_shapes=*/false);
  CATCH_CHECK(bare.shapes.empty());
  CATCH_CHECK(bare.caption().empty());
  CATCH_CHECK(cv::norm(once, bare.rgb, cv::NORM_INF) > 0);
  CATCH_CHECK(cv::norm(once, composer().compose(7, Split::train).rgb, cv::NORM_INF) > 0);
  CATCH_CHECK(gaze::scenes::captioner_input(once).size() ==
              cv::Size(gaze::scenes::kShapesModelSide, gaze::scenes::kShapesModelSide));
}

CATCH_TEST_CASE("captioner: what is no captioner is told from what is one") {
  CATCH_CHECK(gaze::cli::is_captioner(kSamples + "/models/captioner/captioner.pt"));
  CATCH_CHECK_FALSE(gaze::cli::is_captioner(kSamples + "/models/stickers/stickers_sdpa.pt"));
  CATCH_CHECK_FALSE(gaze::cli::is_captioner(""));
}
