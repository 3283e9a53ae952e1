// SPDX-License-Identifier: MIT
#include <gaze/hooks/sites.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "console.hpp"
#include "profile_file.hpp"
#include "script.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

nlohmann::ordered_json to_json(const std::string& model, const SiteReport& report) {
  nlohmann::ordered_json json = {
      {"model", model}, {"sites", nlohmann::json::array()}, {"unknown", nlohmann::json::array()}};
  for (const Site& site : report.sites) {
    nlohmann::ordered_json entry = {{"name", site.name}, {"kind", name(site.kind)}, {"relation", name(site.relation)}};
    entry["heads"] = site.heads > 0 ? nlohmann::ordered_json(site.heads) : nlohmann::ordered_json(nullptr);
    entry["kv_heads"] = site.kv_heads > 0 ? nlohmann::ordered_json(site.kv_heads) : nlohmann::ordered_json(nullptr);
    entry["gate"] = !site.gate         ? nlohmann::ordered_json(nullptr)
                    : site.gate->value ? nlohmann::ordered_json(*site.gate->value)
                                       : nlohmann::ordered_json("not constant");
    entry["gathers_rows"] = site.gathers_rows;
    entry["tower"] = site.tower;
    entry["channels"] = site.channels;
    entry["q_reads"] = site.q_reads;
    entry["k_reads"] = site.k_reads;
    entry["methods"] = site.methods;
    entry["source"] = site.source;
    entry["proposed"] = site.proposed;
    entry["through"] = site.through;
    json["sites"].push_back(std::move(entry));
  }
  for (const Unknown& unknown : report.unknown)
    json["unknown"].push_back({{"what", unknown.what}, {"why", unknown.why}, {"source", unknown.source}});
  return json;
}

struct Node {
  std::vector<std::pair<std::string, Node>> children;  // in the order of the sites
  const Site* site = nullptr;

  Node& child(const std::string& name) {
    for (auto& [known, node] : children) {
      if (known == name) return node;
    }
    return children.emplace_back(name, Node()).second;
  }
};

Node tree_of(const std::vector<Site>& sites) {
  Node root;
  for (const Site& site : sites) {
    Node* node = &root;
    for (size_t begin = 0; begin <= site.name.size();) {
      const size_t end = std::min(site.name.find('.', begin), site.name.size());
      node = &node->child(site.name.substr(begin, end - begin));
      begin = end + 1;
    }
    node->site = &site;
  }
  return root;
}

struct Line {
  std::string tree;  // what stands left of the columns
  const Site* site;
};

void lay_out(const Node& node, size_t depth, std::vector<Line>& lines) {
  for (const auto& [name, child] : node.children) {
    std::string path = name;
    const Node* end = &child;
    while (end->site == nullptr && end->children.size() == 1) {  // a chain is one line
      path += "." + end->children.front().first;
      end = &end->children.front().second;
    }
    const bool proposed = end->site != nullptr && end->site->proposed;
    std::string text = proposed ? "* " : "  ";
    text.append(2 * depth, ' ').append(printable(path));
    lines.push_back({std::move(text), end->site});
    lay_out(*end, depth + 1, lines);
  }
}

/// "8" or, where groups of heads share keys, "8/2".
std::string heads_of(const Site& site) {
  if (site.heads <= 0) return "?";
  const bool grouped = site.kv_heads > 0 && site.kv_heads != site.heads;
  return std::to_string(site.heads) + (grouped ? "/" + std::to_string(site.kv_heads) : "");
}

/// What a person must know beside: "gate 0.12".
std::string notes_of(const Site& site) {
  std::string text;
  if (site.gate) {
    char gate[32] = "not constant";
    if (site.gate->value) std::snprintf(gate, sizeof gate, "%.2g", *site.gate->value);
    text += std::string("  gate ") + gate;
  }
  if (site.gathers_rows) text += "  gathers rows";
  return text;
}

/// The arguments queries and keys are made of: "text <- image".
std::string reads_of(const Site& site) {
  const auto named = [](const std::vector<std::string>& names) { return names.empty() ? "parameters" : join(names); };
  const std::string q = named(site.q_reads);
  const std::string k = named(site.k_reads);
  return printable(q == k ? q : q + " <- " + k);
}

