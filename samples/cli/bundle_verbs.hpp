// SPDX-License-Identifier: MIT
// The verbs that read bundles. Each returns the exit status and throws Refusal for what it refuses.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace gaze::cli {

struct ReportArguments {
  std::vector<std::string> directories;
  std::string out;    ///< page, or folder of one; empty: the first directory
  std::string table;  ///< CSV to write; empty: none
  int64_t limit = 50'000;
  bool quiet = false;  ///< prints nothing
};
int report(const ReportArguments& arguments);

struct DiffArguments {
  std::string a, b;
  std::string out = "gaze-diff.html";
  bool json = false;
};
int diff(const DiffArguments& arguments);

struct DriftArguments {
  std::string a, b;        ///< folders of bundles, or files of statistics; b empty: a is only counted and kept
  std::string save, html;  ///< files to write; empty: none
  int64_t limit = 100'000;
  bool json = false;
};
int drift(const DriftArguments& arguments);

struct PackArguments {
  std::string bundle, out;
  std::vector<std::string> redact;  ///< of picture, prompt
};
int pack(const PackArguments& arguments);

struct DrawArguments {
  std::string bundle, out = "drawn";
  std::string image;  ///< the original picture; empty: the one that is in report.html
  std::string audio;  ///< the original recording, likewise
  std::string colormap, ground, cells, format, pictures, longest_side;  ///< empty: as the bundle has it, or the default
  std::string site;             ///< its map alone, from detail.safetensors; empty: that of all, as captured
  std::optional<int64_t> head;  ///< of that site; unset: the mean of its heads
  bool own_range = false, raw = false;
};
int draw(const DrawArguments& arguments);

/// Puts the verbs into the program. What is returned runs the one that was typed, -1: another was.
std::vector<std::function<int()>> add_bundle_verbs(CLI::App& app);

}  // namespace gaze::cli
