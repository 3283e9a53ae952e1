// SPDX-License-Identifier: MIT
// A running capture: steered by the host, by a file and by each request; says how it is; stops where nothing can be
// kept.
#include <sys/stat.h>
#include <unistd.h>
#include <gaze/render/drift.hpp>
#include <gaze/render/operation.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <sstream>

#include "hooks_test.hpp"

namespace fs = std::filesystem;
using gaze::DropReason;
using hooks_test::check_law;
using hooks_test::load;
using hooks_test::MemorySink;

namespace {

class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "gaze-operate-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// As an editor does: whole, or not at all.
void say(const fs::path& path, const std::string& text) {
  std::ofstream(path.string() + ".new") << text;
  ::chmod((path.string() + ".new").c_str(), 0600);
  fs::rename(path.string() + ".new", path);
}

/// CTest ends a test that waits in vain.
void until(const std::function<bool()>& condition) {
  while (!condition()) std::this_thread::yield();
}

std::vector<fs::path> bundles_in(const fs::path& folder) {
  std::vector<fs::path> found;
  if (!fs::is_directory(folder)) return found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "request.json")) found.push_back(entry.path());
  }
  return found;
}

/// Into bundles of numbers alone, which need no drawing.
gaze::Options into(const fs::path& folder) {
  gaze::Options options = hooks_test::options({"layers.*.cross_attn"});
  options.sink = nullptr;
  options.out_dir = folder.string();
  options.delivery = gaze::Delivery::Map;
  options.profile_in_code->name = "tiny";
  options.profile_in_code->geometry = gaze::Geometry{.rows = 2, .cols = 4};
  return options;
}

gaze::RequestSpec asked(const std::string& id) {
  gaze::RequestSpec spec;
  spec.id = id;
  spec.image = gaze::Picture(at::full({16, 32, 3}, 90, at::kByte));
  return spec;
}

void answer(gaze::Gaze& gaze, torch::jit::Module& module, gaze::RequestSpec spec) {
  gaze::Request request = gaze.begin(std::move(spec));
  module.forward(hooks_test::inputs(1, 2, 8));
  request.finish();
}

/// Different answers, each to keys of its own. @param scale  of what asks: the larger, the sharper attention is
void ask(gaze::Gaze& gaze, torch::jit::Module& module, int answers, double scale) {
  static uint64_t seed = 0;
  for (int i = 0; i < answers; ++i) {
    const std::vector<c10::IValue> drawn = hooks_test::inputs(1, 2, 8, ++seed);
    gaze::Request request = gaze.begin(asked(std::to_string(seed)));
    module.forward({drawn[0].toTensor() * scale, drawn[1]});
    request.finish();
  }
  CATCH_REQUIRE(gaze.flush());
}

gaze::AttentionStatistics baseline(const Folder& folder, torch::jit::Module& module, int answers) {
  const auto records = std::make_shared<MemorySink>();
  gaze::Options options = into(folder / "baseline");
  gaze::AttentionStatistics statistics;
  gaze::BundleSink bundles(gaze::bundle_options(options));
  bundles.on_measured([&](const gaze::AnswerFigures& figures) {
    statistics.add(figures);
    return true;
  });
  options.sink = records;
  gaze::Gaze gaze = gaze::attach(module, options);
  ask(gaze, module, answers, 1);
  for (const gaze::AttentionRecord& record : records->records()) bundles.consume(record);
  return statistics;
}

std::vector<std::string> ids_of(const std::vector<gaze::AttentionRecord>& records) {
  std::vector<std::string> ids;
  for (const auto& record : records) ids.push_back(record.request_id);
  return ids;
}

}  // namespace