std::set<std::string> through_of(const SiteReport& report) {
  std::set<std::string> through;
  for (const Site& site : report.sites) through.insert(site.through.begin(), site.through.end());
  return through;
}

/// @throws Refusal when no site is proposed, or the file cannot be written
void write_proposal(const SitesArguments& arguments, const SiteReport& report) {
  Profile profile;
  profile.name = "proposed";
  for (const Site& site : report.sites) {
    if (site.proposed) profile.sites.push_back(site.name);
  }
  if (profile.sites.empty())
    throw Refusal("--out: expected a model with sites that would make the overlay, got none in " + arguments.model +
                  ". Write a profile by hand.");
  if (const std::set<std::string> through = through_of(report); !through.empty())
    profile.through = Through{{through.begin(), through.end()}};
  write_profile(arguments.out, profile);
}

void print(const std::string& model, const SiteReport& report) {
  std::vector<Line> lines;
  lay_out(tree_of(report.sites), 0, lines);
  size_t tree_width = 0;
  size_t methods_width = 0;
  size_t reads_width = 0;
  for (const Line& line : lines) {
    if (line.site == nullptr) continue;
    tree_width = std::max(tree_width, line.tree.size());
    methods_width = std::max(methods_width, printable(join(line.site->methods)).size());
    reads_width = std::max(reads_width, reads_of(*line.site).size());
  }
  std::printf("%s: %zu attention site%s\n\n", printable(model).c_str(), report.sites.size(),
              report.sites.size() == 1 ? "" : "s");
  for (const Line& line : lines) {
    if (line.site == nullptr) {
      std::printf("%s\n", line.tree.c_str());
      continue;
    }
    const Site& site = *line.site;
    std::printf("%-*s  %-7s  %-8s  %5s heads  %-*s  %-*s  %s%s\n", static_cast<int>(tree_width), line.tree.c_str(),
                name(site.kind), site.channels ? "channels" : name(site.relation), heads_of(site).c_str(),
                static_cast<int>(reads_width), reads_of(site).c_str(), static_cast<int>(methods_width),
                printable(join(site.methods)).c_str(), printable(site.source).c_str(), notes_of(site).c_str());
  }
  const auto any = [&](auto&& holds) { return std::any_of(report.sites.begin(), report.sites.end(), holds); };
  if (any([](const Site& site) { return site.proposed; }))
    std::printf("\n* would make the overlay when no profile says otherwise\n");
  if (const std::set<std::string> through = through_of(report); !through.empty()) {
    std::printf("  composed through latents, which their keys are: give the profile \"through\": {\"match\": [");
    for (const std::string& name : through)
      std::printf("%s\"%s\"", name == *through.begin() ? "" : ", ", printable(name).c_str());
    std::printf("]}\n");
  }
  if (any([](const Site& site) { return site.channels; }))
    std::printf("channels: compares channels with one another, so no key of it lies anywhere in the input\n");
  if (any([](const Site& site) { return site.gate.has_value(); }))
    std::printf("gate: what its output is multiplied with before it is added to the rest; 0: nothing of it arrives\n");
  if (any([](const Site& site) { return site.gathers_rows; }))
    std::printf(
        "gathers rows: runs in a loop of the model that gathers its batch, a beam search say: in a batch, maps are of "
        "rows, not of beams\n");
  if (report.sites.empty())
    std::printf(
        "No softmax between two matrix products and no scaled_dot_product_attention was found: there is nothing to "
        "capture.\n");
  if (!report.unknown.empty()) std::printf("\nLooks like attention and is not understood:\n");
  for (const Unknown& unknown : report.unknown)
    std::printf("  %s: %s  %s\n", printable(unknown.what).c_str(), printable(unknown.why).c_str(),
                printable(unknown.source).c_str());
}

}  // namespace

int sites(const SitesArguments& arguments) {
  Model model(arguments.model, at::kCPU);
  const SiteReport report = find_sites(model.module());
  if (arguments.json) {
    std::printf("%s\n",
                to_json(arguments.model, report).dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    print(arguments.model, report);
  }
  if (!arguments.out.empty()) write_proposal(arguments, report);
  return 0;
}

}  // namespace gaze::cli
