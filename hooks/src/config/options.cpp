// SPDX-License-Identifier: MIT
#include <gaze/hooks/options.hpp>

namespace gaze {

BundleOptions bundle_options(const Options& options) {
  BundleOptions bundle;
  bundle.out_dir = options.out_dir;
  bundle.strict_out_dir = options.strict_out_dir;
  bundle.format = options.format;
  bundle.delivery = options.delivery;
  bundle.word_files = options.word_files;
  bundle.pictures = options.pictures;
  bundle.longest_side_pixels = options.longest_side_pixels;
  return bundle;
}

}  // namespace gaze
