// SPDX-License-Identifier: MIT
// What a bundle holds besides pictures: request.json and the maps; and safetensors files read by an independent reader.
#include <sys/resource.h>
#include <sys/stat.h>
#include <gaze/render/bundle.hpp>
#include <gaze/render/overlay.hpp>
#include <gaze/render/safetensors.hpp>

#include <csignal>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "records.hpp"
#include "safetensors_file.hpp"

namespace {

using gaze::AttentionRecord;
using gaze::BundleOptions;
using gaze::BundleSink;
using gaze::Delivery;
using gaze::DropReason;
using gaze::test::parse_safetensors;
using gaze::test::planted;
using gaze::test::TempDir;
using nlohmann::json;

std::string raw(const at::Tensor& tensor) {
  const at::Tensor c = tensor.contiguous();
  return {static_cast<const char*>(c.const_data_ptr()), c.nbytes()};
}

BundleOptions maps_only(const TempDir& dir) {
  BundleOptions options;
  options.out_dir = dir / "out";
  options.delivery = Delivery::Map;
  return options;
}

std::string publish(const BundleOptions& options, const AttentionRecord& record) {
  BundleSink sink(options);
  std::string published;
  sink.on_published([&](const std::string& id, const std::string& path) {
    CATCH_CHECK(id == record.request_id);
    published = path;
  });
  try {
    sink.consume(record);
  } catch (const gaze::Error&) {
    CATCH_REQUIRE_FALSE(published.empty());
  }
  return published;
}

json sidecar(const std::string& bundle) { return json::parse(gaze::test::read_bytes(bundle + "/request.json")); }

}  // namespace

CATCH_TEST_CASE("safetensors: every type comes back by an independent reader") {
  const TempDir dir;
  const at::Tensor source = at::arange(12, at::kFloat).view({3, 4});
  const std::vector<std::pair<std::string, at::Tensor>> tensors = {
      {"f32", source.clone()},         {"transposed", source.t()},
      {"f16", source.to(at::kHalf)},   {"bf16", source.to(at::kBFloat16)},
      {"f64", source.to(at::kDouble)}, {"i64", source.to(at::kLong)},
      {"i32", source.to(at::kInt)},    {"u8", source.to(at::kByte)},
      {"bool", source.gt(5)},          {"scalar", at::scalar_tensor(2.5)},
      {"empty", at::empty({0, 7})},    {"name with \"quotes\" and \xC3\xA4", source.clone()},
  };
  const std::string path = dir / "t.safetensors";
  gaze::write_safetensors(path, tensors, {{"who", "test"}});
  json metadata;
  const auto entries = parse_safetensors(gaze::test::read_bytes(path), &metadata);
  CATCH_CHECK(metadata == json({{"who", "test"}}));
  CATCH_REQUIRE(entries.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    CATCH_INFO(name);
    CATCH_CHECK(entries.at(name).shape == tensor.sizes().vec());
    CATCH_CHECK(entries.at(name).bytes == raw(tensor));
  }
  CATCH_CHECK(entries.at("f32").dtype == "F32");
  CATCH_CHECK(entries.at("f16").dtype == "F16");
  CATCH_CHECK(entries.at("bf16").dtype == "BF16");
  CATCH_CHECK(entries.at("i32").dtype == "I32");
  CATCH_CHECK(entries.at("bool").dtype == "BOOL");
  CATCH_CHECK(gaze::test::list(dir.path()) == std::vector<std::string>{"t.safetensors"});
}

CATCH_TEST_CASE("safetensors: refusals leave neither a file nor a temporary one") {
  const TempDir dir;
  const at::Tensor tensor = at::ones({2});
  GAZE_REQUIRE_REFUSED(gaze::write_safetensors(dir / "missing/t", {{"a", tensor}}), DropReason::OutDir, "missing");
  GAZE_REQUIRE_REFUSED(gaze::write_safetensors(dir / "", {{"a", tensor}}), DropReason::OutDir, "expected a file name");
  GAZE_REQUIRE_REFUSED(gaze::write_safetensors(dir / "t", {{"a", tensor}, {"a", tensor}}), DropReason::IoError, "'a'");
  GAZE_REQUIRE_REFUSED(gaze::write_safetensors(dir / "t", {{"a", at::Tensor()}}), DropReason::IoError, "undefined");
  GAZE_REQUIRE_REFUSED(gaze::write_safetensors(dir / "t", {{"a", at::zeros({2}, at::kComplexFloat)}}),
                       DropReason::IoError, "ComplexFloat");
  CATCH_CHECK(gaze::test::list(dir.path()).empty());
}