CATCH_TEST_CASE("operate: of a batch the rows are captured that are to be, as if each were alone") {
  torch::jit::Module module = load("softmax");
  const auto inputs = hooks_test::inputs(4, 2, 7);
  const at::Tensor plain = module.forward(inputs).toTensor().clone();
  const auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink, {"layers.*.cross_attn"});
  options.sample_rate = 0;
  gaze::Gaze gaze = gaze::attach(module, options);
  gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>{{.id = "none"},
                                                                    {.id = "in", .capture = true},
                                                                    {.id = "out", .capture = false},
                                                                    {.id = "in too", .capture = true}});
  CATCH_CHECK(hooks_test::same_bytes(module.forward(inputs).toTensor(), plain));
  for (size_t row = 0; row < 4; ++row) request.label({"a", "b"}, row);
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(ids_of(records) == std::vector<std::string>{"in", "in too"});
  for (const auto& [record, row] : {std::pair(records[0], 1), std::pair(records[1], 3)}) {
    torch::jit::Module other = load("softmax");
    const auto alone = hooks_test::captured(other, hooks_test::options({"layers.*.cross_attn"}), [&](gaze::Request&) {
      other.forward({inputs[0].toTensor().slice(0, row, row + 1), inputs[1].toTensor().slice(0, row, row + 1)});
    });
    CATCH_CHECK(hooks_test::worst(record.maps[0].map_tk, alone.only().maps[0].map_tk) < 1e-6);
  }
  const gaze::Stats stats = gaze.stats();
  CATCH_CHECK(stats.begun == 4);
  CATCH_CHECK(stats.sampled == 2);
  CATCH_CHECK(stats.drops(DropReason::OptedOut) == 1);
  CATCH_CHECK(stats.drops(DropReason::NotSampled) == 1);
  CATCH_CHECK(stats.begun == stats.sampled + stats.declined());
  CATCH_CHECK(stats.taps > 0);
  CATCH_CHECK(stats.tap_seconds > 0);
  CATCH_CHECK(stats.queue_bytes == 0);
}

CATCH_TEST_CASE("operate: opted out after it began, a row leaves nothing") {
  torch::jit::Module module = load("softmax");
  const auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink, {"layers.*.cross_attn"}));
  {
    gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>{{.id = "a"}, {.id = "b"}});
    module.forward(hooks_test::inputs(2, 1, 6));
    request.opt_out(0);
    request.opt_out(0);
    request.opt_out(7);
    request.finish();
    request.opt_out(1);  // too late
  }
  {
    gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>{{.id = "c"}, {.id = "d"}});
    request.opt_out(1);
    // Dropped without finish: what was opted out is counted once.
  }
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(ids_of(sink->records()) == std::vector<std::string>{"b"});
  CATCH_CHECK(gaze.stats().drops(DropReason::Withdrawn) == 2);
  CATCH_CHECK(gaze.stats().drops(DropReason::NotFinished) == 1);
  CATCH_CHECK(gaze.stats().in_flight == 0);
  check_law(gaze.stats());
}

CATCH_TEST_CASE("operate: rows that are not captured stay so when a search gathers them anew") {
  torch::jit::Module module = load("softmax");
  const auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink, {"layers.*.cross_attn"}));
  gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>{{.id = "a"}, {.id = "b", .capture = false}});
  module.forward(hooks_test::inputs(2, 1, 6));
  request.reorder({0, 0, 1});
  module.forward(hooks_test::inputs(3, 1, 6));
  request.reorder({1, 2});
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(ids_of(sink->records()) == std::vector<std::string>{"a"});
  const gaze::Stats stats = gaze.stats();
  CATCH_CHECK(stats.drops(DropReason::Superseded) == 1);
  CATCH_CHECK(stats.sampled == stats.written + stats.lost());
  CATCH_CHECK(stats.in_flight == 0);
}

