// SPDX-License-Identifier: MIT
#include "ledger_verbs.hpp"

#include <CLI/CLI.hpp>

#include <charconv>
#include <memory>

namespace gaze::cli {
namespace {

/// Of 90s, 15m, 12h or 7d; 0: it is none of them.
int64_t seconds_of(const std::string& text) {
  constexpr std::string_view kUnits = "smhd";
  constexpr int64_t kSeconds[] = {1, 60, 3600, 86400};
  const size_t unit = text.empty() ? std::string::npos : kUnits.find(text.back());
  int64_t count = 0;
  if (unit == std::string_view::npos) return 0;
  const char* end = text.data() + text.size() - 1;
  const auto result = std::from_chars(text.data(), end, count);
  if (result.ec != std::errc() || result.ptr != end || count < 1) return 0;
  return count <= int64_t{36500} * 86400 / kSeconds[unit] ? count * kSeconds[unit] : 0;
}

void add_signing_key(CLI::App& verb, std::string& key) {
  verb.add_option("--signing-key", key, "Sign what deleted.jsonl says with this Ed25519 private key in PEM")
      ->type_name("FILE")
      ->envname("GAZE_SIGNING_KEY");
}

std::function<int()> add_verify(CLI::App& app) {
  auto arguments = std::make_shared<VerifyArguments>();
  CLI::App* verb = app.add_subcommand("verify", "Prove that bundles are as they were written, and none is missing");
  verb->add_option("DIR", arguments->directory, "A directory of bundles: what GAZE_OUT_DIR named")->required();
  verb->add_option("--key", arguments->key,
                   "The Ed25519 public key in PEM of who wrote them: everything must be signed with it")
      ->type_name("PUBLIC.pem");
  verb->add_flag("--json", arguments->json, "Print JSON");
  verb->footer(
      "Says each change, addition, removal, gap and bad signature, and of which bundle. Ends with 0 where there is\n"
      "none. The last line names the end of the chain: kept elsewhere, it shows later whether the end was cut off.");
  return [arguments, verb] { return verb->parsed() ? verify(*arguments) : -1; };
}

std::function<int()> add_purge(CLI::App& app) {
  auto arguments = std::make_shared<PurgeArguments>();
  CLI::App* verb = app.add_subcommand("purge", "Delete the oldest bundles until limits hold");
  verb->add_option("DIR", arguments->directory, "A directory of bundles: what GAZE_OUT_DIR named")->required();
  CLI::Option* age = verb->add_option_function<std::string>(
      "--older-than", [arguments](const std::string& text) { arguments->limits.age_seconds = seconds_of(text); },
      "Delete what is older: 90s, 15m, 12h or 7d, by the time in a bundle's name");
  age->type_name("TIME")->check([](const std::string& text) {
    return seconds_of(text) > 0 ? std::string() : "expected a time such as 90s, 15m, 12h or 7d, got " + text;
  });
  CLI::Option* bytes = verb->add_option("--bytes", arguments->limits.bytes, "Of all bundles together, at most");
  bytes->type_name("N")->check(CLI::PositiveNumber);
  CLI::Option* room = verb->add_option("--free", arguments->limits.free_bytes,
                                       "Bytes that are to be free on the file system, at least");
  room->type_name("N")->check(CLI::PositiveNumber);
  verb->callback([age, bytes, room] {
    if (age->empty() && bytes->empty() && room->empty()) throw CLI::RequiredError("--older-than, --bytes or --free");
  });
  verb->add_flag("--dry-run", arguments->dry_run, "Say what would go, and delete nothing");
  add_signing_key(*verb, arguments->signing_key);
  verb->add_flag("--json", arguments->json, "Print JSON");
  verb->footer(
      "Deletes bundles alone, whole, and writes a line for each into deleted.jsonl first. What holds anything that\n"
      "Gaze did not write stays, and is named. A page of gaze report in DIR is brought up to date.");
  return [arguments, verb] { return verb->parsed() ? purge(*arguments) : -1; };
}

std::function<int()> add_forget(CLI::App& app) {
  auto arguments = std::make_shared<ForgetArguments>();
  CLI::App* verb = app.add_subcommand("forget", "Delete every bundle of one request");
  verb->add_option("DIR", arguments->directories, "Directories with bundles, at any depth")->required();
  verb->add_option("--request", arguments->request, "The request's id, exactly as request.json has it")
      ->type_name("ID")
      ->required();
  verb->add_flag("--dry-run", arguments->dry_run, "Say what would go, and delete nothing");
  add_signing_key(*verb, arguments->signing_key);
  verb->add_flag("--json", arguments->json, "Print JSON");
  verb->footer(
      "Pages of gaze report in these directories are made anew, or deleted where they are of several. Pages that gaze\n"
      "pack and gaze diff wrote, tables, and copies elsewhere are not found.");
  return [arguments, verb] { return verb->parsed() ? forget(*arguments) : -1; };
}

}  // namespace

std::vector<std::function<int()>> add_ledger_verbs(CLI::App& app) {
  return {add_verify(app), add_purge(app), add_forget(app)};
}

}  // namespace gaze::cli
