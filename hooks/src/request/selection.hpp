// SPDX-License-Identifier: MIT
// Which sites, heads and layers of a model a profile and the options choose. Knows no TorchScript.
#pragma once

#include <gaze/hooks/options.hpp>
#include <gaze/hooks/sites.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gaze {

/// Lists are by site.
struct Selection {
  std::vector<char> selected;  ///< its rows make the map
  std::vector<char> between;   ///< stands between the picture and the selected ones
  std::vector<char> text;      ///< its rows make the map of a text
  std::vector<char> encoder;   ///< self-attention of the encoder whose positions are the selected ones' keys
  std::vector<std::vector<int64_t>> heads;  ///< of a selected site those that count, ascending; empty: all
  ops::ReduceOptions reduce;
  ops::ReduceOptions text_reduce;  ///< of a text that is the only medium
  std::string layers_text;         ///< for people: "mean of sites 0-2 of 3"
};

/// Options go before the profile.
/// @param told  of `sites` those that attach was told of, the first ones. Whatever the choice names must be among them,
///              where there are any; of sites that were found later nothing is expected but that they fit, and what is
///              chosen of those before them stays as it was.
/// @throws gaze::Error naming the field, when the choice does not fit the sites
Selection select(const Profile& profile, const Options& options, const std::vector<const Site*>& sites, size_t told);

}  // namespace gaze
