// SPDX-License-Identifier: MIT
#include "operate_verbs.hpp"

#include <CLI/CLI.hpp>

#include <map>
#include <memory>

namespace gaze::cli {
namespace {

/// "90s", "10m", "2h", "7d" in seconds.
int64_t seconds_of(const std::string& text) {
  static const std::map<char, int64_t> units = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  const auto unit = text.empty() ? units.end() : units.find(text.back());
  if (unit == units.end() || text.size() < 2 || text.size() > 8 ||
      text.find_first_not_of("0123456789") != text.size() - 1)
    return -1;
  return std::stoll(text) * unit->second;
}

std::function<int()> add_ctl(CLI::App& app) {
  auto arguments = std::make_shared<CtlArguments>();
  CLI::App* verb = app.add_subcommand("ctl", "Show a running capture, and switch, limit or aim it");
  CLI::Option* folder =
      verb->add_option("DIR", arguments->folder, "Where bundles go: all processes that capture there");
  CLI::Option* process = verb->add_option("--pid", arguments->process, "One process alone")->type_name("PID");
  process->check(CLI::PositiveNumber)->excludes(folder);
  const auto change = [&](const char* flag, const char* name, const char* type, const char* help) {
    verb->add_option_function<std::string>(
            flag, [arguments, name](const std::string& value) { arguments->changes.emplace_back(name, value); }, help)
        ->type_name(type);
  };
  change("--capture", "capture", "on|off", "off: nothing is captured until it is on again; open requests go on");
  change("--rate", "sample_rate", "R", "Share of the requests that is captured, 0 to 1");
  change("--next", "next", "N", "The next N requests, whatever the rate");
  change("--ids", "ids", "PATTERN", "Requests of these ids, whatever the rate: * is any text, ? one byte");
  change("--prompts", "prompts", "PATTERN", "Requests of these prompts, likewise");
  change("--per-second", "per_second", "N", "Captured requests in a second at most; 0: no limit");
  change("--keep", "keep", "RULE", "all, or any of flagged,slow:SECONDS,long:TOKENS: which answers leave a bundle");
  verb->add_option_function<std::string>(
          "--for", [arguments](const std::string& value) { arguments->for_seconds = seconds_of(value); },
          "What is changed holds so long, then what was before: 90s, 10m, 2h, 7d")
      ->type_name("TIME")
      ->check([](const std::string& value) {
        return seconds_of(value) > 0 ? std::string() : "expected a time as 90s, 10m, 2h or 7d, got " + value;
      });
  verb->add_flag("--reset", arguments->reset, "Forget what was said before: the host's own settings hold again");
  verb->add_flag("--json", arguments->json, "Print the status as JSON");
  verb->footer(
      "Without a change it prints what is captured, dropped and decided. Changes are written to control.txt in the\n"
      "directory, or control-PID.txt, which processes read every second: a text that an editor can change as well.");
  verb->callback([folder, process] {
    if (folder->empty() && process->empty()) throw CLI::RequiredError("DIR or --pid");
  });
  return [arguments, verb] { return verb->parsed() ? ctl(*arguments) : -1; };
}

}  // namespace

std::vector<std::function<int()>> add_operate_verbs(CLI::App& app) { return {add_ctl(app)}; }

}  // namespace gaze::cli
