// SPDX-License-Identifier: MIT
#include <cstdlib>

#include "hooks_test.hpp"

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

CATCH_TEST_CASE("environment values set their fields") {
  const Variable a("GAZE_CAPTURE", "1"), b("GAZE_OUT_DIR", "/somewhere"), c("GAZE_SAMPLE_RATE", "0.5"),
      d("GAZE_LAYERS", "max:1-2");
  const Variable e("GAZE_HEADS", "topk:2"), f("GAZE_COLORMAP", "cividis"), g("GAZE_FORMAT", "jpeg"),
      h("GAZE_DELIVERY", "map");
  const Variable i("GAZE_QUEUE_BYTES", "4096"), j("GAZE_LOG", "info"), k("GAZE_PROFILE", "p.json"),
      l("GAZE_DISABLED", "1"), m("GAZE_WORD_FILES", "srt,textgrid");
  std::vector<std::string> warnings;
  const gaze::Options options = gaze::from_environment({}, &warnings);
  CATCH_CHECK(warnings.empty());
  CATCH_CHECK(options.capture);
  CATCH_CHECK(options.disabled);
  CATCH_CHECK(options.out_dir == "/somewhere");
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
  CATCH_CHECK(options.format == gaze::ImageFormat::Jpeg);
  CATCH_CHECK(options.delivery == gaze::Delivery::Map);
  CATCH_CHECK((options.word_files == std::vector{gaze::WordFile::Srt, gaze::WordFile::TextGrid}));
  CATCH_CHECK(options.queue_bytes == 4096);
  CATCH_CHECK(options.log == "info");
}

CATCH_TEST_CASE("a bad environment value is named once with what is allowed, and ignored; empty is unset") {
  const std::vector<std::array<std::string, 3>> cases = {{"GAZE_CAPTURE", "yes", "0 or 1"},
                                                         {"GAZE_SAMPLE_RATE", "1.5", "from 0 to 1"},
                                                         {"GAZE_SAMPLE_RATE", "nan", "from 0 to 1"},
                                                         {"GAZE_LAYERS", "rollout", "weighted, a range"},
                                                         {"GAZE_LAYERS", "2-1", "range"},
                                                         {"GAZE_HEADS", "one:x", "one:N"},
                                                         {"GAZE_COLORMAP", "jet", "turbo"},
                                                         {"GAZE_FORMAT", "gif", "png"},
                                                         {"GAZE_DELIVERY", "both", "frame"},
                                                         {"GAZE_WORD_FILES", "vtt,doc", "vtt,srt,textgrid"},
                                                         {"GAZE_WORD_FILES", "vtt,vtt", "vtt,srt,textgrid"},
                                                         {"GAZE_QUEUE_BYTES", "64M", "bytes"},
                                                         {"GAZE_LOG", "loud", "debug"},
                                                         {"GAZE_DISABLED", "2", "0 or 1"}};
  for (const auto& [name, value, allowed] : cases) {
    CATCH_CAPTURE(name, value);
    const Variable variable(name.c_str(), value.c_str());
    std::vector<std::string> warnings;
    const gaze::Options options = gaze::from_environment({}, &warnings);
    CATCH_REQUIRE(warnings.size() == 1);
    CATCH_CHECK(warnings[0].find(name + ": expected ") == 0);
    CATCH_CHECK(warnings[0].find(allowed) != std::string::npos);
    CATCH_CHECK(warnings[0].find("got \"" + value + "\"") != std::string::npos);
    CATCH_CHECK(options.sample_rate == 1.0);
    CATCH_CHECK_FALSE(options.capture);
    CATCH_CHECK_FALSE(options.layers);
    const Variable empty(name.c_str(), "");
    warnings.clear();
    (void)gaze::from_environment({}, &warnings);
    CATCH_CHECK(warnings.empty());
  }
}

CATCH_TEST_CASE("the kill switch wins over capture") {
  const Variable a("GAZE_CAPTURE", "1"), b("GAZE_DISABLED", "1");
  torch::jit::Module module = hooks_test::load("softmax");
  gaze::Gaze gaze = gaze::attach(module);
  CATCH_CHECK_FALSE(gaze.enabled());
}
