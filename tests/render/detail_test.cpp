// SPDX-License-Identifier: MIT
// Every head's map in a bundle: what was kept, over the cells of the grid; and what the page has of it.
#include <gaze/render/artifacts.hpp>
#include <gaze/render/cell_keys.hpp>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "page_file.hpp"
#include "safetensors_file.hpp"
#include "sounds.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::test::data_of;
using gaze::test::decoded;
using gaze::test::parse_safetensors;
using gaze::test::planted;
using gaze::test::planted_sound;
using nlohmann::json;

class Kept : public gaze::Artifacts {
 public:
  std::map<std::string, std::string> files;

 private:
  void take(const std::string& name, std::string_view bytes) override { files.emplace(name, bytes); }
};

std::map<std::string, std::string> made_of(const AttentionRecord& record,
                                           gaze::Delivery delivery = gaze::Delivery::Frame) {
  Kept kept;
  gaze::RenderOptions options;
  options.delivery = delivery;
  gaze::render(record, options, kept);
  return kept.files;
}

/// Two sites, of 2 and 3 heads. @return the weights as they were kept: [heads, tokens, keys] of each
std::vector<at::Tensor> keep_detail(AttentionRecord& record) {
  const at::Tensor& map_tk = record.maps[0].map_tk;
  record.maps[0].detail.emplace();
  std::vector<at::Tensor> kept;
  at::manual_seed(11);
  for (const int64_t heads : {2, 3}) {
    at::Tensor weight_htk = at::rand({heads, map_tk.size(0), map_tk.size(1)}).pow(8);
    weight_htk[0][0].zero_();  // a row that sees nothing
    const gaze::ops::QuantisedRows rows = gaze::ops::quantise(weight_htk);
    const std::string site = "layers." + std::to_string(heads) + ".cross";
    record.sites.push_back({site, gaze::SiteKind::Softmax, heads, 1});
    record.maps[0].detail->sites.push_back({site, rows});
    kept.push_back(gaze::ops::dequantise(rows));
  }
  return kept;
}

std::vector<double> weights_of(const std::string& file, const std::string& site) {
  const auto entries = parse_safetensors(file);
  const auto& root = entries.at(site);
  const auto& most = entries.at(site + "/most");
  CATCH_REQUIRE((root.dtype == "U8" && most.dtype == "F32" && root.shape.size() == 3));
  CATCH_REQUIRE(most.shape == std::vector<int64_t>{root.shape[0], root.shape[1]});
  std::vector<double> weights;
  for (size_t i = 0; i < root.bytes.size(); ++i) {
    float of_row = 0;
    std::memcpy(&of_row, most.bytes.data() + i / static_cast<size_t>(root.shape[2]) * sizeof of_row, sizeof of_row);
    const double share = static_cast<uint8_t>(root.bytes[i]) / 255.0;
    weights.push_back(of_row * share * share);
  }
  return weights;
}

}  // namespace

CATCH_TEST_CASE("detail: the file has every head's weights, the page their lift in words") {
  // 45 cells: the last half of a byte is nobody's.
  AttentionRecord record = planted(5, 9, {3, 17, 42, 8});
  record.labels = {"tur", "quoise", " ball", "<eos>"};
  record.labels.pop_back();  // the last token was not asked for
  const std::vector<at::Tensor> kept = keep_detail(record);
  const auto files = made_of(record);
  const json request = json::parse(files.at("request.json"));
  CATCH_CHECK(request.at("detail") == json({{"file", "detail.safetensors"}, {"left_out", nullptr}}));
  CATCH_REQUIRE(request.at("words").size() == 2);
  json metadata;
  CATCH_CHECK(parse_safetensors(files.at("detail.safetensors"), &metadata).size() == 4);
  CATCH_CHECK(metadata.at("gaze_detail") == "1");

  const json detail = data_of(files.at("report.html")).at("maps").at(0).at("detail");
  const std::string roots = decoded(detail.at("roots")), most = decoded(detail.at("most"));
  constexpr size_t kRows = 3, kStride = 23;  // the whole answer, two words; 45 halves of a byte
  CATCH_REQUIRE(roots.size() == 5 * kRows * kStride);
  CATCH_REQUIRE(most.size() == 5 * kRows * sizeof(float));
  size_t row = 0;
  for (size_t s = 0; s < 2; ++s) {
    CATCH_CHECK(detail.at("sites").at(s) == json({{"name", record.sites[s].name}, {"heads", kept[s].size(0)}}));
    const std::vector<double> stored = weights_of(files.at("detail.safetensors"), record.sites[s].name);
    const at::Tensor flat = kept[s].flatten();
    CATCH_REQUIRE(static_cast<int64_t>(stored.size()) == flat.numel());
    for (size_t i = 0; i < stored.size(); ++i)
      CATCH_REQUIRE(std::abs(stored[i] - flat[static_cast<int64_t>(i)].item<double>()) <= 1e-6);
    for (int64_t head = 0; head < kept[s].size(0); ++head) {
      // The first word's tokens count by their focus: of planted rows alike, so each half.
      const at::Tensor lift_tc = kept[s][head].to(at::kDouble) * 45;
      const at::Tensor first_c = (lift_tc[0] + lift_tc[1]) / 2, second_c = lift_tc[2];
      for (const at::Tensor& want_c : {(first_c + second_c) / 2, first_c, second_c}) {
        CATCH_CAPTURE(s, head, row);
        float of_row = 0;
        std::memcpy(&of_row, most.data() + row * sizeof of_row, sizeof of_row);
        CATCH_CHECK(of_row == Approx(want_c.max().item<double>()));
        for (int64_t c = 0; c < 45; ++c) {
          const auto pair = static_cast<uint8_t>(roots[row * kStride + static_cast<size_t>(c / 2)]);
          const double root = (c % 2 == 0 ? pair & 15 : pair >> 4) / 15.0;
          const double want = of_row > 0 ? std::sqrt(want_c[c].item<double>() / of_row) : 0;
          CATCH_REQUIRE(std::abs(root - want) <= 0.51 / 15);
        }
        ++row;
      }
    }
  }
}