CATCH_TEST_CASE("operate: the host steers: off, on, the next ones, ids and prompts") {
  torch::jit::Module module = load("softmax");
  const auto sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze = gaze::attach(module, hooks_test::options(sink, {"layers.*.cross_attn"}));
  gaze.control({.capture = false});
  answer(gaze, module, {.id = "off", .capture = true});
  module.forward(hooks_test::inputs(1, 2, 8));  // nobody opened this one
  gaze.control({.sample_rate = 0, .next = 1, .ids = "vip-*", .prompts = "*why*"});
  answer(gaze, module, {.id = "first"});
  answer(gaze, module, {.id = "second"});
  answer(gaze, module, {.id = "vip-3"});
  answer(gaze, module, {.id = "fourth", .prompt = "and why?"});
  gaze.control({});
  answer(gaze, module, {.id = "fifth"});
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(ids_of(sink->records()) == std::vector<std::string>{"first", "vip-3", "fourth", "fifth"});
  CATCH_CHECK_THROWS_WITH(gaze.control({.sample_rate = 1.5}), Catch::Contains("sample_rate"));
  CATCH_CHECK(gaze.control().sample_rate == 1);
  CATCH_CHECK(gaze.stats().drops(DropReason::NotSampled) == 3);
  check_law(gaze.stats());
  gaze::Gaze inert;
  inert.control({.next = 5});
  CATCH_CHECK_FALSE(inert.control().capture);
}

CATCH_TEST_CASE("operate: a file in the directory steers, and what it says is told") {
  const Folder folder;
  torch::jit::Module module = load("softmax");
  hooks_test::Lines lines;
  gaze::Options options = into(folder / "out");
  options.log = "info";
  options.on_log = lines.take();
  gaze::Gaze gaze = gaze::attach(module, options);
  CATCH_CHECK_THAT(lines.at_least(1)[0], Catch::Contains("capture is on for 100 %") &&
                                             Catch::Contains("profile tiny") && Catch::Contains(" sites, ") &&
                                             Catch::Contains((folder / "out").string()));
  until([&] { return fs::exists(folder / "out/status.json"); });
  CATCH_CHECK((fs::status(folder / "out/status.json").permissions() & fs::perms::others_all) == fs::perms::none);
  say(folder / "out/control.txt", "capture = off\nsample_rate = 7\n");
  until([&] { return !gaze.control().capture; });
  answer(gaze, module, asked("off"));
  const auto said = lines.at_least(3);
  CATCH_CHECK_THAT(said[1], Catch::Contains("line 2: expected a number from 0 to 1, got \"sample_rate = 7\""));
  CATCH_CHECK_THAT(said[2], Catch::Contains("control: capture off"));
  // That of this process wins over that of the directory.
  say(folder / ("out/control-" + std::to_string(::getpid()) + ".txt"), "capture = on\nnext = 1\nsample_rate = 0\n");
  until([&] { return gaze.control().capture; });
  answer(gaze, module, asked("one"));
  answer(gaze, module, asked("two"));
  fs::remove(folder / "out/control.txt");
  say(folder / ("out/control-" + std::to_string(::getpid()) + ".txt"), "until = 1\ncapture = off\n");
  until([&] { return gaze.control().sample_rate == 1; });
  CATCH_CHECK(gaze.control().capture);
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(bundles_in(folder / "out").size() == 1);
  // Others may not decide.
  say(folder / "out/control.txt", "capture = off\n");
  ::chmod((folder / "out/control.txt").c_str(), 0666);
  CATCH_CHECK(lines.at_least(5).size() >= 5);
  until([&] {
    const auto all = lines.all();
    return std::any_of(all.begin(), all.end(),
                       [](const std::string& line) { return line.find("chmod go-w") != std::string::npos; });
  });
  CATCH_CHECK(gaze.control().capture);
  check_law(gaze.stats());
  gaze.shutdown();
  const std::string status = text_of(folder / "out/status.json");
  CATCH_CHECK_THAT(status, Catch::Contains("\"ended\": true") && Catch::Contains("\"model\": \"tiny\"") &&
                               Catch::Contains("\"written\": 1") && Catch::Contains("\"not_sampled\": 2"));
  CATCH_CHECK_FALSE(fs::exists(folder / ("out/control-" + std::to_string(::getpid()) + ".txt")));
}

