// SPDX-License-Identifier: MIT
// Whose picture, words and map lie in a bundle: batches of many threads at once, each row with a watermark that its
// picture, its answer and its hottest cell say. `gaze_isolation [REQUESTS]`.
#include <ATen/Parallel.h>
#include <gaze/render/bundle.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>

#include "host.hpp"

namespace gaze::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBatch = 8, kBits = 25, kBlock = 8, kBlocks = 5, kAhead = 512;

/// Black and white blocks, which a JPEG keeps apart: bit b is block b.
at::Tensor watermark(int64_t mark) {
  at::Tensor picture_hwc = at::empty({kBlocks * kBlock, kBlocks * kBlock, 3}, at::kByte);
  for (int64_t bit = 0; bit < kBits; ++bit) {
    picture_hwc.narrow(0, bit / kBlocks * kBlock, kBlock)
        .narrow(1, bit % kBlocks * kBlock, kBlock)
        .fill_((mark >> bit & 1) != 0 ? 255 : 0);
  }
  return picture_hwc;
}

int64_t watermark_of(const at::Tensor& picture_hwc) {
  int64_t mark = 0;
  for (int64_t bit = 0; bit < kBits; ++bit) {
    const at::Tensor block =
        picture_hwc.narrow(0, bit / kBlocks * kBlock + 2, kBlock - 4).narrow(1, bit % kBlocks * kBlock + 2, kBlock - 4);
    const double mean = block.to(at::kDouble).mean().item<double>();
    if (mean > 64 && mean < 192) return -1;
    if (mean >= 192) mark |= int64_t{1} << bit;
  }
  return mark;
}

std::string text_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string from_base64(const std::string& text) {
  static const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = letters.find(c);
    if (value == std::string::npos) break;
    bits = bits << 6 | static_cast<uint32_t>(value);
    if ((count += 6) >= 8) bytes += static_cast<char>(bits >> (count -= 8));
  }
  return bytes;
}

/// The picture as report.html holds it.
std::string picture_in(const std::string& page) {
  const std::string mark = "\"jpeg\":\"";
  const size_t at = page.find(mark);
  return at == std::string::npos
             ? std::string()
             : from_base64(page.substr(at + mark.size(), page.find('"', at + mark.size()) - at - mark.size()));
}

class Judge {
 public:
  void look_at(const std::string& id, const std::string& path) {
    const auto request = nlohmann::json::parse(text_of(fs::path(path) / "request.json"), nullptr, false);
    const int64_t mark = std::strtoll(id.c_str(), nullptr, 10);
    const std::string jpeg = picture_in(text_of(fs::path(path) / "report.html"));
    const bool right = request.is_object() && request.value("request_id", "") == id &&
                       request.value("answer", "") == "word" + id && request.value("prompt", "") == "prompt " + id &&
                       !jpeg.empty() && watermark_of(decode(Picture::from_bytes(jpeg))) == mark &&
                       hottest(request) == mark % kKeys;
    seen_.fetch_add(1);
    if (!right) wrong_.fetch_add(1);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!ids_.insert(mark).second) twice_.fetch_add(1);
    }
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  [[nodiscard]] int64_t seen() const { return seen_.load(); }
  [[nodiscard]] int64_t wrong() const { return wrong_.load(); }
  [[nodiscard]] int64_t twice() const { return twice_.load(); }

 private:
  /// Of the grid of 4 x 4 cells on the picture.
  static int64_t hottest(const nlohmann::json& request) {
    const auto& summary = request["summary"];
    if (!summary.is_object() || !summary.contains("hot_point") || !summary["hot_point"].is_array()) return -1;
    const double cell = static_cast<double>(kBlocks * kBlock) / 4;
    return static_cast<int64_t>(summary["hot_point"][1].get<double>() / cell) * 4 +
           static_cast<int64_t>(summary["hot_point"][0].get<double>() / cell);
  }

  std::atomic<int64_t> seen_{0}, wrong_{0}, twice_{0};
  std::mutex mutex_;
  std::set<int64_t> ids_;
};

