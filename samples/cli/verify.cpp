// SPDX-License-Identifier: MIT
#include <gaze/render/ledger.hpp>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "console.hpp"
#include "ledger_verbs.hpp"

namespace gaze::cli {
namespace {

using nlohmann::ordered_json;

std::string dumped(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

/// One line of a list that may be long: it is printed as it comes.
void print_finding(const Finding& finding, bool json, bool first) {
  if (json) {
    const ordered_json row = {{"bundle", finding.bundle.empty() ? ordered_json(nullptr) : ordered_json(finding.bundle)},
                              {"kind", finding.kind},
                              {"text", finding.text}};
    std::printf("%s\n  %s", first ? "" : ",", dumped(row).c_str());
  } else {
    std::printf("%-9s  %s%s%s\n", finding.kind.c_str(), printable(finding.bundle).c_str(),
                finding.bundle.empty() ? "" : "  ", printable(finding.text).c_str());
  }
}

void print_sum(const Verification& sum, const VerifyArguments& arguments) {
  std::printf("%lld bundles, %lld proved, %lld findings; %lld deletions told\n", static_cast<long long>(sum.bundles),
              static_cast<long long>(sum.proven), static_cast<long long>(sum.findings),
              static_cast<long long>(sum.deleted));
  if (arguments.key.empty())
    std::printf("%lld signed; signatures were not looked at: --key PUBLIC.pem\n",
                static_cast<long long>(sum.signed_bundles));
  if (sum.sequence > 0)
    std::printf("the chain ends with link %lld, %s\n", static_cast<long long>(sum.sequence), sum.last_manifest.c_str());
}

}  // namespace

int verify(const VerifyArguments& arguments) {
  std::error_code failed;
  if (!std::filesystem::is_directory(arguments.directory, failed))
    throw Refusal("DIR: expected a directory, got " + arguments.directory + ". Bundles lie where GAZE_OUT_DIR says.");
  Progress progress("verify", "bundles");
  VerifyOptions options;
  options.public_key = arguments.key;
  bool first = true;
  if (arguments.json) std::printf("{\"findings\": [");
  options.on_finding = [&](const Finding& finding) {
    print_finding(finding, arguments.json, first);
    first = false;
  };
  options.progress = [&](int64_t done, int64_t all) { progress.show(done, all); };
  const Verification sum = verify_bundles(arguments.directory, options);
  if (arguments.json) {
    const ordered_json rest = {
        {"directory", arguments.directory},
        {"bundles", sum.bundles},
        {"proved", sum.proven},
        {"deletions", sum.deleted},
        {"signed", sum.signed_bundles},
        {"signatures", arguments.key.empty() ? "not looked at" : "looked at"},
        {"last", sum.sequence > 0 ? ordered_json({{"sequence", sum.sequence}, {"manifest", sum.last_manifest}})
                                  : ordered_json(nullptr)}};
    std::printf("%s],\n %s\n", first ? "" : "\n ", dumped(rest).substr(1).c_str());
  } else {
    print_sum(sum, arguments);
  }
  return sum.findings == 0 ? 0 : 1;
}

}  // namespace gaze::cli
