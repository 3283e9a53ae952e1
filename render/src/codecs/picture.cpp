// SPDX-License-Identifier: MIT
#include <ATen/TensorOperators.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>

#include <array>
#include <cstdio>

#include "base/files.hpp"
#include "codecs/base_picture.hpp"
#include "codecs/image_codec.hpp"
#include "device/device_event.hpp"

namespace gaze {
namespace {

constexpr size_t kMaxPictureBytes = size_t{512} << 20;
constexpr double kRangeSlack = 1e-3;

[[noreturn]] void refuse_picture(const std::string& text) { throw Error("picture" + text, DropReason::DecodeFailed); }

std::string shape(const at::Tensor& tensor) {
  std::string text = "[";
  for (int64_t i = 0; i < tensor.dim(); ++i) text += (i > 0 ? ", " : "") + std::to_string(tensor.size(i));
  return text + "]";
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

bool is_channels(int64_t extent) { return extent == 1 || extent == 3; }

at::Tensor to_hwc(const at::Tensor& tensor) {
  constexpr const char* kAllowed = ".tensor: expected [H, W, 3], [H, W, 1], [H, W], [3, H, W] or [1, H, W], got ";
  if (tensor.numel() == 0) refuse_picture(kAllowed + shape(tensor) + ", which has no pixels.");
  if (tensor.dim() == 2) return tensor.unsqueeze(-1);
  if (tensor.dim() != 3) refuse_picture(kAllowed + shape(tensor) + ". Select one picture of the batch.");
  const bool first = is_channels(tensor.size(0));
  const bool last = is_channels(tensor.size(2));
  if (first && last) {
    refuse_picture(kAllowed + shape(tensor) +
                   ", which is ambiguous: channels may be first or last. Add a channel axis of 3 to a " +
                   "gray picture, or give a file.");
  }
  if (!first && !last)
    refuse_picture(kAllowed + shape(tensor) + ", which has no axis of 1 or 3 channels. Drop the alpha channel.");
  return first ? tensor.permute({1, 2, 0}) : tensor;
}

at::Tensor undo_normalisation(const at::Tensor& hwc, const std::vector<float>& mean, const std::vector<float>& std) {
  const auto fits = [&](const std::vector<float>& values) {
    return values.size() == 1 || static_cast<int64_t>(values.size()) == hwc.size(2);
  };
  if (!fits(mean) || !fits(std)) {
    refuse_picture(".mean and .std: expected 1 or " + std::to_string(hwc.size(2)) + " values each, got " +
                   std::to_string(mean.size()) + " and " + std::to_string(std.size()) +
                   ". Give what the model's input was made with.");
  }
  // Per channel, with the factors as arguments: a tensor of them would have to be brought to the device.
  std::vector<at::Tensor> channels;
  for (int64_t c = 0; c < hwc.size(2); ++c) {
    const auto at = [c](const std::vector<float>& values) {
      return values[values.size() == 1 ? 0 : static_cast<size_t>(c)];
    };
    channels.push_back(hwc.select(2, c) * at(std) + at(mean));
  }
  return at::stack(channels, 2);
}

at::Tensor range_of(const at::Tensor& unit) {
  const auto [low, high] = at::aminmax(unit);
  return at::stack({at::isfinite(unit).all().to(at::kDouble), low.to(at::kDouble), high.to(at::kDouble)});
}

BasePicture decode_tensor(const Picture& picture) {
  const at::Tensor& tensor = picture.tensor;
  const bool normalised = !picture.mean.empty() || !picture.std.empty();
  at::Tensor hwc = to_hwc(tensor.detach());
  if (hwc.size(0) > kMostPixels / hwc.size(1)) {
    refuse_picture(".tensor: expected at most " + std::to_string(kMostPixels) + " pixels, got " +
                   std::to_string(hwc.size(1)) + " x " + std::to_string(hwc.size(0)) + ". Scale the picture down.");
  }
  at::Tensor range;
  if (tensor.is_floating_point()) {
    hwc = hwc.to(at::kFloat);
    if (normalised) hwc = undo_normalisation(hwc, picture.mean, picture.std);
    range = range_of(hwc);
    hwc = (hwc * 255).round().clamp(0, 255).to(at::kByte);
  } else if (tensor.scalar_type() != at::kByte) {
    refuse_picture(".tensor: expected uint8 or a floating type, got " +
                   std::string(c10::toString(tensor.scalar_type())) + ". Convert it with to(torch::kByte).");
  } else if (normalised) {
    refuse_picture(".tensor: expected a floating type where mean and std are set, got Byte. Leave them empty.");
  }
  return {hwc.expand({hwc.size(0), hwc.size(1), 3}).contiguous(), {hwc.size(1), hwc.size(0)}, range};
}

BasePicture decode_bytes(const std::string& bytes, bool apply_exif, const std::string& what,
                         int64_t longest_side_pixels) {
  DecodedImage image = decode_image(bytes, apply_exif, what, longest_side_pixels);
  return {std::move(image.rgb_hwc), image.whole, {}, std::move(image.note)};
}

BasePicture decode_any(const Picture& picture, int64_t longest_side_pixels) {
  if (picture.tensor.defined()) return decode_tensor(picture);
  if (!picture.encoded.empty())
    return decode_bytes(picture.encoded, picture.apply_exif, "picture", longest_side_pixels);
  if (!picture.path.empty()) {
    const std::string bytes = files::read(picture.path, "picture", kMaxPictureBytes);
    return decode_bytes(bytes, picture.apply_exif, "picture '" + picture.path + "'", longest_side_pixels);
  }
  refuse_picture(": expected a tensor, a path or the bytes of an image file, got nothing. Give the request a picture.");
}

}  // namespace

Picture Picture::from_bytes(std::string bytes) {
  Picture picture;
  picture.encoded = std::move(bytes);
  return picture;
}

Picture Picture::from_pixels(const uint8_t* pixels, int64_t height, int64_t width, int64_t channels, int64_t step_bytes,
                             ChannelOrder order) {
  const bool known = channels == 1 || channels == 3 || channels == 4;
  if (pixels == nullptr || height < 1 || width < 1 || !known || step_bytes / channels < width) {
    refuse_picture(": expected rows of pixels of 1, 3 or 4 bytes, got " + std::to_string(height) + " rows of " +
                   std::to_string(width) + " pixels of " + std::to_string(channels) + " bytes, " +
                   std::to_string(step_bytes) + " bytes apart. Give a tensor instead.");
  }
  at::Tensor rgb_hwc = at::empty({height, width, 3}, at::kByte);
  auto* rgb_x = rgb_hwc.mutable_data_ptr<uint8_t>();
  const int64_t red = channels == 1 ? 0 : order == ChannelOrder::Bgr ? 2 : 0;
  const int64_t green = channels == 1 ? 0 : 1, blue = channels == 1 ? 0 : 2 - red;
  for (int64_t y = 0; y < height; ++y) {
    const uint8_t* pixel = pixels + y * step_bytes;
    for (int64_t x = 0; x < width; ++x, pixel += channels, rgb_x += 3) {
      rgb_x[0] = pixel[red];
      rgb_x[1] = pixel[green];
      rgb_x[2] = pixel[blue];
    }
  }
  return {rgb_hwc};
}

PictureSize known_size(const Picture& picture) {
  if (!picture.tensor.defined()) return {picture.expected_width, picture.expected_height};
  try {
    const at::Tensor hwc = to_hwc(picture.tensor.detach());
    return {hwc.size(1), hwc.size(0)};
  } catch (const Error&) {  // said when it is decoded
    return {};
  }
}

BasePicture decode_unchecked(const Picture& picture, int64_t longest_side_pixels) {
  BasePicture base = decode_any(picture, longest_side_pixels);
  const PictureSize& whole = base.whole;
  const bool fits = (picture.expected_width <= 0 || whole.width == picture.expected_width) &&
                    (picture.expected_height <= 0 || whole.height == picture.expected_height);
  if (!fits) {
    const auto side = [](int64_t extent) { return extent > 0 ? std::to_string(extent) : std::string("any"); };
    refuse_picture(": expected " + side(picture.expected_width) + " x " + side(picture.expected_height) +
                   " pixels, got " + std::to_string(whole.width) + " x " + std::to_string(whole.height) +
                   ". Give the picture the model saw, or correct the expected size.");
  }
  return base;
}

void check_range(const double* range) {
  const auto [finite, least, greatest] = std::array<double, kRangeFigures>{range[0], range[1], range[2]};
  if (finite == 0) {
    refuse_picture(".tensor: expected finite values, got NaN or infinity. Give the picture before it went wrong.");
  }
  if (least < -kRangeSlack || greatest > 1 + kRangeSlack) {
    refuse_picture(".tensor: expected floating values in 0..1, got " + number(least) + ".." + number(greatest) +
                   ". Divide by 255, or set mean and std when this is a model's input.");
  }
}

at::Tensor decode(const Picture& picture) {
  const BasePicture base = decode_unchecked(picture, 0);
  if (base.range.defined()) {
    const ops::Route route = ops::route_to(base.range.device());
    check_range(fetch(base.range, route, ops::Cargo::Figures).const_data_ptr<double>());
  }
  return base.rgb_hwc;
}

}  // namespace gaze