/// Bundles as they appear, to the judge.
class JudgedSink : public Sink {
 public:
  JudgedSink(const std::string& folder, Judge& judge) : bundles_(options(folder)) {
    bundles_.on_published([&judge](const std::string& id, const std::string& path) { judge.look_at(id, path); });
  }
  void consume(const AttentionRecord& record) override { bundles_.consume(record); }
  void compact(AttentionRecord& record) override { bundles_.compact(record); }

 private:
  static BundleOptions options(const std::string& folder) {
    BundleOptions options;
    options.out_dir = folder;
    options.pictures = {};
    return options;
  }
  BundleSink bundles_;
};

void ask(Gaze& gaze, torch::jit::Module& model, int64_t first) {
  std::vector<int64_t> marks;
  std::vector<RequestSpec> specs;
  for (int64_t b = 0; b < kBatch; ++b) {
    marks.push_back(first + b);
    RequestSpec spec;
    spec.id = std::to_string(first + b);
    spec.prompt = "prompt " + spec.id;
    spec.image = Picture(watermark(first + b));
    specs.push_back(std::move(spec));
  }
  const Marked inputs(marks);
  Request request = gaze.begin(std::move(specs));
  run(model, inputs, kPrompt, "fused");
  for (size_t row = 0; row < static_cast<size_t>(kBatch); ++row)
    request.label({"word" + std::to_string(marks[row])}, row);
  request.finish();
}

int isolation(const std::string& folder, int64_t requests) {
  torch::jit::Module model = null_model();
  Judge judge;
  Options options = null_options(null_profile());
  options.sink = std::make_shared<JudgedSink>(folder, judge);
  Gaze gaze = attach(model, options);
  std::atomic<int64_t> next{0};
  std::vector<std::thread> hosts;
  for (int t = 0; t < 4; ++t) {
    hosts.emplace_back([&] {
      at::set_num_threads(1);
      for (int64_t first = next.fetch_add(kBatch); first < requests; first = next.fetch_add(kBatch)) {
        ask(gaze, model, first);
        while (gaze.stats().in_flight > kAhead) std::this_thread::yield();
      }
    });
  }
  for (int64_t told = 0; judge.seen() < requests - kAhead; std::this_thread::yield()) {
    if (judge.seen() < told + requests / 10) continue;
    told = judge.seen();
    std::fprintf(stderr, "isolation: %ld of %ld\n", static_cast<long>(told), static_cast<long>(requests));
  }
  for (std::thread& host : hosts) host.join();
  gaze.flush(std::chrono::minutes(10));
  const Stats stats = gaze.stats();
  std::printf(
      "isolation: %ld requests of 4 threads in batches of %ld: %ld bundles, %ld mixed, %ld twice; written %ld, %s\n",
      static_cast<long>(requests), static_cast<long>(kBatch), static_cast<long>(judge.seen()),
      static_cast<long>(judge.wrong()), static_cast<long>(judge.twice()), static_cast<long>(stats.written),
      breach(stats).empty() ? "the counters add up" : breach(stats).c_str());
  return judge.seen() == requests && judge.wrong() == 0 && judge.twice() == 0 && stats.written == requests &&
                 breach(stats).empty()
             ? 0
             : 1;
}

}  // namespace
}  // namespace gaze::test

int main(int argc, char** argv) {
  const int64_t wanted = argc > 1 ? std::strtoll(argv[1], nullptr, 10) : 800;
  if (wanted < 8 || wanted >= int64_t{1} << 24) {
    std::fprintf(stderr, "gaze_isolation: expected a number of requests from 8 to 16777215, got %s.\n", argv[1]);
    return 2;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "gaze-isolation-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 2;
  const int status = gaze::test::isolation(folder, wanted / 8 * 8);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return status;
}