CATCH_TEST_CASE("bundle: maps alone hold request.json and the raw numbers, and need no picture") {
  const TempDir dir;
  AttentionRecord record = planted(6, 10, {3, 17});
  record.labels = {"red", "five"};
  picture_of(record) = gaze::Picture();
  const std::string bundle = publish(maps_only(dir), record);
  CATCH_CHECK(gaze::test::list(bundle) == std::vector<std::string>{"maps.safetensors", "request.json"});
  const auto maps = parse_safetensors(gaze::test::read_bytes(bundle + "/maps.safetensors"));
  CATCH_CHECK(maps.at("map_tc").bytes == raw(record.maps[0].map_tk));
  CATCH_CHECK(maps.at("mass_t").bytes == raw(record.maps[0].mass_t));
  CATCH_CHECK(maps.at("lift_tc").shape == std::vector<int64_t>{2, 60});
  CATCH_CHECK(maps.at("shown_wc").shape == std::vector<int64_t>{2, 60});
  const json root = sidecar(bundle);
  CATCH_CHECK(root.at("picture").is_null());
  CATCH_CHECK(root.at("words").at(0).at("hot_point").is_null());
  CATCH_CHECK(root.at("words").at(0).at("file").is_null());
  CATCH_CHECK(root.at("files") == json({"maps.safetensors", "request.json"}));
}

