// SPDX-License-Identifier: MIT
// Names for the sites of a frozen file, which keeps no module path: made of what it does keep.
#pragma once

#include <gaze/hooks/sites.hpp>

#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace gaze {

/// What freezing leaves of the place of one site. Sites stand in the order of their graphs, method by method.
struct LeftSite {
  /// The method, then the lines of Python that led to it, "file.py:line", outermost first; one where it was scripted.
  std::vector<std::string> calls;
  std::string file;  ///< that the attention is written in, "modeling_bart.py"; empty: not known
  std::string op;    ///< the operator
  SiteRelation relation = SiteRelation::Unknown;
  const void* matrix = nullptr;      ///< the weights that project its queries; null: they have no name and no constant
  std::optional<size_t> instead_of;  ///< an earlier site, in another arm of one branch
  /// Values that its queries' input is a sum of, as the layers of one tower add to what those before them had.
  std::unordered_set<const void*> stream;
};

struct LeftName {
  std::string name;   ///< "bart_2.0.cross": the tower, which layer of it, and what it attends to
  std::string tower;  ///< "bart_2": the file, numbered where several towers are written in one
};

/// A name for each site. Those in two methods, or of two operators, have one name where the same weights project their
/// queries, and so have the arms of a branch. Within a method equal weights alone say little: freezing makes one
/// constant of all layers that were initialised alike.
std::vector<LeftName> names_of_left(const std::vector<LeftSite>& sites);

}  // namespace gaze
