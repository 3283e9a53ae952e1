// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gaze/hooks/control.hpp>
#include <gaze/render/operation.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "bundle_file.hpp"
#include "console.hpp"
#include "operate_verbs.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMostStatusBytes = 1 << 20;
constexpr std::chrono::seconds kWait{5};

json status_in(const fs::path& file) {
  if (!fs::is_regular_file(file)) return nullptr;
  return json::parse(read_bytes(file, kMostStatusBytes), nullptr, /*allow_exceptions=*/false);
}

int64_t process_of(const json& status) {
  return status.is_object() && status.contains("pid") && status["pid"].is_number_integer()
             ? status["pid"].get<int64_t>()
             : -1;
}

/// The status of a process in a directory of bundles: its own file's, or the directory's.
json status_of(const fs::path& folder, int64_t process) {
  for (const std::string& name : {"status-" + std::to_string(process) + ".json", std::string("status.json")}) {
    json status = status_in(folder / name);
    if (process_of(status) == process) return status;
  }
  return nullptr;
}

/// Where a running process keeps its bundles: it holds the directory open.
fs::path folder_of(int64_t process) {
  const fs::path descriptors = fs::path("/proc") / std::to_string(process) / "fd";
  std::error_code failed;
  fs::directory_iterator entry(descriptors, failed);
  if (failed)
    throw Refusal("ctl: expected a running process of this user, got " + std::to_string(process) + ": " +
                  failed.message() + ".");
  for (; entry != fs::directory_iterator(); entry.increment(failed)) {
    if (failed) break;
    const fs::path target = fs::read_symlink(entry->path(), failed);
    if (!failed && target.is_absolute() && status_of(target, process).is_object()) return target;
  }
  throw Refusal("ctl: expected a process that captures into a directory, got " + std::to_string(process) +
                ", which has none open with a status.json of its own. It was started without GAZE_CAPTURE=1, or its "
                "answers go to a sink of the host's.");
}

struct Target {
  fs::path folder;
  int64_t process = -1;  // -1: all that capture into the folder
  [[nodiscard]] fs::path file() const {
    return folder / (process < 0 ? std::string("control.txt") : "control-" + std::to_string(process) + ".txt");
  }
  [[nodiscard]] json status() const {
    return process < 0 ? status_in(folder / "status.json") : status_of(folder, process);
  }
};

Target target_of(const CtlArguments& arguments) {
  if (arguments.process > 0) return {folder_of(arguments.process), arguments.process};
  if (!fs::is_directory(arguments.folder))
    throw Refusal("ctl: expected a directory of bundles, got " + arguments.folder + ". Give --pid or a directory.");
  return {fs::absolute(arguments.folder), -1};
}

bool is_over(const std::string& text) {
  const int64_t until = read_control(text, Control()).until_seconds;
  return until > 0 && std::time(nullptr) >= until;
}

/// Lines by name, those of the file first. What was counted is over, and all of it where its time has passed: what
/// was said for a while must not hold for ever because something is added.
std::string merged(const std::string& before, const std::vector<std::pair<std::string, std::string>>& changes) {
  std::map<std::string, std::string> lines;
  std::istringstream text(is_over(before) ? std::string() : before);
  for (std::string line; std::getline(text, line);) {
    const size_t equals = line.find('=');
    if (line.empty() || line.front() == '#' || equals == std::string::npos) continue;
    const std::string name = line.substr(0, line.find_first_of(" \t="));
    if (name != "next") lines[name] = line.substr(equals + 1);
  }
  for (const auto& [name, value] : changes) lines[name] = " " + value;
  std::string all = "# Written by gaze ctl. Without this file the host's own settings hold.\n";
  for (const auto& [name, value] : lines) all += name + " =" + value + "\n";
  return all;
}

std::vector<std::pair<std::string, std::string>> changes_of(const CtlArguments& arguments) {
  auto changes = arguments.changes;
  if (arguments.for_seconds > 0)
    changes.emplace_back("until", std::to_string(std::time(nullptr) + arguments.for_seconds));
  std::string text;
  for (const auto& [name, value] : changes) text += name + " = " + value + "\n";
  const ControlFile file = read_control(text, Control());
  if (!file.problems.empty()) {
    const std::string& said = file.problems.front();
    throw Refusal("ctl: " + said.substr(said.find("expected")));
  }
  return changes;
}

/// As root one writes for the process's user, who must be able to read it.
void give_to_owner(const fs::path& file, const fs::path& folder) {
  struct stat status {};
  if (::geteuid() == 0 && ::stat(folder.c_str(), &status) == 0 && status.st_uid != 0 &&
      ::lchown(file.c_str(), status.st_uid, status.st_gid) != 0) {
    throw Refusal("ctl: cannot give " + file.string() + " to the directory's owner.");
  }
}