CATCH_TEST_CASE("bundle: request.json has these fields and these values") {
  const TempDir dir;
  AttentionRecord record = planted(6, 10, {3, 17, 42}, 60, 100);
  record.request_id = "r-42";
  record.prompt = "what is it?";
  record.labels = {" go", "ld", "<eos>"};
  record.token_ids = {7, 8, 2};
  record.maps[0].mass_t = at::tensor({0.5F, 0.7F, 0.1F});
  record.maps[0].flags_t[1] = static_cast<int>(gaze::ops::kRowFullyMasked);
  record.sites = {{"decoder.layers.0.cross_attn", gaze::SiteKind::Softmax, 4, 3}};
  record.layers = "all 1 selected sites";
  record.model_path = "m.pt";
  record.model_sha256 = "abc";
  record.parameters_sha256 = "def";
  record.profile_sha256 = "0123";
  record.host = "rack-7";
  record.process = 42;
  record.created_ms = 1'767'323'045'006;
  record.attributes = {{"trace", "4bf9\"2"}, {"tenant", "b"}};
  record.profile = "stickers";
  record.method = "generate";
  record.torch_version = "2.11.0";
  record.timings_ms = {{"capture", 1.5}, {"broken", std::numeric_limits<double>::quiet_NaN()}};
  record.drops = {{"labels", 2}};
  record.tokens_dropped = 5;
  const json root = sidecar(publish(maps_only(dir), record));

  const std::vector<std::string> fields = {
      "gaze_request", "gaze_version",   "request_id",     "prompt",         "answer",     "error",   "model",
      "method",       "profile",        "torch_version",  "picture",        "geometry",   "keys",    "sites",
      "layers",       "heads",          "sinks",          "range_max_lift", "colormap",   "style",   "summary",
      "words",        "tokens",         "tokens_dropped", "drops",          "timings_ms", "files",   "note",
      "mass",         "through",        "sound",          "rows",           "created",    "host",    "pid",
      "attributes",   "profile_sha256", "words_by",       "grounding",      "detail",     "content", "redacted"};
  CATCH_CHECK(root.size() == fields.size());
  for (const std::string& field : fields) {
    CATCH_INFO(field);
    CATCH_CHECK(root.contains(field));
  }
  CATCH_CHECK(root.at("gaze_request") == 1);
  CATCH_CHECK(root.at("gaze_version") == GAZE_VERSION);
  CATCH_CHECK(root.at("request_id") == "r-42");
  CATCH_CHECK(root.at("answer") == "gold");
  CATCH_CHECK(root.at("created") == "2026-01-02T03:04:05.006Z");
  CATCH_CHECK(root.at("host") == "rack-7");
  CATCH_CHECK(root.at("pid") == 42);
  CATCH_CHECK(root.at("profile_sha256") == "0123");
  CATCH_CHECK(root.at("attributes") == json({{"trace", "4bf9\"2"}, {"tenant", "b"}}));
  CATCH_CHECK(root.at("error").is_null());
  CATCH_CHECK(root.at("model") == json({{"path", "m.pt"}, {"sha256", "abc"}, {"parameters_sha256", "def"}}));
  CATCH_CHECK(root.at("picture") == json({{"width", 100}, {"height", 60}}));
  CATCH_CHECK(root.at("geometry").at("rows") == 6);
  CATCH_CHECK(root.at("geometry").at("cols") == 10);
  CATCH_CHECK(root.at("geometry").at("fit") == "resize");
  CATCH_CHECK(root.at("sites").at(0) == json({{"name", "decoder.layers.0.cross_attn"},
                                              {"kind", "softmax"},
                                              {"heads", 4},
                                              {"calls", 3},
                                              {"chosen_heads", nullptr},
                                              {"gate", nullptr}}));
  CATCH_CHECK(root.at("through").is_null());
  CATCH_CHECK(root.at("rows").is_null());  // nothing is known of them
  CATCH_CHECK(root.at("mass") == json({{"of", "cells"}, {"exact", true}}));
  CATCH_CHECK(root.at("layers") == json({{"chosen", "all 1 selected sites"}, {"reduce", "mean"}}));
  CATCH_CHECK(root.at("heads") == json({{"reduce", "weighted"}, {"head", 0}, {"k", 3}}));
  CATCH_CHECK(root.at("sinks") == json({{"requested", false}, {"subtracted", false}}));
  CATCH_CHECK(root.at("colormap") == "turbo");
  CATCH_CHECK(root.at("style").at("interpolation") == "bilinear");
  CATCH_CHECK(root.at("tokens_dropped") == 5);
  CATCH_CHECK(root.at("drops") == json({{"labels", 2}}));
  CATCH_CHECK(root.at("timings_ms").at("capture") == 1.5);
  CATCH_CHECK(root.at("timings_ms").at("broken").is_null());
  CATCH_CHECK(root.at("timings_ms").at("render").get<double>() > 0);

  CATCH_CHECK(root.at("words_by") == json({{"rule", "marks"}, {"note", nullptr}}));
  CATCH_REQUIRE(root.at("words").size() == 1);
  const json& word = root.at("words").at(0);
  CATCH_CHECK(word.at("text") == "gold");
  CATCH_CHECK(word.at("first") == 0);
  CATCH_CHECK(word.at("count") == 2);
  CATCH_CHECK(word.at("mass").get<double>() == Approx(0.6));
  CATCH_CHECK(word.at("max_lift").get<double>() == Approx(60 * (0.7 * 0.9 + 0.5 * 0.05 / 60) / 1.2));
  CATCH_CHECK(word.at("diffuse") == false);
  CATCH_CHECK(word.at("content") == true);
  const json& grounding = word.at("grounding");
  CATCH_CHECK(grounding.size() == 4);
  CATCH_CHECK(grounding.at("verdict") == "cannot say");
  CATCH_CHECK_THAT(grounding.at("why").get<std::string>(), Catch::Matchers::Contains("saw no key"));
  CATCH_CHECK(grounding.at("figures").at("token").get<int64_t>() >= 0);
  CATCH_CHECK(grounding.at("score").get<double>() == Approx(grounding.at("figures").at("mass").get<double>() *
                                                            (1 - grounding.at("figures").at("entropy").get<double>())));
  CATCH_CHECK(root.at("grounding").at("verdict") == "cannot say");
  CATCH_CHECK(root.at("grounding").at("figures").at("words").at("cannot say") == 1);
  CATCH_CHECK(word.at("flags") == json({"fully_masked"}));
  const auto x = word.at("hot_point").at(0).get<double>();
  const auto y = word.at("hot_point").at(1).get<double>();
  const int64_t cell = gaze::cell_at(record.maps[0].geometry(), 100, 60, x, y);
  CATCH_CHECK((cell == 3 || cell == 17));

  CATCH_REQUIRE(root.at("tokens").size() == 3);
  CATCH_CHECK(root.at("tokens").at(2).at("text") == "<eos>");
  CATCH_CHECK(root.at("tokens").at(2).at("id") == 2);
  CATCH_CHECK(root.at("tokens").at(1).at("mass").get<double>() == Approx(0.7));
  CATCH_CHECK(root.at("tokens").at(1).at("visible_keys") == 60);
  CATCH_CHECK(root.at("tokens").at(1).at("flags") == json({"fully_masked"}));
}