CATCH_TEST_CASE("operate: two captures of one directory are in one status, each by its name") {
  const Folder folder;
  torch::jit::Module one = load("softmax"), two = load("sdpa");
  gaze::Options options = into(folder / "out");
  gaze::Gaze first = gaze::attach(one, options);
  options.profile_in_code->name = "tiny \"too\"\n";
  gaze::Gaze second = gaze::attach(two, options);
  answer(first, one, asked("1"));
  answer(second, two, asked("2"));
  CATCH_REQUIRE(first.flush());
  CATCH_REQUIRE(second.flush());
  const std::string metrics = gaze::metrics_text();
  CATCH_CHECK_THAT(metrics,
                   Catch::Contains("gaze_requests_written_total{model=\"tiny\"} 1\n") &&
                       Catch::Contains("gaze_requests_written_total{model=\"tiny \\\"too\\\" \"} 1\n") &&
                       Catch::Contains("gaze_answer_mass_count{model=\"tiny\"} 1\n") &&
                       Catch::Contains("gaze_requests_dropped_total{model=\"tiny\",reason=\"disk_full\"} 0\n"));
  // Every line is a comment or one sample, and every name is said what it is before it comes.
  std::istringstream text(metrics);
  std::set<std::string> typed;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("# TYPE ")) typed.insert(line.substr(7, line.find(' ', 7) - 7));
    if (line.starts_with("#")) continue;
    std::string name = line.substr(0, line.find_first_of("{ "));
    for (const char* ending : {"_bucket", "_sum", "_count"}) {
      if (name.ends_with(ending) && typed.count(name) == 0) name.resize(name.size() - std::string(ending).size());
    }
    CATCH_INFO(line);
    CATCH_CHECK(typed.count(name) == 1);
    CATCH_CHECK_NOTHROW(std::stod(line.substr(line.rfind(' ') + 1)));
  }
  first.shutdown();
  CATCH_CHECK_THAT(gaze::metrics_text(), !Catch::Contains("{model=\"tiny\"}"));
  until([&] { return text_of(folder / "out/status.json").find("\"ended\": false") != std::string::npos; });
  second.shutdown();
  CATCH_CHECK_THAT(text_of(folder / "out/status.json"), Catch::Contains("\"ended\": true"));
}

CATCH_TEST_CASE("operate: answers that nobody asked to keep are measured, counted, and leave nothing") {
  const Folder folder;
  torch::jit::Module module = load("softmax");
  gaze::Options options = into(folder / "out");
  options.keep = *gaze::parse_keep("long:3");
  options.metrics_file = folder / "gaze-%p.prom";
  gaze::Gaze gaze = gaze::attach(module, options);
  answer(gaze, module, asked("short"));
  gaze::Request request = gaze.begin(asked("long"));
  for (int step = 0; step < 3; ++step) module.forward(hooks_test::inputs(1, 1, 8));
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  const auto left = bundles_in(folder / "out");
  CATCH_REQUIRE(left.size() == 1);
  CATCH_CHECK_THAT(text_of(left[0] / "request.json"), Catch::Contains("\"request_id\": \"long\""));
  CATCH_CHECK(gaze.stats().drops(DropReason::NotKept) == 1);
  check_law(gaze.stats());
  gaze.shutdown();
  const fs::path metrics = folder / ("gaze-" + std::to_string(::getpid()) + ".prom");
  CATCH_CHECK_THAT(text_of(metrics), Catch::Contains("gaze_answer_mass_count{model=\"tiny\"} 2\n"));
  CATCH_CHECK((fs::status(metrics).permissions() & fs::perms::others_read) != fs::perms::none);
}

