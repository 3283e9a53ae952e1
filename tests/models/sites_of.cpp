// SPDX-License-Identifier: MIT
// Prints what find_sites says of files, one JSON object a line: a thousand files cost one loading of LibTorch.
// Usage: gaze_sites_of < PATHS. With ":frozen" behind a path: of what it is once the host froze it; with ":again": of
// the same file, loaded, saved and loaded.
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/export.h>
#include <torch/csrc/jit/serialization/import.h>
#include <gaze/hooks/sites.hpp>

#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace {

nlohmann::ordered_json describe(const gaze::SiteReport& report) {
  nlohmann::ordered_json json = {{"sites", nlohmann::json::array()}, {"unknown", nlohmann::json::array()}};
  for (const gaze::Site& site : report.sites) {
    nlohmann::ordered_json gate = site.gate ? nlohmann::ordered_json("not constant") : nlohmann::ordered_json(nullptr);
    if (site.gate && site.gate->value) gate = *site.gate->value;
    json["sites"].push_back({{"name", site.name},
                             {"tower", site.tower},
                             {"kind", gaze::name(site.kind)},
                             {"relation", gaze::name(site.relation)},
                             {"heads", site.heads},
                             {"kv_heads", site.kv_heads},
                             {"gate", gate},
                             {"gathers_rows", site.gathers_rows},
                             {"channels", site.channels},
                             {"q_reads", site.q_reads},
                             {"k_reads", site.k_reads},
                             {"proposed", site.proposed},
                             {"through", site.through},
                             {"source", site.source}});
  }
  for (const gaze::Unknown& unknown : report.unknown) json["unknown"].push_back(unknown.what + ": " + unknown.why);
  return json;
}

torch::jit::Module saved_and_loaded(const torch::jit::Module& module) {
  std::stringstream file;
  module.save(file);
  return torch::jit::load(file);
}

nlohmann::ordered_json read(const std::string& line) {
  const size_t mark = line.rfind(":");
  const torch::jit::Module module = torch::jit::load(line.substr(0, mark));
  if (mark == std::string::npos) return describe(gaze::find_sites(module));
  if (line.substr(mark) == ":frozen") return describe(gaze::find_sites(torch::jit::freeze(module)));
  return describe(gaze::find_sites(saved_and_loaded(module)));
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    nlohmann::ordered_json said;
    try {
      said = read(line);
    } catch (const std::exception& error) {
      said["error"] = error.what();
    }
    said["file"] = line;
    std::cout << said.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
  }
  return 0;
}