CATCH_TEST_CASE("bundle: which rule made the words is said, of an answer that has any") {
  const TempDir dir;
  AttentionRecord record = planted(6, 10, {3, 17});
  CATCH_CHECK(sidecar(publish(maps_only(dir), record)).at("words_by").is_null());  // numbered tokens
  record.labels = {"今", "天"};
  gaze::WordRule rule;
  CATCH_REQUIRE(!gaze::merge_words(record.labels, nullptr, &rule).empty());
  CATCH_CHECK(rule.name != "marks");
  const json root = sidecar(publish(maps_only(dir), record));
  CATCH_CHECK(root.at("words_by").at("rule") == rule.name);
  CATCH_CHECK(root.at("words_by").at("note") == (rule.note.empty() ? json(nullptr) : json(rule.note)));
  CATCH_CHECK(root.at("words").size() == (rule.note.empty() ? 1 : 2));
  CATCH_CHECK(root.at("answer") == "今天");
}

CATCH_TEST_CASE("bundle: nothing in request.json claims more than evidence") {
  const TempDir dir;
  const std::string text = gaze::test::read_bytes(publish(maps_only(dir), planted(6, 10, {3})) + "/request.json");
  CATCH_CHECK(text.find("which is evidence, not proof.") != std::string::npos);
  CATCH_CHECK(text.find("proves") == std::string::npos);
  CATCH_CHECK(text.find("because") == std::string::npos);
}

CATCH_TEST_CASE("bundle: hostile texts stay inside JSON, and valid ones come back unchanged") {
  const std::string hostile[] = {
      "../../../../etc/passwd",
      "/absolute",
      "<script>alert(1)</script>",
      "</script><!--",
      std::string("nul\0inside", 10),
      "line\nbreak\r\ttab\x1b[31mred",
      "quote\"back\\slash",
      "\xE2\x80\xAE right to left, \xE2\x80\xA8 separator",
      std::string(10240, 'x'),
      ".",
      "",
      "con.aux.nul:stream",
      "$(reboot) `id` %s%n",
  };
  const std::regex name("[0-9]{8}T[0-9]{6}Z-[0-9a-f]{32}");
  for (const std::string& text : hostile) {
    CATCH_INFO(text.substr(0, 40));
    const TempDir dir;
    AttentionRecord record = planted(2, 3, {1, 2});
    record.request_id = record.prompt = text;
    record.labels = {text, "b"};
    record.model_path = record.profile = record.method = text;
    const std::string bundle = publish(maps_only(dir), record);
    const std::vector<std::string> names = gaze::test::list(dir / "out");
    CATCH_REQUIRE(names.size() == 1);
    CATCH_CHECK(std::regex_match(names[0], name));
    CATCH_CHECK(bundle == dir / "out/" + names[0]);
    CATCH_CHECK(gaze::test::list(dir.path()) == std::vector<std::string>{"out"});
    const json root = sidecar(bundle);
    CATCH_CHECK(root.at("request_id") == text);
    CATCH_CHECK(root.at("prompt") == text);
    CATCH_CHECK(root.at("tokens").at(0).at("text") == text);
  }
}

