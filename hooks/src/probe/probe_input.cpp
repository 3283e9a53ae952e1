// SPDX-License-Identifier: MIT
#include "probe/probe_input.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>

namespace gaze {
namespace {

constexpr int64_t kFrequencyBands = 8;

std::string told(const c10::IValue& value) {
  return value.isTensor() && value.toTensor().defined()
             ? c10::str(value.toTensor().scalar_type(), " ", value.toTensor().sizes())
             : value.tagKind();
}

[[noreturn]] void refuse(int64_t argument, const std::string& expected, const c10::IValue& got,
                         const std::string& fix) {
  throw Error("probe: argument " + std::to_string(argument) + ": expected " + expected + ", got " + told(got) + ". " +
              fix);
}

int64_t strip_for(int64_t length, int64_t bands) {
  const int64_t least = (length + bands - 1) / bands;
  // Strips that divide the length meet the borders of cells more often.
  for (int64_t strip = least; strip <= 2 * least && 2 * strip <= length; ++strip) {
    if (length % strip == 0) return strip;
  }
  return least;
}

InputAxis cut(int64_t length, int64_t strip, const at::Tensor& place) {
  return {length, strip, (length + strip - 1) / strip, place.floor_divide(strip)};
}

/// 0, 1, ... along dimension `at` (from the end) of an input with `dims` dimensions.
at::Tensor along(const at::Tensor& input, int64_t at) {
  std::vector<int64_t> shape(static_cast<size_t>(-at), 1);
  shape[0] = input.size(at);
  return at::arange(input.size(at), at::TensorOptions().dtype(at::kLong).device(input.device())).view(shape);
}

/// Dimensions between the batch and the last `own` ones hold nothing.
bool only_batch_before(const at::Tensor& input, int64_t own) {
  for (int64_t d = 1; d < input.dim() - own; ++d) {
    if (input.size(d) != 1) return false;
  }
  return true;
}

/// Steps at the end that hold what the last one holds.
int64_t equal_at_end(const at::Tensor& input, int64_t time) {
  const at::Tensor steps = input.movedim(time, 0).flatten(1);
  const at::Tensor same = steps.eq(steps.narrow(0, steps.size(0) - 1, 1)).all(1).to(at::kCPU);
  int64_t equal = 0;
  for (int64_t s = steps.size(0) - 1; s >= 0 && same[s].item<bool>(); --s) ++equal;
  return equal > 1 ? equal : 0;
}

const char* shape_of(ProbeMedium medium) {
  if (medium == ProbeMedium::Pictures)
    return "pictures of one prompt, floating point or uint8 [pictures, channels, height, width] or [1, pictures, "
           "channels, "
           "height, width]";
  if (medium == ProbeMedium::Tiles) return "tiles, floating point or uint8 [batch, tiles, channels, height, width]";
  if (medium == ProbeMedium::Video) return "a video, floating point or uint8 [batch, frames, channels, height, width]";
  return "a picture, floating point or uint8 [batch, channels, height, width]";
}

}  // namespace

void ProbeInput::read_picture(int64_t argument, const ProbeOptions& options) {
  const bool many = options.medium != ProbeMedium::Picture;
  const bool pictures = options.medium == ProbeMedium::Pictures;
  const bool spectrogram = !many && base.dim() == 3;
  const int64_t own = many ? 4 : spectrogram ? 2 : 3;
  const bool known = pictures ? base.dim() == own || (base.dim() == own + 1 && base.size(0) == 1)
                              : base.dim() > own && only_batch_before(base, own);
  if (!known || base.size(-1) < 2 || base.size(-2) < 2)
    refuse(argument, shape_of(options.medium), base,
           "Several tiles, frames, a list of patches and a sound are other media: ProbeOptions::medium, or "
           "--tiles-arg, --video-arg, --patches-arg and --audio-arg.");
  batch = pictures ? 1 : base.size(0);
  unit = "pixels";
  columns = cut(base.size(-1), strip_for(base.size(-1), options.bands), along(base, -1));
  rows = cut(base.size(-2), strip_for(base.size(-2), options.bands), along(base, -2));
  if (many) parts = cut(base.size(-4), 1, along(base, -4));
  if (options.medium != ProbeMedium::Tiles || options.tiles.rows == 0) return;
  const int64_t tiles = options.tiles.rows * options.tiles.cols + (options.tiles.thumbnail_first ? 1 : 0);
  if (tiles != parts.length)
    throw Error("probe: tiles: expected " + std::to_string(parts.length) + " of them, got " + std::to_string(tiles) +
                " with the thumbnail. Correct the rows and columns of tiles.");
}

void ProbeInput::read_patches(int64_t argument, const ProbeOptions& options) {
  const ProbePatches& grid = options.patches;
  const bool numbered = grid.rows == 0;
  if (base.dim() < 2 || base.dim() > 3 || base.size(-1) < (numbered ? 3 : 1))
    refuse(argument, "a list of patches, floating point or uint8 [patches, values] or [batch, patches, values]", base,
           "A picture is another medium.");
  batch = base.dim() == 3 ? base.size(0) : 1;
  unit = "patches";
  at::Tensor row;
  at::Tensor col;
  if (numbered) {
    row = base.narrow(-1, 0, 1).to(at::kLong);
    col = base.narrow(-1, 1, 1).to(at::kLong);
    if (!row.eq(base.narrow(-1, 0, 1)).all().item<bool>() || !col.eq(base.narrow(-1, 1, 1)).all().item<bool>() ||
        row.min().item<int64_t>() < 0 || col.min().item<int64_t>() < 0)
      refuse(argument, "patches that begin with their row and their column", base,
             "State the grid that they are listed in.");
    row = row - row.min();
    col = col - col.min();
    noise_.narrow(-1, 0, 2).zero_();
  } else {
    if (grid.frames * grid.rows * grid.cols != base.size(-2))
      refuse(argument,
             std::to_string(grid.frames * grid.rows * grid.cols) + " patches (" + std::to_string(grid.frames) + " x " +
                 std::to_string(grid.rows) + " x " + std::to_string(grid.cols) + ")",
             base, "Correct the grid of patches.");
    if (grid.merge < 1 || grid.rows % grid.merge != 0 || grid.cols % grid.merge != 0)
      throw Error("probe: patches.merge: expected to divide " + std::to_string(grid.rows) + " x " +
                  std::to_string(grid.cols) + " patches, got " + std::to_string(grid.merge) + ". Correct it.");
    const auto place_yx = at::arange(grid.rows * grid.cols, at::TensorOptions().dtype(at::kLong).device(base.device()))
                              .view({grid.rows / grid.merge, grid.merge, grid.cols / grid.merge, grid.merge})
                              .transpose(1, 2)
                              .reshape({-1})
                              .repeat({grid.frames})
                              .unsqueeze(-1);
    row = place_yx.floor_divide(grid.cols);
    col = place_yx.remainder(grid.cols);
    if (grid.frames > 1) parts = cut(grid.frames, 1, along(base, -2).floor_divide(grid.rows * grid.cols));
  }
  const int64_t width = col.max().item<int64_t>() + 1;
  const int64_t height = row.max().item<int64_t>() + 1;
  columns = cut(width, strip_for(width, options.bands), col);
  rows = cut(height, strip_for(height, options.bands), row);
}

void ProbeInput::read_sound(int64_t argument, const ProbeOptions& options) {
  if (!(options.seconds_per_step > 0))
    throw Error("probe: seconds_per_step: expected more than 0, got " + std::to_string(options.seconds_per_step) +
                ". Give the time of a sample or a frame: --sample-rate or --hop-seconds.");
  const int64_t time = options.time_first ? -2 : -1;
  if (base.dim() < 2 || base.dim() > 3 || (options.time_first && base.dim() == 2) || base.size(time) < 2)
    refuse(argument,
           options.time_first ? "a spectrogram, floating point [batch, frames, bins]"
                              : "a sound, floating point [batch, samples] or [batch, bins, frames]",
           base, "Give the argument that is one.");
  batch = base.size(0);
  unit = base.dim() == 2 ? "samples" : "frames";
  time_ = time;
  columns = cut(base.size(time), strip_for(base.size(time), options.bands), along(base, time));
  silent_steps = equal_at_end(base, time);
  if (base.dim() == 2) return;
  // A few bands of frequency, to tell frames from patches.
  const int64_t bins = options.time_first ? -1 : -2;
  rows = cut(base.size(bins), strip_for(base.size(bins), kFrequencyBands), along(base, bins));
}

ProbeInput::ProbeInput(const c10::IValue& value, int64_t argument, const ProbeOptions& options) {
  if (!value.isTensor() || !value.toTensor().defined() || value.toTensor().numel() == 0)
    refuse(argument, shape_of(options.medium), value, "Count the method's arguments from 0, without self.");
  base = value.toTensor();
  const bool bytes = base.scalar_type() == at::kByte;
  if (!bytes && !base.is_floating_point()) {
    refuse(argument, shape_of(options.medium), value,
           "Count the method's arguments from 0, without self. If it is that argument, wrap the model in one whose "
           "method takes floating point or uint8 and converts it.");
  }
  const double spread = base.to(at::kDouble).std().item<double>();
  const double largest = base.abs().max().item<double>();
  if (bytes && largest == 1) {
    refuse(argument, "uint8 values in 0..255", value,
           "None of them is above 1: multiply a picture in 0..1 by 255 before it becomes uint8, or give it as floating "
           "point.");
  }
  double change = options.strength * (spread > 1e-6 * largest ? spread : 1.0);  // 1: of a picture of one colour
  if (bytes) change = std::clamp(std::round(change), 1.0, 255.0);
  auto generator = at::detail::createCPUGenerator(options.seed);
  noise_ = at::randint(0, 2, base.sizes(), generator, at::TensorOptions().dtype(at::kFloat)).mul(2).sub(1).mul(change);
  noise_ = noise_.to(base.options().dtype(bytes ? at::kFloat : base.scalar_type()));
  if (options.medium == ProbeMedium::Sound) {
    read_sound(argument, options);
  } else if (options.medium == ProbeMedium::Patches) {
    read_patches(argument, options);
  } else {
    read_picture(argument, options);
  }
}

at::Tensor ProbeInput::perturbed(const InputAxis& axis, int64_t strip) const {
  const at::Tensor here = axis.strip_of.eq(strip);
  if (base.scalar_type() != at::kByte) return at::where(here, base + noise_, base);
  // What would leave 0..255 goes the other way, so that white paper changes as well.
  const at::Tensor up = base + noise_;
  const at::Tensor changed = at::where(up.lt(0).logical_or(up.gt(255)), base - noise_, up);
  return at::where(here, changed.clamp(0, 255).to(at::kByte), base);
}

at::Tensor ProbeInput::moved(int64_t steps) const { return base.roll({steps}, {time_}); }

at::Tensor ProbeInput::first_half() const { return base.narrow(time_, 0, base.size(time_) / 2).contiguous(); }

}  // namespace gaze
