// SPDX-License-Identifier: MIT
// The kernels' parameters (plain data: raw pointers, sizes, strides in elements) and launchers. C++17, no torch.
// Shapes are read from the names: attn_hqk is [heads, queries, keys]. Callers have checked every argument.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/isa.hpp"
#include "half.hpp"

namespace gaze::kernels {

enum class DType : std::int32_t { F32, F16, BF16, Bool };
// The values of the enumerations of the same names in gaze/ops.
enum class HeadReduce : std::int32_t { Mean, Max, Min, Weighted, One, TopK };
enum class LayerReduce : std::int32_t { Mean, Max, Last, Weighted };
enum RowFlag : std::int32_t { kRowNonFinite = 1, kRowSum = 2, kRowFullyMasked = 4 };
enum class Colormap : std::int32_t { Turbo, Inferno, Viridis, Cividis, Gray, Diverging };

/// Many models mask with the lowest finite number of the dtype (fp16: -65504) instead of -infinity. No score makes
/// up for this much, so a key whose score is no higher is not counted as visible, as its weight of 0 is not when
/// weights are given. gaze::ops::kAsGoodAsMasked to callers.
constexpr float kAsGoodAsMasked = -1e4f;

struct Reduction {
  HeadReduce heads = HeadReduce::Mean;
  LayerReduce layers = LayerReduce::Mean;
  std::int64_t head = 0;
  std::int64_t k = 1;
};

/// As many heads as a window may choose, each below 256.
constexpr std::int64_t kMostPicked = 64;

/// Which heads of a tensor the heads of a call are.
struct HeadPick {
  bool some = false;  ///< false: all of them, in order
  std::uint8_t head[kMostPicked] = {};

  GAZE_HOST_DEVICE std::int64_t operator[](std::int64_t h) const { return some ? head[h] : h; }
  /// What a row of `heads` heads counts beside those of other layers: 1, or its heads where they were picked, so that
  /// every picked head of a model counts the same.
  GAZE_HOST_DEVICE std::int64_t share(std::int64_t heads) const { return some ? heads : 1; }
};

/// The accumulator's rows from the window's first token on. Cells of a row are adjacent; its map may be part of a wider
/// one, the other figures are contiguous.
struct AccumulatorRows {
  float* map_tc = nullptr;
  float* weight_t = nullptr;
  float* mass_t = nullptr;
  float* visible_t = nullptr;
  std::int32_t* calls_t = nullptr;
  std::int32_t* flags_t = nullptr;
  std::int32_t* rows_t = nullptr;
  std::int64_t cells = 0;
  std::int64_t map_stride_t = 0;  ///< from a token's cells to the next one's, >= cells
};

struct ReduceParams {
  const void* attn_hqk = nullptr;  ///< at the window's batch row and first query
  DType dtype = DType::F32;
  std::int64_t heads = 0, queries = 0, keys = 0;  ///< queries: of the window
  HeadPick pick = {};
  std::int64_t all_heads = 0;  ///< with a pick: of the tensor; a key that none of them weighs is masked
  std::int64_t stride_h = 0, stride_q = 0, stride_k = 0;
  std::int64_t first_key = 0;
  float sum_least = 1, sum_most = 1;  ///< of a row that is not all zero
  Reduction by;
  AccumulatorRows to;
};

struct AttendParams {
  const void* q_hqd = nullptr;  ///< at the window's first batch row and first query
  /// Instead, queries that lie apart: [queries], on the host; where each row's begin at the window's first batch row.
  const void* const* q_t = nullptr;
  std::int64_t q_row = 0;       ///< of these: elements from there to the batch row's, after at_row
  const void* k_hkd = nullptr;  ///< at the window's first batch row
  DType dtype = DType::F32;
  std::int64_t heads = 0, kv_heads = 0, queries = 0, keys = 0, size = 0;
  HeadPick pick = {};           ///< some: every head counts as one with a head of K to itself, kv_heads = heads
  std::int64_t all_heads = 0;   ///< with a pick: of the mask; a key that some head may see is visible
  std::int64_t pick_group = 1;  ///< with a pick: heads of the tensor that share one of K's
  std::int64_t q_stride_b = 0, q_stride_h = 0, q_stride_q = 0, q_stride_d = 0;
  std::int64_t k_stride_b = 0, k_stride_h = 0, k_stride_k = 0, k_stride_d = 0;
  const void* mask_hqk = nullptr;  ///< null: none; at the window's first batch row and query; stride 0 broadcasts
  DType mask_dtype = DType::Bool;
  std::int64_t mask_stride_b = 0, mask_stride_h = 0, mask_stride_q = 0, mask_stride_k = 0;
  bool causal = false;
  std::int64_t first_query = 0;  ///< causal: row t of the window sees keys 0..first_query + t
  float scale = 1;
};

constexpr std::int64_t bytes_of(DType dtype) { return dtype == DType::F32 ? 4 : dtype == DType::Bool ? 1 : 2; }

template <typename T>
GAZE_HOST_DEVICE T* shifted(T* from, std::int64_t bytes) {
  return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(bytes));
}

