// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "hooks_test.hpp"

using hooks_test::Lines;

namespace {

class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

}  // namespace

CATCH_TEST_CASE("GAZE_DETAIL says for whom every head's map is kept") {
  using When = gaze::DetailChoice::When;
  const auto chosen = [](const char* value) {
    const Variable set("GAZE_DETAIL", value);
    std::vector<std::string> warnings;
    const gaze::Options options = gaze::from_environment({}, &warnings);
    CATCH_CHECK(warnings.empty());
    return options.detail;
  };
  CATCH_CHECK(chosen("off").when == When::Never);
  CATCH_CHECK(chosen("0").when == When::Never);
  CATCH_CHECK(chosen("all").when == When::Always);
  CATCH_CHECK(chosen("flagged").when == When::Flagged);
  CATCH_CHECK(chosen("0.25").when == When::Sampled);
  CATCH_CHECK(chosen("0.25").share == 0.25);
  CATCH_CHECK(chosen("next:20").when == When::Next);
  CATCH_CHECK(chosen("next:20").count == 20);
}

CATCH_TEST_CASE("environment values set their fields") {
  const Variable a("GAZE_CAPTURE", "1"), b("GAZE_OUT_DIR", "/somewhere"), c("GAZE_SAMPLE_RATE", "0.5"),
      d("GAZE_LAYERS", "max:1-2");
  const Variable e("GAZE_HEADS", "topk:2"), f("GAZE_COLORMAP", "cividis"), g("GAZE_FORMAT", "webp"),
      h("GAZE_DELIVERY", "map");
  const Variable i("GAZE_QUEUE_BYTES", "4096"), j("GAZE_LOG", "info"), k("GAZE_PROFILE", "p.json"),
      l("GAZE_DISABLED", "1"), m("GAZE_WORD_FILES", "srt,textgrid"), n("GAZE_STRICT_OUT_DIR", "1"),
      o("GAZE_DRIFT", "kept.json");
  std::vector<std::string> warnings;
  const gaze::Options options = gaze::from_environment({}, &warnings);
  CATCH_CHECK(warnings.empty());
  CATCH_CHECK(options.capture);
  CATCH_CHECK(options.disabled);
  CATCH_CHECK(options.out_dir == "/somewhere");
  CATCH_CHECK(options.strict_out_dir);
  CATCH_CHECK(options.drift_baseline == "kept.json");
  CATCH_CHECK(options.profile == "p.json");
  CATCH_CHECK(options.sample_rate == 0.5);
  CATCH_REQUIRE(options.layers);
  CATCH_CHECK(options.layers->kind == gaze::ops::LayerReduce::Max);
  CATCH_CHECK(options.layers->first == 1);
  CATCH_CHECK(options.layers->last == 2);
  CATCH_REQUIRE(options.heads);
  CATCH_CHECK(options.heads->kind == gaze::ops::HeadReduce::TopK);
  CATCH_CHECK(options.heads->k == 2);
  CATCH_CHECK(options.colormap == gaze::ops::Colormap::Cividis);
  CATCH_CHECK(options.format == gaze::ImageFormat::Webp);
  CATCH_CHECK(options.delivery == gaze::Delivery::Map);
  CATCH_CHECK((options.word_files == std::vector{gaze::WordFile::Srt, gaze::WordFile::TextGrid}));
  CATCH_CHECK(options.queue_bytes == 4096);
  CATCH_CHECK(options.log == "info");
}