bool is_taken(const json& status, const std::string& before) {
  return status.is_object() && text_at(status, "written") > before;
}

/// Until a process that captures there has looked; not where none does.
bool wait_until_taken(const Target& target, const std::string& before) {
  const json status = target.status();
  if (!status.is_object() || is_true_at(status, "ended") || ::kill(static_cast<pid_t>(process_of(status)), 0) != 0)
    return false;
  const auto end = std::chrono::steady_clock::now() + kWait;
  while (std::chrono::steady_clock::now() < end) {
    if (is_taken(target.status(), before)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return false;
}

void print_capture(const json& capture) {
  const json& requests = object_at(capture, "requests");
  const auto count = [&](const char* name) { return static_cast<long>(number_at(requests, name).value_or(0)); };
  std::printf("%s  %s\n", is_true_at(capture, "on") ? "on " : "off", printable(text_at(capture, "model")).c_str());
  std::printf("     requests %ld, captured %ld, written %ld, in flight %ld\n", count("begun"), count("sampled"),
              count("written"), count("in_flight"));
  for (const auto& [reason, value] : object_at(capture, "dropped").items()) {
    if (value.is_number_integer())
      std::printf("     %s %ld\n", printable(reason).c_str(), static_cast<long>(value.get<int64_t>()));
  }
  const std::string breaker = text_at(object_at(capture, "breaker"), "open_for");
  if (!breaker.empty())
    std::printf("     stopped, as what is captured cannot be kept: %s\n", printable(breaker).c_str());
  for (const auto& [name, value] : object_at(capture, "control").items()) {
    if (value.is_string() && !value.get<std::string>().empty())
      std::printf("     %s = %s\n", printable(name).c_str(), printable(value.get<std::string>()).c_str());
  }
}

/// What of the file the status does not tell: how long it holds, and what nobody would expect of it.
void print_file(const Target& target) {
  std::string refused;
  const std::string text = read_own_file(target.file(), refused);
  if (!refused.empty() || is_over(text)) return;
  const std::string name = printable(target.file().string());
  const ControlFile file = read_control(text, Control());
  if (file.until_seconds > 0) {
    std::printf("%s holds for %ld s more\n", name.c_str(), static_cast<long>(file.until_seconds - std::time(nullptr)));
  }
  const Control& control = file.control;
  const bool wanted = read_control(text, Control{.sample_rate = 0}).control.sample_rate > 0;
  if (!control.capture && (wanted || control.next > 0 || !control.ids.empty() || !control.prompts.empty())) {
    std::printf("%s says capture = off, so that nothing else in it captures anything: --capture on, or --reset\n",
                name.c_str());
  }
}

void print(const Target& target, const json& status, bool as_json) {
  if (as_json) {
    std::printf("%s\n", status.dump(2).c_str());
    return;
  }
  if (!status.is_object()) {
    std::printf("%s: no process says how it is.\n", printable(target.folder.string()).c_str());
    return;
  }
  std::printf("process %ld on %s, %s, bundles in %s\n", static_cast<long>(process_of(status)),
              printable(text_at(status, "host")).c_str(),
              is_true_at(status, "ended") ? "ended" : ("as of " + printable(text_at(status, "written"))).c_str(),
              printable(target.folder.string()).c_str());
  for (const json& capture : list_at(status, "captures")) print_capture(capture);
  print_file(target);
}

}  // namespace

int ctl(const CtlArguments& arguments) {
  const Target target = target_of(arguments);
  const auto changes = changes_of(arguments);
  if (arguments.reset) {
    std::error_code ignored;
    fs::remove(target.file(), ignored);
  }
  if (changes.empty() && !arguments.reset) {
    print(target, target.status(), arguments.json);
    return 0;
  }
  const std::string before = text_at(target.status(), "written");
  if (!changes.empty()) {
    std::string refused;
    const std::string text = read_own_file(target.file(), refused);
    if (!refused.empty()) throw Refusal("ctl: " + target.file().string() + ": " + refused + ".");
    replace_file(target.file(), merged(text, changes), FileFor::Owner, false);
    give_to_owner(target.file(), target.folder);
  }
  const bool taken = wait_until_taken(target, before);
  print(target, target.status(), arguments.json);
  if (!taken && !arguments.json)
    std::printf("%s is written; no process has said that it looked at it.\n",
                printable(target.file().string()).c_str());
  return 0;
}

}  // namespace gaze::cli