/// K's head for head `kv` of those that are told apart by K's.
GAZE_HOST_DEVICE inline std::int64_t k_head(const AttendParams& p, std::int64_t kv) {
  return p.pick.some ? p.pick.head[kv] / p.pick_group : kv;
}

/// The same call of the batch row that is `b` rows further on.
inline AttendParams at_row(AttendParams p, std::int64_t b) {
  p.q_row += b * p.q_stride_b;
  p.q_hqd = shifted(p.q_hqd, b * p.q_stride_b * bytes_of(p.dtype));
  p.k_hkd = shifted(p.k_hkd, b * p.k_stride_b * bytes_of(p.dtype));
  if (p.mask_hqk != nullptr) p.mask_hqk = shifted(p.mask_hqk, b * p.mask_stride_b * bytes_of(p.mask_dtype));
  return p;
}

struct AttendReduceParams {
  AttendParams scores;
  std::int64_t first_key = 0;
  Reduction by;
  AccumulatorRows to;  ///< of the window's first batch row
};

/// How far from those of the window's first batch row another one's accumulator rows lie, in bytes.
struct RowOffset {
  std::int64_t map = 0;   ///< of the map
  std::int64_t rest = 0;  ///< of each of the other figures
};

GAZE_HOST_DEVICE inline AccumulatorRows shifted(AccumulatorRows to, RowOffset by) {
  to.map_tc = shifted(to.map_tc, by.map);
  to.weight_t = shifted(to.weight_t, by.rest);
  to.mass_t = shifted(to.mass_t, by.rest);
  to.visible_t = shifted(to.visible_t, by.rest);
  to.calls_t = shifted(to.calls_t, by.rest);
  to.flags_t = shifted(to.flags_t, by.rest);
  to.rows_t = shifted(to.rows_t, by.rest);
  return to;
}

/// Rows of a decode step that was recorded once and runs many times: no launch knows which step it is.
struct AppendParams {
  AccumulatorRows from;             ///< of `rows` batch rows; zero afterwards
  AccumulatorRows to;               ///< step s of batch row b is row s * rows + b
  std::int64_t rows = 0;            ///< batch rows
  std::int64_t steps = 0;           ///< that there is room for: later ones are counted alone
  std::int32_t* count_n = nullptr;  ///< how many came before: append_counters() times the same number
};
/// Each block of the kernel has a counter of its own, so that none waits for another.
constexpr std::int64_t append_blocks(std::int64_t cells) {
  return cells <= 2048 ? 1 : cells <= 32768 ? (cells + 2047) / 2048 : 16;
}
constexpr std::int64_t append_counters(std::int64_t rows, std::int64_t cells) { return rows * append_blocks(cells); }

// A map is diffuse below this highest lift, or above this entropy.
constexpr float kDiffuseLift = 2;
constexpr double kDiffuseEntropy = 0.95;

struct NormaliseParams {
  const float* map_tc = nullptr;
  const float* visible_t = nullptr;
  std::int64_t tokens = 0, cells = 0;
  bool subtract_sinks = false;
  bool per_map_min_max = false;
  double percentile = 1;
  float* lift_tc = nullptr;
  float* shown_tc = nullptr;
  float* value_tc = nullptr;
  float* max_lift_t = nullptr;
  float* entropy_t = nullptr;
  bool* diffuse_t = nullptr;
  float* range_max = nullptr;
};

struct ColourParams {
  const float* value = nullptr;
  std::int64_t count = 0;
  Colormap colormap = Colormap::Turbo;
  std::uint8_t* out_rgb = nullptr;
};

struct BlendParams {
  const std::uint8_t* rgb = nullptr;
  const std::uint8_t* colour = nullptr;
  const float* value = nullptr;
  std::int64_t pixels = 0;
  float alpha_max = 0, alpha_start = 0, alpha_full = 1;
  std::uint8_t* out_rgb = nullptr;
};

/// Rows in one byte a weight: most = the row's greatest weight, root = int(255 * sqrt(weight / most) + 0.5). What is
/// negative or not finite counts as 0, and of a row of zeros root is 0. Every implementation gives the same bytes: each
/// operation is rounded by itself.
struct QuantiseParams {
  const void* weight_hqk = nullptr;
  DType dtype = DType::F32;
  std::int64_t heads = 0, queries = 0, keys = 0;
  std::int64_t stride_h = 0, stride_q = 0, stride_k = 0;
  std::uint8_t* root_hqk = nullptr;  ///< keys adjacent
  std::int64_t root_stride_h = 0, root_stride_q = 0;
  float* most_hq = nullptr;
  std::int64_t most_stride_h = 0, most_stride_q = 0;
};

