// SPDX-License-Identifier: MIT
// What of a request is kept is decided before a sink or a disk sees it, and where that fails nothing is.
#include <sys/stat.h>
#include <gaze/render/redaction.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "hooks_test.hpp"

namespace fs = std::filesystem;
using gaze::AttentionRecord;
using gaze::Content;
using gaze::DropReason;
using gaze::Redaction;
using hooks_test::Lines;
using hooks_test::load;
using hooks_test::MemorySink;

namespace {

constexpr const char* kCanaries[] = {"kanarienrot", "quetzalfive", "wombatprompt", "numbatname"};

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (fs::temp_directory_path() / "gaze-redact-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

gaze::Options bundles_in(const fs::path& folder) {
  gaze::Options options = hooks_test::options({"layers.*.cross_attn"});
  options.sink = nullptr;
  options.out_dir = folder.string();
  options.delivery = gaze::Delivery::Map;
  options.profile_in_code->geometry = gaze::Geometry{.rows = 2, .cols = 4};
  options.log = "debug";
  return options;
}

at::Tensor ask(gaze::Gaze& gaze, torch::jit::Module& module, const std::string& id = "join-key") {
  gaze::RequestSpec spec;
  spec.id = id;
  spec.image = gaze::Picture(at::full({16, 32, 3}, 90, at::kByte));
  spec.prompt = "describe wombatprompt";
  spec.attributes = {{"tenant", "a"}, {"patient", "numbatname"}};
  gaze::Request request = gaze.begin(std::move(spec));
  at::Tensor out = module.forward(hooks_test::inputs(1, 2, 8)).toTensor().clone();
  request.label({"kanarienrot", " quetzalfive"});
  request.finish();
  return out;
}

/// Names and bytes of all files, one behind the other.
std::string all_of(const fs::path& folder) {
  std::string all;
  if (!fs::exists(folder)) return all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    all += entry.path().string() + "\n";
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    all.append(std::istreambuf_iterator<char>(file), {});
  }
  return all;
}

size_t bundles(const fs::path& folder) {
  size_t count = 0;
  if (!fs::exists(folder)) return count;
  for (const auto& entry : fs::directory_iterator(folder)) count += fs::exists(entry.path() / "request.json") ? 1 : 0;
  return count;
}

void check_no_canary(const std::string& bytes) {
  for (const char* canary : kCanaries) {
    CATCH_CAPTURE(canary);
    CATCH_CHECK(bytes.find(canary) == std::string::npos);
  }
}

std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const auto& line : lines) all += line + "\n";
  return all;
}

fs::path key_file(const TempFolder& folder, size_t bytes, mode_t mode) {
  fs::path path = folder / ("key-" + std::to_string(bytes) + "-" + std::to_string(mode));
  std::ofstream(path) << std::string(bytes, 'k');
  ::chmod(path.c_str(), mode);
  return path;
}

}  // namespace

CATCH_TEST_CASE("redact: outputs are the same bytes, and the bundle holds none of what was named") {
  const TempFolder folder;
  const at::Tensor plain = load("softmax").forward(hooks_test::inputs(1, 2, 8)).toTensor().clone();
  torch::jit::Module module = load("softmax");
  Lines lines;
  gaze::Options options = bundles_in(folder / "out");
  options.on_log = lines.take();
  int64_t asked = 0;
  options.redact = [&](const AttentionRecord& record) {
    ++asked;
    CATCH_CHECK(record.prompt == "describe wombatprompt");
    return Redaction{.boxes = {{0, 0, 8, 8}}, .tokens = {0, 1}, .prompt = true, .attributes = {"patient"}};
  };
  gaze::Gaze gaze = gaze::attach(module, options);
  for (int i = 0; i < 5; ++i) CATCH_CHECK(hooks_test::same_bytes(ask(gaze, module), plain));
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(asked == 5);
  CATCH_CHECK(bundles(folder / "out") == 5);
  check_no_canary(all_of(folder / "out"));
  check_no_canary(joined(lines.all()));
  hooks_test::check_law(gaze.stats());
}