CATCH_TEST_CASE("operate: where nothing can be kept nothing is captured, and it heals by itself") {
  const Folder folder;
  torch::jit::Module module = load("softmax");
  std::ofstream(folder / "out") << "a file where the directory should be";
  gaze::Gaze gaze = gaze::attach(module, into(folder / "out"));
  while (gaze.stats().drops(DropReason::Breaker) == 0) {
    answer(gaze, module, asked("lost"));
    CATCH_REQUIRE(gaze.flush());
  }
  const int64_t tried = gaze.stats().drops(DropReason::OutDir);
  CATCH_CHECK(tried >= 8);
  CATCH_CHECK_THAT(gaze::metrics_text(), Catch::Contains("gaze_breaker_open{model=\"tiny\"} 1\n"));
  fs::remove(folder / "out");
  const auto start = std::chrono::steady_clock::now();
  while (gaze.stats().written < 2) {
    answer(gaze, module, asked("kept"));
    CATCH_REQUIRE(gaze.flush());
  }
  CATCH_WARN("healed after " << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()
                             << " s");
  CATCH_CHECK(bundles_in(folder / "out").size() >= 2);
  CATCH_CHECK_THAT(gaze::metrics_text(), Catch::Contains("gaze_breaker_open{model=\"tiny\"} 0\n"));
  CATCH_CHECK(gaze.stats().begun == gaze.stats().sampled + gaze.stats().declined());
}

CATCH_TEST_CASE("operate: answers unlike those of the baseline are told, and when they are alike again") {
  const Folder folder;
  torch::jit::Module module = load("softmax");
  std::ofstream(folder / "kept.json") << baseline(folder, module, 200).json() << '\n';
  hooks_test::Lines lines;
  gaze::Options options = into(folder / "out");
  options.log = "warn";
  options.on_log = lines.take();
  options.drift_baseline = folder / "kept.json";
  gaze::Gaze gaze = gaze::attach(module, options);
  const auto metric = [](const char* value) {
    return Catch::Contains(std::string("gaze_drift_verdict{model=\"tiny\"} ") + value + "\n");
  };
  ask(gaze, module, 49, 1);
  CATCH_CHECK_THAT(gaze::metrics_text(), !Catch::Contains("gaze_drift_verdict{"));
  ask(gaze, module, 151, 1);
  CATCH_CHECK_THAT(gaze::metrics_text(), metric("0"));
  CATCH_CHECK(lines.all().empty());
  ask(gaze, module, 200, 6);
  CATCH_CHECK_THAT(gaze::metrics_text(),
                   metric("2") && Catch::Contains("gaze_drift_psi{model=\"tiny\",figure=\"entropy\"} "));
  CATCH_REQUIRE(lines.all().size() == 1);
  CATCH_CHECK_THAT(lines.all()[0], Catch::Contains("drift: attention of tiny is not as in ") &&
                                       Catch::Contains("entropy (PSI ") &&
                                       Catch::Contains((folder / "kept.json").string()));
  until([&] { return text_of(folder / "out/status.json").find("\"verdict\": \"major\"") != std::string::npos; });
  ask(gaze, module, 250, 1);
  CATCH_CHECK_THAT(gaze::metrics_text(), metric("0"));
  CATCH_REQUIRE(lines.all().size() == 2);
  CATCH_CHECK_THAT(lines.all()[1], Catch::Contains("drift: attention of tiny is no longer far from "));
  check_law(gaze.stats());
}

