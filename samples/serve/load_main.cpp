// SPDX-License-Identifier: MIT
// gaze_load: clients that ask a gaze_serve on this machine. Exit 0: done; 1: something was wrong; 2: wrong usage.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "load_clients.hpp"
#include "load_compare.hpp"
#include "load_isolate.hpp"
#include "load_questions.hpp"
#include "server_process.hpp"

namespace {
namespace fs = std::filesystem;
using gaze::serve::LoadFigures;
using gaze::serve::LoadQuestion;
using gaze::serve::LoadResult;

constexpr size_t kPictures = 64;  // of a load whose bundles nobody looks at

struct Arguments {
  gaze::serve::LoadPlan plan;
  std::string server, data = GAZE_SAMPLES_DIR "/data", json, bundles;
  std::vector<std::string> server_arguments;
  int rounds = 5;
  bool compare = false, isolate = false;
};

fs::path beside_this() { return fs::read_symlink("/proc/self/exe").parent_path(); }

void add_options(CLI::App& app, Arguments& arguments) {
  auto& plan = arguments.plan;
  app.add_option("--port", plan.port, "Of a server that runs; without it one is started")->check(CLI::Range(1, 65535));
  app.add_option("--clients", plan.clients, "That ask at once")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--requests", plan.requests, "At most, in a round")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--seconds", plan.seconds, "At most, of a round")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.add_option("--json", arguments.json, "Writes the figures to a file");
  app.add_option("--server", arguments.server, "The gaze_serve to start (default: beside this program)");
  app.add_option("--data", arguments.data, "samples/data")->capture_default_str();
  app.add_flag("--compare", arguments.compare, "Capture off, 1 in 100, every request: rounds in turns, and ratios");
  app.add_option("--rounds", arguments.rounds, "Of --compare")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_flag("--isolate", arguments.isolate, "Captures every request and checks that no bundle holds another's");
  app.add_option("--bundles", arguments.bundles,
                 "Folder for the started server's overlays (default: one that is removed)");
  app.add_option("server_arguments", arguments.server_arguments, "Behind --: for the started server");
}

std::vector<std::string> command_of(const Arguments& arguments) {
  const fs::path stickers = fs::path(GAZE_SAMPLES_DIR) / "models" / "stickers";
  std::vector<std::string> command = {
      arguments.server.empty() ? (beside_this() / "gaze_serve").string() : arguments.server, "--model",
      (stickers / "stickers_sdpa.pt").string(), "--profile", (stickers / "profile.json").string()};
  command.insert(command.end(), arguments.server_arguments.begin(), arguments.server_arguments.end());
  return command;
}

/// One of this run's own, which goes when it ends.
class Folder {
 public:
  Folder() {
    std::string text = (fs::temp_directory_path() / "gaze-load-XXXXXX").string();
    if (mkdtemp(text.data()) == nullptr) throw std::runtime_error(text + ": mkdtemp failed");
    path_ = text;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

nlohmann::json report(const LoadResult& result, const std::vector<LoadQuestion>& questions) {
  const LoadFigures figures = figures_of(result, questions);
  std::printf(
      "%zu answered, %zu not; %.1f a second, p50 %.1f ms, p99 %.1f ms, mean batch %.2f; %zu captured; %zu right\n",
      figures.answered, figures.failed, figures.per_second, figures.p50_ms, figures.p99_ms, figures.mean_batch,
      figures.captured, figures.right);
  return {{"answered", figures.answered}, {"failed", figures.failed}, {"per_second", figures.per_second},
          {"p50_ms", figures.p50_ms},     {"p99_ms", figures.p99_ms}, {"mean_batch", figures.mean_batch},
          {"captured", figures.captured}, {"right", figures.right},   {"seconds", result.seconds}};
}

nlohmann::json isolate(const Arguments& arguments, const std::string& folder,
                       const std::vector<LoadQuestion>& questions) {
  std::vector<std::string> command = command_of(arguments);
  command.insert(command.end(), {"--bundles", folder});
  gaze::serve::ServerProcess server(command, {{"GAZE_CAPTURE", "1"}});
  gaze::serve::LoadPlan plan = arguments.plan;
  plan.port = server.port();
  plan.prefix = "load-";
  const LoadResult result = run_clients(plan, questions);
  nlohmann::json json = report(result, questions);
  json["server_exit"] = server.end();
  const gaze::serve::Isolation isolation = check_bundles(folder, result, questions);
  for (const std::string& note : isolation.notes) std::printf("%s\n", note.c_str());
  std::printf("%zu bundles, %zu checked, %zu mixed, %zu torn, %zu missing\n", isolation.bundles, isolation.checked,
              isolation.mixed, isolation.torn, isolation.missing);
  json["isolation"] = json_of(isolation);
  json["wrong"] = isolation.mixed > 0 || isolation.torn > 0 || isolation.checked == 0 || json["server_exit"] != 0;
  return json;
}

nlohmann::json run(const Arguments& arguments) {
  // Every picture of an isolated run is another one.
  const size_t pictures = arguments.isolate ? arguments.plan.requests : kPictures;
  const std::vector<LoadQuestion> questions = gaze::serve::make_questions(arguments.data, 1, pictures);
  const Folder own;
  const std::string folder = arguments.bundles.empty() ? own.path() : arguments.bundles;
  if (arguments.compare) {
    nlohmann::json rows = compare(command_of(arguments), folder, arguments.plan, arguments.rounds, questions);
    bool failed = false;
    for (const auto& row : rows) failed = failed || row["failed"] > 0;
    return {{"compare", rows}, {"clients", arguments.plan.clients}, {"wrong", failed}};
  }
  if (arguments.isolate) return isolate(arguments, folder, questions);
  gaze::serve::LoadPlan plan = arguments.plan;
  plan.prefix = "load" + std::to_string(getpid()) + "-";
  std::unique_ptr<gaze::serve::ServerProcess> server;
  if (plan.port == 0) {
    std::vector<std::string> command = command_of(arguments);
    command.insert(command.end(), {"--bundles", folder});
    server = std::make_unique<gaze::serve::ServerProcess>(command, std::map<std::string, std::string>());
    plan.port = server->port();
  }
  nlohmann::json json = report(run_clients(plan, questions), questions);
  json["wrong"] = json["failed"] > 0;
  return json;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Clients that ask a gaze_serve on this machine");
  Arguments arguments;
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    const nlohmann::json json = run(arguments);
    if (!arguments.json.empty()) std::ofstream(arguments.json) << json.dump(1) << "\n";
    return json["wrong"] == true ? 1 : 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gaze_load: %s\n", error.what());
    return 1;
  }
}