constexpr int kLevels = 512;

/// The whole frame path in one pass. Every implementation gives the same bytes, so each operation below is rounded by
/// itself (no fused multiply-add) and in this order.
/// - place = scale * (pixel + 0.5) + offset, in double; the pixel is seen when 0 <= place < cells on both axes.
/// - Exact: the cell floor(place). Else between centres: centre = clamp(place - 0.5, 0, cells - 1), low =
///   floor(centre), high = min(low + 1, cells - 1), share = float(centre - low). axis.hpp has both.
/// - m = 511 * clamp(value, 0, 1) per cell, NaN counts as 0. Left to right first: m_low + share_x * (m_high - m_low),
///   then down the same way; level = int(that + 0.5).
/// - {colour, alpha} = level_rgba[level], a15 = 128 * alpha + (alpha >> 1), out = base + (((colour - base) * a15 +
///   16384) >> 15) per channel. Unseen pixels keep their base.
/// - Contour: a seen pixel at (x, y) is an edge when the cells from that of pixel (x - reach, y - reach) to that of
///   (x + reach, y + reach), both clamped into the picture, are neither all inside nor all outside; cells off the grid
///   are outside. An edge is 255 where its own cell is inside, else 32.
/// - Border: on each side where the seen rectangle ends before the picture does, a dashed line of border_width pixels
///   within the rectangle: 245 and 40 in turn every border_length pixels from its left or top; rows win over columns.
struct OverlayParams {
  const std::uint8_t* rgb = nullptr;  ///< [height, width, 3]
  std::int64_t height = 0, width = 0;
  const float* value_yx = nullptr;  ///< [rows, cols]
  const bool* inside_yx = nullptr;  ///< [rows, cols]; null: no contour
  std::int64_t rows = 0, cols = 0;
  double scale_x = 1, offset_x = 0, scale_y = 1, offset_y = 0;
  bool exact = false;
  std::int64_t reach = 1;
  std::int64_t border_width = 0;  ///< 0: no border
  std::int64_t border_length = 1;
  std::int64_t seen_left = 0, seen_right = 0, seen_top = 0, seen_bottom = 0;  ///< the seen pixels; empty: left = right
  std::uint32_t level_rgba[kLevels] = {};  ///< red in the lowest byte, alpha in the highest
  std::uint8_t* out_rgb = nullptr;         ///< [height, width, 3]; not overlapping rgb
  std::int64_t most_sms = 0;  ///< a GPU's multiprocessors that it takes at most, whatever else could run there; 0: all
};

/// Column c lies over samples first + c * per_column to first + (c + 1) * per_column; plot.hpp has the rounding.
struct EnvelopeParams {
  const float* samples_ct = nullptr;
  std::int64_t channels = 0, samples = 0;
  double first = 0, per_column = 1;
  std::int64_t columns = 0;
  float* out_ckw = nullptr;  ///< [channels, 3, columns]
};

/// The pixels of both plots follow from plot.hpp, and are the same bytes in every implementation.
struct WaveformParams {
  const float* envelope_ckw = nullptr;  ///< [channels, 3, width]
  std::int64_t channels = 0, height = 0, width = 0;
  double full_scale = 1;
  std::uint8_t* out_rgb = nullptr;  ///< [height, width, 3]
};

struct SpectrogramParams {
  const float* mel_mt = nullptr;
  std::int64_t mels = 0, frames = 0;
  double first = 0, per_column = 1;  ///< in frames
  std::int64_t height = 0, width = 0;
  std::uint8_t* out_rgb = nullptr;  ///< [height, width, 3]
};

/// |Fourier transform|^2 of the windows of a recording: frame t is taper[i] * samples[t * hop + i].
struct PowerSpectrumParams {
  const float* samples = nullptr;  ///< (frames - 1) * hop + window of them
  std::int64_t window = 0, hop = 0, frames = 0;
  const float* taper = nullptr;  ///< [window]
  const float* turns = nullptr;  ///< [window, 2]: the cosine and sine of -2 pi i / window
  float* out_bt = nullptr;       ///< [window / 2 + 1, frames]
};