CATCH_TEST_CASE("bundle: bytes that are not UTF-8 are replaced, the JSON stays valid") {
  const TempDir dir;
  AttentionRecord record = planted(2, 3, {1});
  record.request_id = "a\xFF\xC3(b";
  record.labels = {"\xED\xA0\x80"};  // a lone surrogate
  record.drops["\xFE"] = 1;
  record.sites = {{"\xC0\xAF", gaze::SiteKind::Softmax, 1, 1}};
  const json root = sidecar(publish(maps_only(dir), record));
  const auto id = root.at("request_id").get<std::string>();
  CATCH_CHECK(id.front() == 'a');
  CATCH_CHECK(id.back() == 'b');
  CATCH_CHECK(id.find("\xEF\xBF\xBD") != std::string::npos);
}

CATCH_TEST_CASE("bundle: directories are private, made with their parents, and named anew each time") {
  const TempDir dir;
  BundleOptions options = maps_only(dir);
  options.out_dir = dir / "a/b//c/";
  const ::mode_t old = ::umask(0);
  const std::string one = publish(options, planted(2, 3, {1}));
  const std::string two = publish(options, planted(2, 3, {1}));
  ::umask(old);
  CATCH_CHECK(one != two);
  CATCH_CHECK(gaze::test::list(options.out_dir).size() == 2);
  const auto mode = [](const std::string& path) {
    struct stat status {};
    CATCH_REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 0777;
  };
  CATCH_CHECK(mode(dir / "a") == 0700);
  CATCH_CHECK(mode(dir / "a/b/c") == 0700);
  CATCH_CHECK(mode(one) == 0700);
  CATCH_CHECK(mode(one + "/request.json") == 0600);
  CATCH_CHECK(mode(one + "/maps.safetensors") == 0600);
}

CATCH_TEST_CASE("bundle: what cannot be drawn leaves one file that says why, and is still an error") {
  const TempDir dir;
  AttentionRecord record = planted(6, 10, {3});
  record.request_id = "bad";
  record.labels = {"a", "b"};
  BundleSink sink(maps_only(dir));
  std::string published;
  sink.on_published([&](const std::string&, const std::string& path) { published = path; });
  GAZE_REQUIRE_REFUSED(sink.consume(record), DropReason::Labels, "labels: expected at most 1");
  CATCH_CHECK(gaze::test::list(published) == std::vector<std::string>{"request.json"});
  CATCH_CHECK(gaze::test::list(dir / "out").size() == 1);
  const json root = sidecar(published);
  CATCH_CHECK(root.at("request_id") == "bad");
  CATCH_CHECK(root.at("error").at("reason") == "labels");
  CATCH_CHECK_THAT(root.at("error").at("message").get<std::string>(),
                   Catch::Matchers::StartsWith("labels: expected at most 1"));
  CATCH_CHECK(root.at("words").empty());
  CATCH_CHECK(root.at("summary").is_null());
  CATCH_CHECK(root.at("range_max_lift").is_null());
  CATCH_CHECK(root.at("tokens").size() == 2);
}

CATCH_TEST_CASE("bundle: an empty record is refused and recorded, not drawn") {
  const TempDir dir;
  BundleSink sink(maps_only(dir));
  std::string published;
  sink.on_published([&](const std::string&, const std::string& path) { published = path; });
  GAZE_REQUIRE_REFUSED(sink.consume(AttentionRecord()), DropReason::NoAttention, "expected at least 1 captured token");
  CATCH_CHECK(sidecar(published).at("error").at("reason") == "no_attention");
}