CATCH_TEST_CASE("a value that is not understood keeps capture off where it limits, and is ignored where it decorates") {
  struct Case {
    std::string name, value, allowed;
    bool limits;
  };
  const std::vector<Case> cases = {{"GAZE_CAPTURE", "jes", "true, yes or on", true},
                                   {"GAZE_CAPTURE", "2", "true, yes or on", true},
                                   {"GAZE_SAMPLE_RATE", "1.5", "from 0 to 1", true},
                                   {"GAZE_SAMPLE_RATE", "1%", "from 0 to 1", true},
                                   {"GAZE_SAMPLE_RATE", "0,01", "from 0 to 1", true},
                                   {"GAZE_SAMPLE_RATE", "nan", "from 0 to 1", true},
                                   {"GAZE_SAMPLE_RATE", "-0.5", "from 0 to 1", true},
                                   {"GAZE_LAYERS", "rollout", "weighted, a range", true},
                                   {"GAZE_LAYERS", "2-1", "range", true},
                                   {"GAZE_HEADS", "one:x", "one:N", true},
                                   {"GAZE_HEADS", "one:99999999999999999999", "one:N", true},
                                   {"GAZE_DELIVERY", "both", "frame", true},
                                   {"GAZE_QUEUE_BYTES", "64M", "bytes", true},
                                   {"GAZE_DEFERRED_TOKENS", "1", "from 2 to 32", true},
                                   {"GAZE_COLORMAP", "jet", "turbo", false},
                                   {"GAZE_FORMAT", "gif", "png", false},
                                   {"GAZE_DETAIL", "1.5", "next:N", true},
                                   {"GAZE_DETAIL", "next:0", "next:N", true},
                                   {"GAZE_DETAIL", "next:", "next:N", true},
                                   {"GAZE_DETAIL", "nan", "next:N", true},
                                   {"GAZE_DETAIL", "some", "next:N", true},
                                   {"GAZE_PICTURES", "all,sheet", "overlay,words,sheet", true},
                                   {"GAZE_PICTURES", "words,", "overlay,words,sheet", true},
                                   {"GAZE_LONGEST_SIDE", "15", "from 16", true},
                                   {"GAZE_LONGEST_SIDE", "huge", "full", true},
                                   {"GAZE_WORD_FILES", "vtt,doc", "vtt,srt,textgrid", false},
                                   {"GAZE_WORD_FILES", "vtt,vtt", "vtt,srt,textgrid", false},
                                   {"GAZE_LOG", "loud", "debug", false}};
  for (const auto& [name, value, allowed, limits] : cases) {
    CATCH_CAPTURE(name, value);
    const Variable variable(name.c_str(), value.c_str());
    std::vector<std::string> warnings;
    gaze::Options given;
    given.capture = true;
    const gaze::Options options = gaze::from_environment(given, &warnings);
    CATCH_CHECK(options.capture == !limits);
    CATCH_CHECK_FALSE(gaze::from_environment(given).capture == limits);
    CATCH_REQUIRE(warnings.size() == 1);
    CATCH_CHECK(warnings[0].find(name + ": expected ") == 0);
    CATCH_CHECK(warnings[0].find(allowed) != std::string::npos);
    CATCH_CHECK(warnings[0].find("got \"" + value + "\"") != std::string::npos);
    CATCH_CHECK(warnings[0].find(limits ? "capture stays off" : "ignored") != std::string::npos);
    CATCH_CHECK(options.sample_rate == 1.0);
    CATCH_CHECK_FALSE(options.layers);

    // One line, also where it is GAZE_CAPTURE itself; and no exception.
    torch::jit::Module module = hooks_test::load("softmax");
    Lines lines;
    gaze::Options host;
    host.capture = true;
    host.on_log = lines.take();
    const gaze::Gaze gaze = gaze::attach(module, host);
    CATCH_CHECK(gaze.enabled() == !limits);
    // And the one that says what is captured.
    std::vector<std::string> said = lines.all();
    if (!limits) {
      CATCH_REQUIRE(said.size() == 2);
      CATCH_CHECK_THAT(said.back(), Catch::StartsWith("attached: capture is on"));
      said.pop_back();
    }
    CATCH_CHECK(said == warnings);

    const Variable empty(name.c_str(), "");
    warnings.clear();
    CATCH_CHECK(gaze::from_environment(given, &warnings).capture);
    CATCH_CHECK(warnings.empty());
  }
}

CATCH_TEST_CASE("yes and no are understood in any case and any of their words") {
  torch::jit::Module module = hooks_test::load("softmax");
  const auto enabled = [&](Lines& lines) {
    gaze::Options options;
    options.on_log = lines.take();
    options.sink = std::make_shared<hooks_test::MemorySink>();
    return gaze::attach(module, options).enabled();
  };
  for (const char* yes : {"1", "true", "TRUE", "True", "yes", "Yes", "on", "ON"}) {
    CATCH_CAPTURE(yes);
    Lines lines;
    const Variable capture("GAZE_CAPTURE", yes);
    CATCH_CHECK(enabled(lines));
    for (const char* kills : {yes, "2", "kill", " ", "disabled"}) {
      const Variable disabled("GAZE_DISABLED", kills);
      CATCH_CHECK_FALSE(enabled(lines));
      CATCH_CHECK(gaze::from_environment({}).disabled);
    }
    for (const char* lives : {"", "0", "false", "FALSE", "no", "No", "off"}) {
      const Variable disabled("GAZE_DISABLED", lives);
      CATCH_CHECK(enabled(lines));
    }
    CATCH_CHECK(lines.all().size() == 8);  // each time that it is on
  }
  for (const char* no : {"", "0", "false", "FALSE", "no", "NO", "off", "Off"}) {
    CATCH_CAPTURE(no);
    Lines lines;
    const Variable capture("GAZE_CAPTURE", no);
    CATCH_CHECK_FALSE(enabled(lines));
    CATCH_CHECK(lines.all().empty());
  }
}