CATCH_TEST_CASE("redact: a sink of the host's own gets the redacted record, each row by its own redaction") {
  torch::jit::Module module = load("softmax");
  const auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink, {"layers.*.cross_attn"});
  options.redact = [](const AttentionRecord& record) {
    return Redaction{.tokens = {record.request_id == "first" ? 0 : 1}};
  };
  gaze::Gaze gaze = gaze::attach(module, options);
  gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>{{.id = "first"}, {.id = "second"}});
  module.forward(hooks_test::inputs(2, 2, 8));
  for (size_t row = 0; row < 2; ++row) request.label({"a", "b"}, row);
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 2);
  CATCH_CHECK(records[0].labels == std::vector<std::string>{gaze::kRedacted, "b"});
  CATCH_CHECK(records[1].labels == std::vector<std::string>{"a", gaze::kRedacted});
}

CATCH_TEST_CASE("redact: what fails leaves no file and no word in the log") {
  const TempFolder folder;
  const std::vector<std::function<Redaction(const AttentionRecord&)>> failures = {
      [](const AttentionRecord& record) -> Redaction { throw std::runtime_error(record.prompt + record.labels[0]); },
      [](const AttentionRecord& record) -> Redaction { throw gaze::Error(record.prompt, DropReason::Internal); },
      [](const AttentionRecord& record) -> Redaction { throw record.prompt; },
      [](const AttentionRecord&) {
        return Redaction{.boxes = {{-1, 0, 1, 1}}};
      },
      [](const AttentionRecord&) { return Redaction{.tokens = {2}}; },
      [](const AttentionRecord&) { return Redaction{.passages = {"numbatname"}}; },
      [](const AttentionRecord&) {
        Redaction redaction;
        redaction.mask_yx = at::ones({16, 31}, at::kByte);
        return redaction;
      }};
  for (size_t i = 0; i < failures.size(); ++i) {
    CATCH_CAPTURE(i);
    torch::jit::Module module = load("softmax");
    Lines lines;
    const fs::path out = folder / std::to_string(i);
    gaze::Options options = bundles_in(out);
    options.on_log = lines.take();
    options.redact = failures[i];
    gaze::Gaze gaze = gaze::attach(module, options);
    ask(gaze, module);
    CATCH_REQUIRE(gaze.flush());
    CATCH_CHECK(gaze.stats().drops(DropReason::RedactionFailed) == 1);
    gaze.shutdown();
    CATCH_CHECK(bundles(out) == 0);
    check_no_canary(all_of(out));
    check_no_canary(joined(lines.all()));
  }
}

CATCH_TEST_CASE("redact: levels leave the content out, and ids in") {
  const TempFolder folder;
  for (const Content content : {Content::Maps, Content::Hashed}) {
    torch::jit::Module module = load("softmax");
    Lines lines;
    const fs::path out = folder / gaze::name(content);
    gaze::Options options = bundles_in(out);
    options.on_log = lines.take();
    options.content = content;
    options.hash_key = key_file(folder, 16, 0600);
    options.redact = [](const AttentionRecord&) { return Redaction{.attributes = {"patient"}}; };
    gaze::Gaze gaze = gaze::attach(module, options);
    ask(gaze, module);
    CATCH_REQUIRE(gaze.flush());
    CATCH_CHECK(bundles(out) == 1);
    const std::string all = all_of(out);
    check_no_canary(all);
    check_no_canary(joined(lines.all()));
    CATCH_CHECK(all.find("join-key") != std::string::npos);
    // HMAC-SHA256 of "kanarienrot" with sixteen times "k", as Python's hmac has it.
    if (content == Content::Hashed) CATCH_CHECK(all.find("2b0d3d56fcc4") != std::string::npos);
  }
}

CATCH_TEST_CASE("redact: without a key of its owner's alone nothing is hashed") {
  const TempFolder folder;
  for (const fs::path& key : {fs::path(), folder / "none", key_file(folder, 15, 0600), key_file(folder, 16, 0640),
                              key_file(folder, 16, 0604), folder / ""}) {
    torch::jit::Module module = load("softmax");
    gaze::Options options = bundles_in(folder / "out");
    options.content = Content::Hashed;
    options.hash_key = key;
    CATCH_CHECK_THROWS_AS(gaze::attach(module, options), gaze::Error);
  }
  CATCH_CHECK_FALSE(fs::exists(folder / "out"));
}
