// SPDX-License-Identifier: MIT
// The lines of docs/sinks.md, as a program: sink_page MODEL.pt
#include <torch/csrc/jit/serialization/import.h>

#include <ATen/ops/rand.h>
#include <gaze/gaze.hpp>
#include <gaze/render/artifacts.hpp>
#include <gaze/render/sink.hpp>

#include <cstdio>
#include <map>
#include <mutex>

namespace {

// [page]
class Store : public gaze::Artifacts {
 public:
  std::map<std::string, std::string> files;

 private:
  void take(const std::string& name, std::string_view bytes) override { files.emplace(name, bytes); }
};

class StoreSink : public gaze::Sink {
 public:
  void consume(const gaze::AttentionRecord& record) override {
    Store store;
    gaze::render(record, {.format = gaze::ImageFormat::Jpeg}, store);  // throws: the request counts as dropped
    const std::lock_guard<std::mutex> lock(mutex);
    answers[record.request_id] = std::move(store.files);
  }
  std::mutex mutex;
  std::map<std::string, std::map<std::string, std::string>> answers;
};
// [/page]

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto model = torch::jit::load(argv[1]);
  const auto sink = std::make_shared<StoreSink>();
  gaze::Options options;
  options.capture = true;
  options.sink = sink;
  gaze::Profile profile;
  profile.sites = {"*"};
  profile.geometry.emplace();
  profile.geometry->rows = 3;
  profile.geometry->cols = 3;
  profile.rows.of = gaze::TokenRows::Of::Last;
  options.profile_in_code = profile;
  gaze::Gaze gaze = gaze::attach(model, options);
  auto request = gaze.begin({.id = "42", .image = at::rand({30, 30, 3})});
  model.forward({at::rand({1, 9, 16}), at::rand({1, 9, 16})});
  request.finish();
  if (!gaze.flush()) return 1;
  for (const auto& [name, bytes] : sink->answers["42"]) std::printf("%s %zu\n", name.c_str(), bytes.size());
  return sink->answers["42"].count("overlay.jpg") == 1 && sink->answers["42"].count("request.json") == 1 ? 0 : 1;
}
