// SPDX-License-Identifier: MIT
#include "picture/compact_picture.hpp"

#include <utility>

#include "codecs/image_codec.hpp"
#include "picture/scaled.hpp"

namespace gaze {

void compact_picture(int64_t longest_side_pixels, PictureMedium& medium) {
  constexpr size_t kSmallBytes = size_t{64} << 10;
  const at::Tensor& tensor = medium.picture.tensor;
  if (!tensor.defined() || !tensor.is_cpu() || tensor.nbytes() < kSmallBytes) return;
  const at::Tensor rgb_hwc = decode(medium.picture);
  const PictureSize whole{rgb_hwc.size(1), rgb_hwc.size(0)};
  const PictureSize drawn = fitted(whole, longest_side_pixels);
  const bool shrinks = drawn.width != whole.width;
  std::string jpeg =
      encode_image(shrinks ? scale_picture(rgb_hwc, drawn.height, drawn.width) : rgb_hwc, ImageFormat::Jpeg);
  if (jpeg.size() >= tensor.nbytes()) return;
  medium.original = whole;
  medium.picture = Picture::from_bytes(std::move(jpeg));
}

}  // namespace gaze
