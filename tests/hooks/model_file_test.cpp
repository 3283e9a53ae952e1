// SPDX-License-Identifier: MIT
// The file of Options::model_path, hashed by the worker.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "hooks_test.hpp"

namespace {

namespace fs = std::filesystem;

/// The hash in the record of one request, and whether it was told in time.
std::string hash_of(const std::string& model_path) {
  torch::jit::Module module = hooks_test::load("softmax");
  auto sink = std::make_shared<hooks_test::MemorySink>();
  gaze::Options options = hooks_test::options(sink);
  options.model_path = model_path;
  gaze::Gaze gaze = gaze::attach(module, options);
  gaze::Request request = gaze.begin({.id = "one"});
  module.forward(hooks_test::inputs(1, 1, 8));
  request.finish();
  if (!gaze.flush()) return "not in time";
  const auto records = sink->records();
  return records.size() == 1 ? records[0].model_sha256 : std::to_string(records.size()) + " records";
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
  fs::remove_all(dir);
}