CATCH_TEST_CASE("detail: keys that are no cells are left out of it, as of the map") {
  AttentionRecord record = planted(4, 7, {3, 17});
  gaze::Geometry& geometry = record.maps[0].geometry();
  geometry.cols = 6;
  geometry.row_end = 1;
  geometry.last_row_end = true;
  const std::vector<at::Tensor> kept = keep_detail(record);
  const auto files = made_of(record, gaze::Delivery::Map);
  CATCH_CHECK(files.count("report.html") == 0);
  const gaze::CellKeys keys = gaze::cell_keys(geometry);
  const std::vector<double> stored = weights_of(files.at("detail.safetensors"), record.sites[1].name);
  CATCH_REQUIRE(stored.size() == 3 * 2 * 24);
  for (int64_t h = 0; h < 3; ++h) {
    for (int64_t t = 0; t < 2; ++t) {
      for (int64_t c = 0; c < 24; ++c) {
        const double want = kept[1][h][t][c / 6 * 7 + c % 6].item<double>();
        const double got = stored[static_cast<size_t>((h * 2 + t) * 24 + c)];
        CATCH_REQUIRE(std::abs(got - want) <= 1.0 / 255 + 1e-6);
      }
    }
  }
  CATCH_CHECK(keys.rows * keys.cols == 24);
}

CATCH_TEST_CASE("detail: of a sound it lies over the recording's cells, without its padding") {
  AttentionRecord record = planted_sound(1.0, {0.2, 0.6}, 1.4);
  const std::vector<at::Tensor> kept = keep_detail(record);
  const auto files = made_of(record);
  const std::vector<double> stored = weights_of(files.at("detail.safetensors"), record.sites[0].name);
  CATCH_REQUIRE(stored.size() == 2 * 2 * 50);
  for (int64_t i = 0; i < 200; ++i) {
    const double want = kept[0][i / 100][i / 50 % 2][i % 50].item<double>();
    CATCH_REQUIRE(std::abs(stored[static_cast<size_t>(i)] - want) <= 1.0 / 255 + 1e-6);
  }
  CATCH_CHECK(data_of(files.at("report.html")).at("maps").at(0).at("detail").at("sites").size() == 2);
}

CATCH_TEST_CASE("detail: for flagged answers alone, where that was asked") {
  const auto has = [](AttentionRecord record) {
    keep_detail(record);
    record.maps[0].detail->if_flagged = true;
    const auto files = made_of(record);
    const bool there = files.count("detail.safetensors") == 1;
    CATCH_CHECK(there != json::parse(files.at("request.json")).at("detail").is_null());
    return there;
  };
  AttentionRecord sharp = planted(6, 10, {3, 17}), flat = planted(6, 10, {-1, -1, 3});
  CATCH_CHECK_FALSE(has(sharp));
  CATCH_CHECK(has(flat));
  AttentionRecord masked = sharp;
  masked.maps[0].flags_t = at::full({2}, static_cast<int64_t>(gaze::ops::kRowFullyMasked), at::kInt);
  CATCH_CHECK(has(masked));
  // With limits the verdict says it.
  sharp.maps[0].grounding =
      gaze::GroundingLimits{.word_weak = 0.99, .word_grounded = 0.999, .answer_weak = 0.99, .answer_grounded = 0.999};
  CATCH_CHECK(has(sharp));
  flat.maps[0].grounding = gaze::GroundingLimits{0, 0, 0, 0};
  CATCH_CHECK_FALSE(has(flat));
}

CATCH_TEST_CASE("detail: what was left out is said, and nothing else is missing") {
  AttentionRecord record = planted(6, 10, {3, 17});
  record.maps[0].detail = gaze::Detail{{}, false, "more than GAZE_QUEUE_BYTES holds"};
  const auto files = made_of(record);
  CATCH_CHECK(files.count("detail.safetensors") == 0);
  const json request = json::parse(files.at("request.json"));
  CATCH_CHECK(request.at("detail") == json({{"file", nullptr}, {"left_out", "more than GAZE_QUEUE_BYTES holds"}}));
  CATCH_CHECK(data_of(files.at("report.html")).at("maps").at(0).at("detail").is_null());
}
