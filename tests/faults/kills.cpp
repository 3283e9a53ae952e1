// SPDX-License-Identifier: MIT
// Hosts that are killed while they write: what they leave is whole, or is nothing, and the next one clears it away.
// `gaze_kills [KILLS]`.
#include <ATen/Parallel.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>

#include "host.hpp"

namespace gaze::test {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

bool is_json(const fs::path& file) { return nlohmann::json::accept(text_of(file)); }

/// Answers as fast as they can be written, until it is killed, or whoever would kill it is gone: alone it would fill
/// the disk.
[[noreturn]] void serve(torch::jit::Module& model, const std::string& folder, bool pictures, pid_t killer) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != killer) ::_exit(1);
  Options options = null_options(null_profile());
  options.out_dir = folder;
  options.delivery = pictures ? Delivery::Frame : Delivery::Map;
  Gaze gaze = attach(model, options);
  for (int64_t number = 0;; ++number) {
    RequestSpec spec;
    spec.id = std::to_string(number);
    spec.image = Picture(marked_picture(number));
    Request request = gaze.begin(std::move(spec));
    run(model, Marked({number}), kPrompt, "fused");
    request.label({"word"});
    request.finish();
    while (gaze.stats().in_flight > 8) std::this_thread::yield();
  }
}

struct Left {
  int64_t bundles = 0, torn = 0, unfinished = 0, other = 0;
};

bool is_whole(const fs::path& bundle) {
  const auto request = nlohmann::json::parse(text_of(bundle / "request.json"), nullptr, false);
  if (!request.is_object() || !request.contains("files") || request.value("answer", "") != "word") return false;
  for (const auto& file : request["files"]) {
    std::error_code failed;
    const auto size = fs::file_size(bundle / file.get<std::string>(), failed);
    if (failed || size == 0) return false;
  }
  const fs::path page = bundle / "report.html";
  return !fs::exists(page) || text_of(page).find("</html>") != std::string::npos;
}

Left look(const std::string& folder) {
  Left left;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(".tmp-gaze-")) {
      ++left.unfinished;
    } else if (entry.is_directory()) {
      ++left.bundles;
      if (is_whole(entry.path())) {
        fs::remove_all(entry.path());
      } else {
        ++left.torn;
        std::printf("torn: %s\n", entry.path().c_str());
      }
    } else if (!name.starts_with(".") && name.ends_with(".json") && !is_json(entry.path())) {
      ++left.torn;
      std::printf("torn: %s\n", entry.path().c_str());
    }
  }
  return left;
}

bool any_bundle(const std::string& folder) {
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed); !failed && entry != fs::directory_iterator();
       entry.increment(failed)) {
    if (entry->path().filename().string()[0] == '2') return true;
  }
  return false;
}

int kills(const std::string& folder, int64_t wanted) {
  at::set_num_threads(1);
  torch::jit::Module model = null_model();
  for (int i = 0; i < 3; ++i) run(model, Marked({1}), kPrompt, "fused");
  std::mt19937 random(11);
  Left all;
  int64_t most_unfinished = 0;
  for (int64_t kill = 0; kill < wanted; ++kill) {
    std::fflush(stdout);
    const pid_t killer = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) serve(model, folder, kill % 2 == 0, killer);
    if (child < 0) return 2;
    // From its first bundle on at any moment.
    while (!any_bundle(folder)) ::usleep(200);
    ::usleep(static_cast<useconds_t>(random() % 20'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    const Left left = look(folder);
    all.bundles += left.bundles;
    all.torn += left.torn;
    most_unfinished = std::max(most_unfinished, left.unfinished);
    all.unfinished += left.unfinished;
    if ((kill + 1) % std::max<int64_t>(1, wanted / 10) == 0)
      std::fprintf(stderr, "kills: %ld of %ld\n", static_cast<long>(kill + 1), static_cast<long>(wanted));
  }
  std::printf(
      "kills: %ld of hosts that wrote, %ld bundles looked at, %ld torn; %ld left unfinished, at most %ld at once\n",
      static_cast<long>(wanted), static_cast<long>(all.bundles), static_cast<long>(all.torn),
      static_cast<long>(all.unfinished), static_cast<long>(most_unfinished));
  // Each host's own, and those of nobody before it.
  return all.torn == 0 && all.bundles >= wanted && most_unfinished <= 1 ? 0 : 1;
}

}  // namespace
}  // namespace gaze::test

int main(int argc, char** argv) {
  const int64_t wanted = argc > 1 ? std::strtoll(argv[1], nullptr, 10) : 60;
  if (wanted < 1) {
    std::fprintf(stderr, "gaze_kills: expected a number of kills, got %s.\n", argv[1]);
    return 2;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "gaze-kills-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 2;
  const int status = gaze::test::kills(folder, wanted);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return status;
}