CATCH_TEST_CASE("bundle: directories that cannot be used are refused with the path and leave nothing behind") {
  const TempDir dir;
  gaze::test::write_bytes(dir / "file", "x");
  for (const std::string& path : {dir / "file", dir / "file/below", std::string("/proc/self/gaze"), std::string()}) {
    CATCH_INFO(path);
    BundleOptions options = maps_only(dir);
    options.out_dir = path;
    BundleSink sink(options);
    bool called = false;
    sink.on_published([&](const std::string&, const std::string&) { called = true; });
    GAZE_REQUIRE_REFUSED(sink.consume(planted(2, 3, {1})), DropReason::OutDir, path);
    CATCH_CHECK_FALSE(called);
  }
  CATCH_CHECK(gaze::test::list(dir.path()) == std::vector<std::string>{"file"});
  CATCH_CHECK(gaze::test::read_bytes(dir / "file") == "x");
}

CATCH_TEST_CASE("bundle: a directory that vanished is made again") {
  const TempDir dir;
  BundleSink sink(maps_only(dir));
  sink.consume(planted(2, 3, {1}));
  std::filesystem::remove_all(dir / "out");
  sink.consume(planted(2, 3, {1}));
  CATCH_CHECK(gaze::test::list(dir / "out").size() == 1);
}

CATCH_TEST_CASE("bundle: a write that fails half-way removes what was begun") {
  const TempDir dir;
  std::filesystem::create_directory(dir / "out");
  struct rlimit old {};
  CATCH_REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small { 16384, old.rlim_max };
  CATCH_REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto refused = gaze::test::refusal([&] { BundleSink(maps_only(dir)).consume(planted(60, 100, {1, 2})); });
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  CATCH_REQUIRE(refused);
  CATCH_CHECK(refused->reason == DropReason::IoError);
  CATCH_CHECK_THAT(refused->text, Catch::Matchers::Contains("maps.safetensors"));
  CATCH_CHECK(gaze::test::list(dir / "out").empty());
}

CATCH_TEST_CASE("maps: a composed record says through what, and its lift counts latents instead of keys") {
  const TempDir dir;
  AttentionRecord record = planted(6, 10, {25}, 60, 100);
  record.labels = {"gold"};
  record.keys = 12;  // the row of the selected sites: shorter than the picture's
  record.maps[0].visible_t.fill_(12);
  record.maps[0].through = gaze::ThroughUse{};
  record.maps[0].through->latents = 4;
  record.maps[0].through->keys = 61;
  record.maps[0].through->sites = {{"qformer.0", gaze::SiteKind::Softmax, 2, 1},
                                   {"qformer.1", gaze::SiteKind::Sdpa, 2, 1}};
  const json root = sidecar(publish(maps_only(dir), record));
  CATCH_CHECK(root.at("error").is_null());
  const auto site = [](const char* name, const char* kind) {
    return json(
        {{"name", name}, {"kind", kind}, {"heads", 2}, {"calls", 1}, {"chosen_heads", nullptr}, {"gate", nullptr}});
  };
  CATCH_CHECK(root.at("through") ==
              json({{"sites", json::array({site("qformer.0", "softmax"), site("qformer.1", "sdpa")})},
                    {"reduce", "mean"},
                    {"latents", 4},
                    {"keys", 61}}));
  CATCH_CHECK(root.at("mass").at("exact") == true);
  // Uniform attention gives 4 of 12 keys' share to 60 cells.
  CATCH_CHECK(root.at("words").at(0).at("max_lift").get<double>() == Approx(0.9 * 12 / 4 * 60));
  record.maps[0].through->gaps = true;
  CATCH_CHECK(sidecar(publish(maps_only(dir), record)).at("mass").at("exact") == false);
}

CATCH_TEST_CASE("reasons: every reason has a name of its own") {
  std::vector<std::string> names;
  for (int i = 0; i < static_cast<int>(DropReason::kCount); ++i)
    names.emplace_back(gaze::name(static_cast<DropReason>(i)));
  std::sort(names.begin(), names.end());
  CATCH_CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
  for (const char* known : {"disk_full", "ring_full", "cuda_oom", "cuda_error", "stream_capturing"}) {
    CATCH_CHECK(std::find(names.begin(), names.end(), known) != names.end());
  }
  for (const std::string& name : names) CATCH_CHECK(std::regex_match(name, std::regex("[a-z]+(_[a-z]+)*")));
}
