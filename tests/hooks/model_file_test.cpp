// SPDX-License-Identifier: MIT
// The file of Options::model_path, hashed by the worker.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "hooks_test.hpp"

namespace {

namespace fs = std::filesystem;

/// The record of one request, whose telling was not late.
gaze::AttentionRecord record_of(
    torch::jit::Module& module, gaze::Options options, gaze::RequestSpec spec = {},
    const std::function<void()>& attached = [] {}) {
  auto sink = std::make_shared<hooks_test::MemorySink>();
  options.sink = sink;
  gaze::Gaze gaze = gaze::attach(module, options);
  attached();
  gaze::Request request = gaze.begin(std::move(spec));
  module.forward(hooks_test::inputs(1, 1, 8));
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  CATCH_REQUIRE(sink->records().size() == 1);
  return sink->records()[0];
}

std::string hash_of(
    const std::string& model_path, const std::function<void()>& attached = [] {}) {
  torch::jit::Module module = hooks_test::load("softmax");
  gaze::Options options = hooks_test::options();
  options.model_path = model_path;
  return record_of(module, options, {}, attached).model_sha256;
}

}  // namespace

CATCH_TEST_CASE("model file: a regular one is hashed; nothing else holds the worker") {
  std::string pattern = (fs::temp_directory_path() / "gaze-model-XXXXXX").string();
  const fs::path dir = ::mkdtemp(pattern.data());
  std::ofstream(dir / "abc") << "abc";
  std::ofstream(dir / "empty");
  CATCH_REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  fs::create_symlink("abc", dir / "link");
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  CATCH_CHECK(hash_of(dir / "abc") == abc);
  CATCH_CHECK(hash_of(dir / "link") == abc);
  CATCH_CHECK(hash_of(dir / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (const fs::path& path : {dir / "fifo", dir, dir / "nowhere", fs::path("/dev/zero"), fs::path("/dev/tty")}) {
    CATCH_INFO(path);
    CATCH_CHECK(hash_of(path) == "");
  }
  // A file that was put in its place since is not the one that runs.
  CATCH_CHECK(hash_of(dir / "abc", [&] {
                std::ofstream(dir / "new") << "abd";
                fs::rename(dir / "new", dir / "abc");
              }) == "");
  fs::remove_all(dir);
}

CATCH_TEST_CASE("origin: a record names its process, its profile, its parameters and what the host says of it") {
  torch::jit::Module module = hooks_test::load("softmax");
  const auto before = std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
  const gaze::AttentionRecord record =
      record_of(module, hooks_test::options({"*"}), {.id = "one", .attributes = {{"trace", "4bf9"}}});
  CATCH_CHECK(record.attributes == std::map<std::string, std::string>{{"trace", "4bf9"}});
  CATCH_CHECK(record.process == ::getpid());
  char host[256] = {};
  CATCH_REQUIRE(::gethostname(host, sizeof host - 1) == 0);
  CATCH_CHECK(record.host == host);
  CATCH_CHECK(record.created_ms >= before);
  CATCH_CHECK(record.created_ms <= std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1));
  CATCH_CHECK(record.profile_sha256 == "");  // made in code, and nothing said of its text
  CATCH_CHECK(record.parameters_sha256.size() == 64);

  torch::jit::Module again = hooks_test::load("softmax");
  CATCH_CHECK(record_of(again, hooks_test::options({"*"})).parameters_sha256 == record.parameters_sha256);
  const std::string file = fs::temp_directory_path() / ("gaze-profile-" + std::to_string(::getpid()) + ".json");
  const auto digest_of = [&](const char* text) {
    std::ofstream(file) << text;
    gaze::Options from_file = hooks_test::options();
    from_file.profile = file;
    return record_of(again, from_file).profile_sha256;
  };
  const std::string digest = digest_of(R"({"gaze_profile": 1, "sites": {"match": ["*"]}})");
  CATCH_CHECK(digest.size() == 64);
  CATCH_CHECK(digest_of(R"({"gaze_profile": 1, "sites": {"match": ["*"]}})") == digest);
  CATCH_CHECK(digest_of(R"({"gaze_profile": 1, "sites": {"match": [ "*"]}})") != digest);
  gaze::Options told = hooks_test::options({"*"});
  told.profile_text = R"({"gaze_profile": 1, "sites": {"match": ["*"]}})";
  CATCH_CHECK(record_of(again, told).profile_sha256 == digest);
  told.profile_text += " ";
  told.profile_in_code.reset();
  told.profile = file;  // the text is not what runs
  std::ofstream(file) << R"({"gaze_profile": 1, "sites": {"match": ["*"]}})";
  CATCH_CHECK(record_of(again, told).profile_sha256 == digest);
  fs::remove(file);
  const at::NoGradGuard no_grad;
  for (const auto& parameter : again.named_parameters()) {
    parameter.value.flatten()[0].add_(1);
    break;
  }
  CATCH_CHECK(record_of(again, hooks_test::options({"*"})).parameters_sha256 != record.parameters_sha256);
  gaze::Options with_file = hooks_test::options({"*"});
  with_file.model_path = std::string(GAZE_TEST_MODELS) + "/softmax.pt";
  CATCH_CHECK(record_of(again, with_file).parameters_sha256 == "");
}
