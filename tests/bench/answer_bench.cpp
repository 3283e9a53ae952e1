// SPDX-License-Identifier: MIT
// What an answer about a picture costs the worker, drawn and written, or as numbers alone; and how large its bundle is.
#include <ATen/ATen.h>
#include <gaze/render/bundle.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "codecs/image_codec.hpp"
#include "folder.hpp"
#include "harness.hpp"

namespace gaze_bench {
namespace {

namespace fs = std::filesystem;

/// Seven words, five of them with content, over 24 x 24 cells of a photograph.
std::shared_ptr<gaze::AttentionRecord> answer(int64_t height, int64_t width, bool encoded) {
  constexpr int64_t kWords = 7, kSide = 24, kCells = kSide * kSide;
  const at::Tensor photo_hwc =
      gaze::decode(gaze::Picture(std::string(GAZE_BENCH_SOURCE) + "/samples/data/demo/coffee.jpg"));
  const at::Tensor photo = photo_hwc.permute({2, 0, 1}).unsqueeze(0).to(at::kFloat);
  const at::Tensor scaled_hwc = at::upsample_bicubic2d(photo, {height, width}, false)
                                    .squeeze(0)
                                    .permute({1, 2, 0})
                                    .round()
                                    .clamp(0, 255)
                                    .to(at::kByte)
                                    .contiguous();
  auto record = std::make_shared<gaze::AttentionRecord>();
  record->request_id = "bench";
  record->labels = {" a", " purple", " sticker", " on", " a", " red", " saucer"};
  at::manual_seed(1);
  gaze::MediumMap& map = record->maps.emplace_back();
  map.map_tk = at::rand({kWords, kCells}).mul_(1e-4);
  for (int64_t t = 0; t < kWords; ++t) map.map_tk[t].narrow(0, 70 * t, 5).add_(0.18);
  map.map_tk = map.map_tk / map.map_tk.sum(1, true);
  map.mass_t = at::ones({kWords});
  map.visible_t = at::full({kWords}, static_cast<double>(kCells));
  map.flags_t = at::zeros({kWords}, at::kInt);
  record->keys = kCells;
  gaze::PictureMedium medium;
  medium.geometry.rows = medium.geometry.cols = kSide;
  medium.picture = encoded ? gaze::Picture::from_bytes(gaze::encode_image(scaled_hwc, gaze::ImageFormat::Jpeg))
                           : gaze::Picture(scaled_hwc);
  map.medium = std::move(medium);
  return record;
}

uintmax_t bytes_below(const fs::path& folder) {
  uintmax_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) bytes += entry.file_size();
  return bytes;
}

struct Limits {
  double milliseconds = 0;
  uintmax_t bytes = 0;
};

/// The same with the map of every head of 24 layers of 16.
std::shared_ptr<gaze::AttentionRecord> detailed_answer() {
  const auto record = answer(480, 640, false);
  const at::Tensor& map_tk = record->maps[0].map_tk;
  gaze::Detail& detail = record->maps[0].detail.emplace();
  for (int layer = 0; layer < 24; ++layer) {
    const std::string site = "layers." + std::to_string(layer) + ".cross_attn";
    detail.sites.push_back({site, gaze::ops::quantise(at::rand({16, map_tk.size(0), map_tk.size(1)}).pow(6))});
  }
  return record;
}

/// Sixty tokens over a prompt of eight passages, 2000 tokens in all.
std::shared_ptr<gaze::AttentionRecord> text_answer() {
  constexpr int64_t kTokens = 60, kPrompt = 2000, kPassages = 8, kKeys = kPrompt + kTokens - 1;
  auto record = std::make_shared<gaze::AttentionRecord>();
  record->request_id = "bench";
  gaze::TextMedium medium;
  medium.text.tokens.emplace_back("<s>");
  for (int64_t k = 1; k < kPrompt; ++k) medium.text.tokens.push_back(" word" + std::to_string(k % 613));
  for (int64_t p = 0; p < kPassages; ++p)
    medium.text.sources.push_back(
        {gaze::SourceKind::Passage, "doc-" + std::to_string(p), 1 + 240 * p, 1 + 240 * (p + 1)});
  medium.answer_key = kPrompt;
  medium.geometry = gaze::Geometry{.rows = 1, .cols = kKeys, .text = true};
  for (int64_t t = 0; t < kTokens; ++t) record->labels.push_back(" said" + std::to_string(t));
  at::manual_seed(1);
  gaze::MediumMap& map = record->maps.emplace_back();
  map.map_tk = at::rand({kTokens, kKeys}).pow_(8);
  for (int64_t t = 0; t < kTokens; ++t) map.map_tk[t].narrow(0, kPrompt + t, kTokens - 1 - t).zero_();
  map.map_tk = map.map_tk / map.map_tk.sum(1, true);
  map.mass_t = at::ones({kTokens});
  map.visible_t = at::arange(kPrompt, kPrompt + kTokens).to(at::kFloat);
  map.flags_t = at::zeros({kTokens}, at::kInt);
  record->keys = kPrompt;
  map.medium = std::move(medium);
  return record;
}

Subject answer_subject(const std::shared_ptr<gaze::AttentionRecord>& record, gaze::Delivery delivery,
                       const Limits& limits) {
  const auto folder = std::make_shared<Folder>();
  gaze::BundleOptions options;
  options.out_dir = folder->path;
  options.delivery = delivery;
  const auto sink = std::make_shared<gaze::BundleSink>(options);
  Subject subject;
  subject.ours = {"bundle", [=] { sink->consume(*record); }};
  if (limits.milliseconds > 0) {
    subject.peers.push_back({"the limit", {}, {}, std::vector<double>(7, limits.milliseconds)});
    subject.gates = {{Gate::Kind::ShareOfPeer, 1}};
  }
  subject.check = [=]() -> std::string {
    fs::remove_all(folder->path);
    sink->consume(*record);
    const uintmax_t bytes = bytes_below(folder->path);
    if (limits.bytes == 0 || bytes <= limits.bytes) return "";
    return "expected at most " + std::to_string(limits.bytes) + " bytes, got " + std::to_string(bytes);
  };
  return subject;
}

/// Of a picture that waits behind others.
Subject compact_subject() {
  const auto record = answer(480, 640, false);
  const auto folder = std::make_shared<Folder>();
  gaze::BundleOptions options;
  options.out_dir = folder->path;
  const auto sink = std::make_shared<gaze::BundleSink>(options);
  Subject subject;
  subject.ours = {"compact", [=] {
                    gaze::AttentionRecord waiting = *record;
                    sink->compact(waiting);
                  }};
  subject.check = [=]() -> std::string {
    gaze::AttentionRecord waiting = *record;
    sink->compact(waiting);
    const int64_t bytes = waiting.bytes();
    return bytes * 8 <= record->bytes() ? "" : "expected an eighth of the bytes, got " + std::to_string(bytes);
  };
  return subject;
}

}  // namespace