CATCH_TEST_CASE("operate: a baseline that says nothing of the answers is told, and capture goes on without") {
  const Folder folder;
  torch::jit::Module module = load("softmax");
  const auto told = [&](const std::string& name, const std::shared_ptr<gaze::Sink>& sink = nullptr) {
    hooks_test::Lines lines;
    gaze::Options options = into(folder / "out");
    options.sink = sink;
    options.log = "warn";
    options.on_log = lines.take();
    options.drift_baseline = folder / name;
    gaze::Gaze gaze = gaze::attach(module, options);
    const size_t at_attach = lines.all().size();
    ask(gaze, module, 2, 1);
    CATCH_CHECK(gaze.stats().written == 2);
    CATCH_CHECK_THAT(gaze::metrics_text(), !Catch::Contains("gaze_drift_verdict{"));
    CATCH_REQUIRE(lines.all().size() == 1);
    return (at_attach == 1 ? "attach: " : "answer: ") + lines.all()[0];
  };
  CATCH_CHECK_THAT(told("gone.json"), Catch::StartsWith("attach: ") && Catch::Contains("gone.json") &&
                                          Catch::Contains("No such file") &&
                                          Catch::Contains("Nothing is compared with it."));
  std::ofstream(folder / "damaged.json") << R"({"gaze_statistics": 1})";
  CATCH_CHECK_THAT(told("damaged.json"), Catch::StartsWith("attach: ") && Catch::Contains("expected versions"));
  CATCH_CHECK_THAT(told("gone.json", std::make_shared<MemorySink>()),
                   Catch::StartsWith("attach: ") && Catch::Contains("a sink of the host's own"));
  std::ofstream(folder / "few.json") << baseline(folder, module, 10).json();
  CATCH_CHECK_THAT(told("few.json"),
                   Catch::StartsWith("answer: ") && Catch::Contains("expected 50 answers of tiny or more, got 10"));
  std::ofstream(folder / "none.json") << gaze::AttentionStatistics().json();
  CATCH_CHECK_THAT(told("none.json"), Catch::StartsWith("answer: ") && Catch::Contains("has no answers of tiny"));
}

CATCH_TEST_CASE("operate: names that begin as ours do and are none are told with the nearest one") {
  setenv("GAZE_SAMPEL_RATE", "0.01", 1);
  setenv("GAZE_TEST_WHATEVER", "1", 1);
  std::vector<std::string> warnings;
  gaze::from_environment({}, &warnings);
  unsetenv("GAZE_SAMPEL_RATE");
  unsetenv("GAZE_TEST_WHATEVER");
  CATCH_REQUIRE(warnings.size() == 1);
  CATCH_CHECK_THAT(warnings[0], Catch::StartsWith("GAZE_SAMPEL_RATE: ") && Catch::Contains("GAZE_SAMPLE_RATE"));
}

CATCH_TEST_CASE("operate: the host is told where each bundle is, and what it throws then hurts nothing") {
  Folder folder;
  torch::jit::Module module = load("softmax");
  gaze::Options options = into(folder / "out");
  std::mutex mutex;
  std::map<std::string, std::string> told;
  options.on_published = [&](const std::string& id, const std::string& path) {
    const std::lock_guard<std::mutex> lock(mutex);
    told[id] = path;
    throw std::runtime_error("the host's own");
  };
  {
    gaze::Gaze gaze = gaze::attach(module, options);
    for (const char* id : {"a", "b"}) answer(gaze, module, asked(id));
    CATCH_REQUIRE(gaze.flush());
    CATCH_CHECK(gaze.stats().written == 2);
    CATCH_CHECK(gaze.stats().lost() == 0);
  }
  CATCH_REQUIRE(told.size() == 2);
  for (const auto& [id, path] : told) {
    CATCH_CAPTURE(id, path);
    CATCH_CHECK(fs::exists(fs::path(path) / "request.json"));
  }
  CATCH_CHECK(told["a"] != told["b"]);
}

CATCH_TEST_CASE("operate: a signing key that cannot be used is an error of code, and of the environment one line") {
  Folder folder;
  torch::jit::Module module = load("softmax");
  gaze::Options options = into(folder / "out");
  options.signing_key = (folder / "gone.pem").string();
  CATCH_CHECK_THROWS_WITH(gaze::attach(module, options), Catch::Matchers::StartsWith("signing_key: expected"));
  CATCH_REQUIRE(::setenv("GAZE_SIGNING_KEY", options.signing_key.c_str(), 1) == 0);
  hooks_test::Lines lines;
  options.read_environment = true;
  options.log = "warn";
  options.on_log = lines.take();
  const gaze::Gaze gaze = gaze::attach(module, options);
  ::unsetenv("GAZE_SIGNING_KEY");
  CATCH_CHECK_FALSE(gaze.enabled());
  CATCH_CHECK(lines.at_least(1)[0].find("signing_key: expected") != std::string::npos);
}