CATCH_TEST_CASE(
    "what the environment says of a model and does not fit keeps capture off, with one line, and throws nothing") {
  const std::string folder = std::filesystem::temp_directory_path() / ("gaze-options-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/not.json") << "{";
  std::ofstream(folder + "/other.json") << R"({"gaze_profile": 1, "name": "other", "sites": {"match": ["decoder.*"]}})";
  std::ofstream(folder + "/verify.json") << R"({"gaze_profile": 1, "name": "v", "verify": true,
    "sites": {"match": ["layers.*.cross_attn"]}, "geometry": {"kind": "grid", "rows": 2, "cols": 3}})";
  CATCH_REQUIRE(mkfifo((folder + "/fifo").c_str(), 0600) == 0);
  const std::vector<std::pair<std::string, std::string>> cases = {{"GAZE_LAYERS", "max:0-99999999"},
                                                                  {"GAZE_LAYERS", "40-41"},
                                                                  {"GAZE_HEADS", "one:4"},
                                                                  {"GAZE_HEADS", "one:9223372036854775807"},
                                                                  {"GAZE_PROFILE", folder + "/missing.json"},
                                                                  {"GAZE_PROFILE", folder},
                                                                  {"GAZE_PROFILE", folder + "/fifo"},
                                                                  {"GAZE_PROFILE", "/dev/zero"},
                                                                  {"GAZE_PROFILE", folder + "/not.json"},
                                                                  {"GAZE_PROFILE", folder + "/other.json"},
                                                                  {"GAZE_PROFILE", folder + "/verify.json"}};
  const auto model_inputs = hooks_test::inputs(1, 2, 6);
  torch::jit::Module untouched = hooks_test::load("softmax");
  const at::Tensor expected = untouched.forward(model_inputs).toTensor();
  for (const auto& [name, value] : cases) {
    CATCH_CAPTURE(name, value);
    torch::jit::Module module = hooks_test::load("softmax");
    Lines lines;
    const Variable capture("GAZE_CAPTURE", "1"), variable(name.c_str(), value.c_str());
    gaze::Options options;
    options.on_log = lines.take();
    options.sink = std::make_shared<hooks_test::MemorySink>();
    const gaze::Gaze gaze = gaze::attach(module, options);
    CATCH_CHECK_FALSE(gaze.enabled());
    CATCH_REQUIRE(lines.all().size() == 1);
    CATCH_CHECK(lines.all()[0].find(name + ": capture stays off: ") == 0);
    CATCH_CHECK(lines.all()[0].find("expected ") != std::string::npos);
    CATCH_CHECK(lines.all()[0].find(" got") != std::string::npos);
    CATCH_CHECK(hooks_test::same_bytes(module.forward(model_inputs).toTensor(), expected));
  }

  // The host's own faults are still told to its face, whatever the environment says of other things.
  const Variable capture("GAZE_CAPTURE", "1"), layers("GAZE_LAYERS", "mean");
  torch::jit::Module module = hooks_test::load("softmax");
  gaze::Options options = hooks_test::options({"decoder.*"});
  options.read_environment = true;
  CATCH_CHECK_THROWS_AS(gaze::attach(module, options), gaze::Error);
  options = hooks_test::options();
  options.read_environment = true;
  options.heads = gaze::HeadChoice{gaze::ops::HeadReduce::One, 4, 0};
  CATCH_CHECK_THROWS_WITH(gaze::attach(module, options), Catch::Contains("heads: expected one of the 4 heads"));
  options.heads.reset();
  options.profile = folder + "/missing.json";
  CATCH_CHECK_THROWS_AS(gaze::attach(module, options), gaze::Error);
  std::filesystem::remove_all(folder);
}

CATCH_TEST_CASE("the kill switch wins over capture") {
  const Variable a("GAZE_CAPTURE", "1"), b("GAZE_DISABLED", "1");
  torch::jit::Module module = hooks_test::load("softmax");
  gaze::Options options;
  options.capture = true;
  gaze::Gaze gaze = gaze::attach(module, options);
  CATCH_CHECK_FALSE(gaze.enabled());
}