void add_answer_lines() {
  using gaze::Delivery;
  add("answer of 7 words, 640x480, drawn and written", 1, [] {
    return answer_subject(answer(480, 640, false), Delivery::Frame, {20, 500'000});
  });
  add("answer of 7 words, 640x480, numbers alone", 1, [] {
    return answer_subject(answer(480, 640, false), Delivery::Map, {0, 0});
  });
  add("answer of 7 words, 4000x3000, drawn and written", 1, [] {
    return answer_subject(answer(3000, 4000, false), Delivery::Frame, {60, 1'500'000});
  });
  add("answer of 7 words, 4000x3000 from a JPEG, drawn and written", 1, [] {
    return answer_subject(answer(3000, 4000, true), Delivery::Frame, {60, 1'500'000});
  });
  add("answer of 60 tokens, a text of 2000, drawn and written", 1,
      [] { return answer_subject(text_answer(), gaze::Delivery::Frame, {.milliseconds = 60, .bytes = 2000000}); });
  add("answer of 7 words, 640x480, with the maps of 384 heads", 1, [] {
    return answer_subject(detailed_answer(), Delivery::Frame, {0, 0});
  });
  add("picture 640x480 that waits, compacted", 1, [] { return compact_subject(); });
}

}  // namespace gaze_bench