/// Kernels allocate nothing: `workspace` holds at least what the function of that name says, aligned for double.
namespace cpu {

/// How a kernel gets threads: `each` calls work(task, i) once for every i in 0..count-1, on any threads, and returns
/// when all are done. `threads` is how many can be of use; without `each` there is the caller's.
/// Results do not depend on it.
struct Parallel {
  std::int64_t threads = 1;
  void (*each)(std::int64_t count, void (*work)(const void* task, std::int64_t i), const void* task) = nullptr;
};

std::size_t reduce_workspace(const ReduceParams& params, std::int64_t threads);
void reduce(const ReduceParams& params, void* workspace, const Parallel& parallel, Isa isa = best_isa());

std::size_t attend_workspace(const AttendParams& params, std::int64_t threads);
void attend(const AttendParams& params, float* out_hqk, void* workspace, const Parallel& parallel,
            Isa isa = best_isa());

std::size_t attend_reduce_workspace(const AttendReduceParams& params, std::int64_t threads);
/// Of one batch row.
void attend_reduce(const AttendReduceParams& params, void* workspace, const Parallel& parallel, Isa isa = best_isa());

void append(const AppendParams& params);

std::size_t normalise_workspace(const NormaliseParams& params);
void normalise(const NormaliseParams& params, void* workspace);

void colour(const ColourParams& params);
void blend(const BlendParams& params);
void quantise(const QuantiseParams& params);

std::size_t overlay_workspace(const OverlayParams& params);
/// Rows [first, end) of the picture, with the instructions of `isa`.
void overlay(const OverlayParams& params, std::int64_t first, std::int64_t end, void* workspace, Isa isa = best_isa());

void envelope(const EnvelopeParams& params, const Parallel& parallel, Isa isa = best_isa());

/// Rows [first, end) of the plot.
std::size_t draw_waveform_workspace(const WaveformParams& params);
void draw_waveform(const WaveformParams& params, std::int64_t first, std::int64_t end, void* workspace);
std::size_t draw_spectrogram_workspace(const SpectrogramParams& params);
void draw_spectrogram(const SpectrogramParams& params, std::int64_t first, std::int64_t end, void* workspace);

/// Frames are transformed by as many.
constexpr std::int64_t kFrameGroup = 32;
std::size_t power_spectrum_workspace(const PowerSpectrumParams& params);
/// Groups [first, end) of frames; the last may be short. Without a CUDA twin: there at::stft asks cuFFT.
void power_spectrum(const PowerSpectrumParams& params, std::int64_t first, std::int64_t end, void* workspace,
                    Isa isa = best_isa());

}  // namespace cpu

/// As above on the current device. Every pointer is a device pointer, the workspace aligned to 256 bytes and of the
/// size the function of that name says; it may be used by one stream at a time. Launches on `stream` and returns at
/// once: 0, or the cudaError_t of a launch that failed, of which no trace is left for the host to find.
namespace cuda {

using Stream = void*;  ///< cudaStream_t

int reduce(const ReduceParams& params, Stream stream);

std::size_t attend_workspace(const AttendParams& params);
int attend(const AttendParams& params, float* out_hqk, void* workspace, Stream stream);

/// Layers of the same tokens, for `rows` batch rows, whose accumulator rows lie at calls[0].to and offset_b from there
/// (offset_b[0] is 0). Calls agree in dtype, queries, first_key, by and to, and in whether their queries lie apart; the
/// later come later. Three launches serve as many calls and rows as kMostCalls (kMostApart where queries lie apart) and
/// kMostBatchRows allow, while their scratch memory is at most kScratchBytes.
constexpr int kMostCalls = 96, kMostApart = 52, kMostApartQueries = 32;
constexpr std::int64_t kMostBatchRows = 128;
constexpr std::size_t kScratchBytes = std::size_t{32} << 20;
std::size_t attend_reduce_workspace(const AttendReduceParams* calls, int count, std::int64_t rows,
                                    std::size_t most_bytes = kScratchBytes);
int attend_reduce(const AttendReduceParams* calls, int count, const RowOffset* offset_b, std::int64_t rows,
                  void* workspace, Stream stream, std::size_t most_bytes = kScratchBytes);

int append(const AppendParams& params, Stream stream);

int normalise(const NormaliseParams& params, Stream stream);
int colour(const ColourParams& params, Stream stream);
int blend(const BlendParams& params, Stream stream);
int quantise(const QuantiseParams& params, Stream stream);

int overlay(const OverlayParams& params, Stream stream);

/// Load the code of what the function of that name launches, on the current device: 0, or the cudaError_t.
int load_reduce();
int load_attend();
int load_append();
int load_normalise();
int load_quantise();
int load_overlay();

int envelope(const EnvelopeParams& params, Stream stream);
int draw_waveform(const WaveformParams& params, Stream stream);
int draw_spectrogram(const SpectrogramParams& params, Stream stream);

}  // namespace cuda
}  // namespace gaze::kernels
