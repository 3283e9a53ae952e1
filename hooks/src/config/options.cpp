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
  bundle.quota = {options.quota_bytes, options.quota_age_seconds, options.quota_free_bytes};
  bundle.signing_key = options.signing_key;
  return bundle;
}

}  // namespace gaze
