// SPDX-License-Identifier: MIT
// A pickle as text: what it names, and what of it LibTorch can be given to read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gaze::cli {

/// The classes and functions that a pickle names, as "module.name", in order, each once; up to where it ends or holds
/// what is no pickle. Nothing is made or called.
std::vector<std::string> named_in(std::string_view pickle);

/// The first of them that LibTorch makes nothing of; empty: it knows all.
std::string foreign_class(std::string_view pickle);

struct PlainPickle {
  std::string bytes;
  bool wrapped = false;  ///< the value is a list of one: what stood in the object that a processor returned
};

/// The same with dicts in place of collections.OrderedDict, which LibTorch reads as None; and the state of an object
/// of transformers (BatchFeature, BatchEncoding) in place of the object.
PlainPickle as_plain(std::string_view pickle);

}  // namespace gaze::cli
