// SPDX-License-Identifier: MIT
// Rows recomputed from queries and keys in three launches, which the layers of one pass and the rows of a batch share:
// scores of a tile of keys, then the softmax of each head, then the sum over heads and layers.
#include <algorithm>

#include "cuda/score.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr int kSumWarps = 16;  ///< that share the heads and layers of kWarp cells
constexpr int kSumThreads = kSumWarps * kWarp;
constexpr std::int64_t kMostBlocksZ = 65535;
/// Blocks of the first launch that keep a large GPU busy: beyond, blocks of few rows load the same keys too often.
constexpr std::int64_t kWantedBlocks = 2048;

/// A row of a head, from its tiles.
struct RowSoftmax {
  float top, factor;
  bool non_finite, any;
};

/// All threads of a block, each warp for itself.
__device__ RowSoftmax join(const Partial* tile, std::int64_t tiles) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float top = -INFINITY;
  bool nan = false;
  for (std::int64_t i = lane; i < tiles; i += kWarp) {
    nan |= isnan(tile[i].top);
    top = fmaxf(top, tile[i].top);
  }
  nan = __any_sync(kAllLanes, nan) != 0;
  top = warp_max(top);
  float sum = 0;
  for (std::int64_t i = lane; i < tiles && top != -INFINITY; i += kWarp) {
    if (tile[i].top != -INFINITY) sum += tile[i].sum * expf(tile[i].top - top);
  }
  sum = warp_sum(sum);
  RowSoftmax row;
  row.non_finite = nan || top == INFINITY || !isfinite(sum);
  row.any = !row.non_finite && top != -INFINITY;
  row.top = top;
  row.factor = row.any ? 1 / sum : 0.0f;
  return row;
}

/// Keys that some head may see.
__device__ std::int64_t count_visible(const Call& call, std::int64_t b, std::int64_t t) {
  const std::int64_t limit = call.limit(t);
  if (call.mask == nullptr) return limit;
  int above = 0, not_masked = 0;
  for (std::int64_t i = threadIdx.x; i < limit; i += blockDim.x) {
    float best = -INFINITY;
    const std::int64_t heads = call.mask_stride_h == 0 ? 1 : call.pick.some ? call.all_heads : call.heads;
    for (std::int64_t h = 0; h < heads; ++h) {
      const float m =
          mask_value(call.mask, call.mask_dtype,
                     b * call.mask_stride_b + h * call.mask_stride_h + t * call.mask_stride_q + i * call.mask_stride_k);
      best = m > best ? m : best;
    }
    above += best > kAsGoodAsMasked ? 1 : 0;
    not_masked += best > -INFINITY ? 1 : 0;
  }
  above = block_reduce(above, 0, Sum{});
  not_masked = block_reduce(not_masked, 0, Sum{});
  return above > 0 ? above : not_masked;
}

/// Block (t, h, call and batch row): scores of a head become weights, and its figures. Block (t, heads, ..): the row's
/// visible keys.
template <int Room, bool Apart>
__global__ void __launch_bounds__(kHeadThreads) measure_heads(const __grid_constant__ Calls<Room, Apart> calls) {
  const Call& call = calls.call[static_cast<int>(blockIdx.z) / calls.rows];
  const std::int64_t b = static_cast<int>(blockIdx.z) % calls.rows;
  const std::int64_t t = blockIdx.x, h = blockIdx.y, heads = call.heads;
  if (h > heads) return;
  const Figures figures = call.figures_of(b);
  if (h == heads) {
    const std::int64_t visible = count_visible(call, b, t);
    if (threadIdx.x == 0) figures.visible_t[t] = static_cast<std::int32_t>(visible);
    return;
  }
  const RowSoftmax row = join(call.partials_of(b) + (t * heads + h) * call.tiles(), call.tiles());
  float* const row_c = call.scores_of(b) + t * call.score_stride_t + h * call.score_stride_h;
  HeadFigures head = {0, 0, row.non_finite ? kRowNonFinite : 0, row.any ? 1 : 0};
  measure_head([&](std::int64_t c) { return row_c[c] = row.any ? expf(row_c[c] - row.top) * row.factor : 0.0f; },
               call.cells, head);
  if (threadIdx.x == 0) figures.head_th[t * heads + h] = head;
}

/// A row of one layer, from its heads.
struct RowFigures {
  float mass, focus;
  std::int32_t flags;
};

/// All lanes of a warp.
__device__ RowFigures join(const HeadFigures* head, std::int64_t heads) {
  float mass = 0, focus = 0;
  std::int32_t flags = 0, any = 0;
  for (std::int64_t h = static_cast<int>(threadIdx.x) % kWarp; h < heads; h += kWarp) {
    mass += head[h].mass;
    focus += head[h].focus;
    flags |= head[h].flags;
    any |= head[h].any;
  }
  const bool non_finite = __any_sync(kAllLanes, flags & kRowNonFinite) != 0;
  const bool seen = __any_sync(kAllLanes, any) != 0;
  return {warp_sum(mass), warp_sum(focus), non_finite ? kRowNonFinite : seen ? 0 : kRowFullyMasked};
}

/// What head `h` counts in its row; of all lanes at once, each with a head of its own.
__device__ float factor_of(const Reduction& by, const HeadFigures* head, std::int64_t heads, std::int64_t h,
                           float focus) {
  if (h >= heads) return 0;
  switch (by.heads) {
    case HeadReduce::One:
      return h == by.head ? 1.0f : 0.0f;
    case HeadReduce::TopK: {  // ties: lower head first
      std::int64_t ahead = 0;
      for (std::int64_t o = 0; o < heads; ++o) {
        ahead += head[o].focus > head[h].focus || (head[o].focus == head[h].focus && o < h);
      }
      return ahead < by.k ? 1 / static_cast<float>(by.k < heads ? by.k : heads) : 0.0f;
    }
    case HeadReduce::Weighted:
      if (focus > 0) return head[h].focus / focus;
      [[fallthrough]];
    default:
      return 1 / static_cast<float>(heads);
  }
}

/// How heads, and layers, meet in a cell; sums but for the greatest and the least.
struct Meet {
  bool most, least;
  __device__ explicit Meet(HeadReduce by) : most(by == HeadReduce::Max), least(by == HeadReduce::Min) {}
  __device__ explicit Meet(LayerReduce by) : most(by == LayerReduce::Max), least(false) {}
  __device__ float neutral() const { return most ? -INFINITY : least ? INFINITY : 0.0f; }
  __device__ float operator()(float a, float b) const { return most ? fmaxf(a, b) : least ? fminf(a, b) : a + b; }
};

/// One cell of one row of a layer, over its heads `first`, `first` + `step`...
__device__ float cell_of(const Call& call, const Reduction& by, const HeadFigures* head, float focus,
                         const float* weight_hc, std::int64_t c, int first, int step) {
  const Meet meet(by.heads);
  float value = meet.neutral();
  for (std::int64_t h0 = 0; h0 < call.heads; h0 += kWarp) {
    const std::int64_t rest = call.heads - h0;
    const int count = static_cast<int>(rest < kWarp ? rest : kWarp);
    const float factor = factor_of(by, head, call.heads, h0 + static_cast<int>(threadIdx.x) % kWarp, focus);
#pragma unroll 8
    for (int h = first; h < count; h += step) {
      const float of_head = __shfl_sync(kAllLanes, factor, h);
      const float weight = c < call.cells ? weight_hc[(h0 + h) * call.score_stride_h + c] : 0.0f;
      value = meet.most || meet.least ? meet(value, weight) : fmaf(of_head, weight, value);
    }
  }
  return value;
}

/// What some layers add to the figures of a row.
struct LayerSums {
  float weight, mass, visible;
  std::int32_t calls, flags, rows;
  int last;  ///< the latest of them without a flag; -1: there is none
};

/// A row's figures, once its warps are done.
__device__ void add_sums(const Reduction& by, const AccumulatorRows& to, std::int64_t t, const LayerSums* sums_w,
                         int warps) {
  LayerSums all = {0, 0, 0, 0, 0, 0, -1};
  for (int w = 0; w < warps; ++w) {
    all.weight += sums_w[w].weight;
    all.mass += sums_w[w].mass;
    all.visible += sums_w[w].visible;
    all.calls += sums_w[w].calls;
    all.flags |= sums_w[w].flags;
    all.rows += sums_w[w].rows;
    all.last = all.last < sums_w[w].last ? sums_w[w].last : all.last;
  }
  to.calls_t[t] += all.calls;
  to.flags_t[t] |= all.flags;
  if (all.last < 0) return;
  const bool sums = by.layers == LayerReduce::Mean || by.layers == LayerReduce::Weighted;
  to.weight_t[t] = sums ? to.weight_t[t] + all.weight : 1.0f;
  to.mass_t[t] += all.mass;
  to.visible_t[t] += all.visible;
  to.rows_t[t] += all.rows;
}

/// Block (t, kWarp cells, batch row). Warps share the layers, or the heads of a single one; their parts are put
/// together in order, so that the result is the same every time.
template <int Room, bool Apart>
__global__ void __launch_bounds__(kSumThreads) add_cells(const __grid_constant__ Calls<Room, Apart> calls) {
  __shared__ float value_wc[kSumWarps][kWarp];
  __shared__ LayerSums sums_w[kSumWarps];
  const Reduction& by = calls.by;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t t = blockIdx.x, b = blockIdx.z, c = static_cast<std::int64_t>(blockIdx.y) * kWarp + lane;
  const bool alone = calls.count == 1, last_layer = by.layers == LayerReduce::Last;
  const Meet layers(by.layers);
  LayerSums sums = {0, 0, 0, 0, 0, 0, -1};
  float value = alone ? Meet(by.heads).neutral() : layers.neutral();
  for (int n = alone ? 0 : warp; n < calls.count; n += alone ? 1 : kSumWarps) {
    const Call& call = calls.call[n];
    const Figures figures = call.figures_of(b);
    const HeadFigures* const head = figures.head_th + t * call.heads;
    const RowFigures row = join(head, call.heads);
    ++sums.calls;
    sums.flags |= row.flags;
    if (row.flags != 0) continue;
    const auto share = static_cast<float>(call.pick.share(call.heads));
    const float weight = by.layers == LayerReduce::Weighted && by.heads == HeadReduce::Weighted ? row.focus : share;
    sums.weight += weight;
    sums.mass += row.mass / static_cast<float>(call.heads) * share;
    sums.visible += static_cast<float>(figures.visible_t[t]) * share;
    sums.rows += static_cast<std::int32_t>(share);
    sums.last = n;
    const float of_layer = cell_of(call, by, head, row.focus, call.scores_of(b) + t * call.score_stride_t, c,
                                   alone ? warp : 0, alone ? kSumWarps : 1);
    value = alone || last_layer ? of_layer : layers(value, layers.most ? of_layer : weight * of_layer);
  }
  value_wc[warp][lane] = value;
  if (lane == 0) sums_w[warp] = sums;
  __syncthreads();
  if (warp != 0) return;
  const AccumulatorRows to = shifted(calls.to, calls.offset_b[b]);
  int last = -1, latest = 0;
  const Meet meet = alone ? Meet(by.heads) : layers;
  value = meet.neutral();
  for (int w = 0; w < kSumWarps; ++w) {
    if (sums_w[w].last > last) last = sums_w[latest = w].last;
    if (sums_w[w].last >= 0) value = meet(value, value_wc[w][lane]);
  }
  if (!alone && last_layer) value = value_wc[latest][lane];
  if (last >= 0 && c < to.cells) {
    add_cell(by, value, alone ? sums.weight : 1.0f, to.map_tc + t * to.map_stride_t + c);
  }
  if (blockIdx.y == 0 && lane == 0) add_sums(by, to, t, sums_w, alone ? 1 : kSumWarps);
}

/// Scores to weights where they lie: a row of a head per block.
__global__ void softmax_rows(const __grid_constant__ Call call) {
  const std::int64_t t = blockIdx.x, h = blockIdx.y;
  const RowSoftmax row = join(call.partials + (t * call.heads + h) * call.tiles(), call.tiles());
  float* const row_k = call.scores + t * call.score_stride_t + h * call.score_stride_h;
  for (std::int64_t i = threadIdx.x; i < call.cells; i += blockDim.x) {
    row_k[i] = row.non_finite ? NAN : row.any ? expf(row_k[i] - row.top) * row.factor : 0.0f;
  }
}

std::int64_t tiles_of(const AttendParams& a) { return divide_up(a.keys, kKeys); }
std::int64_t rows_of(const AttendParams& a) { return a.queries * (a.heads / a.kv_heads); }

/// Lanes that share a key where 16 bytes of it can be loaded at once, else 0.
std::int8_t lanes_of(const AttendParams& a) {
  const std::int64_t bytes = bytes_of(a.dtype);
  const bool wide = a.k_stride_d == 1 && reinterpret_cast<std::uintptr_t>(a.k_hkd) % 16 == 0 &&
                    a.size * bytes % 16 == 0 && a.k_stride_b * bytes % 16 == 0 && a.k_stride_h * bytes % 16 == 0 &&
                    a.k_stride_k * bytes % 16 == 0;
  if (!wide) return 0;
  int lanes = kFewRows;  // as many as rows, so that each has one to add up
  while (lanes < kWarp && lanes * 16 < a.size * bytes) lanes *= 2;
  return static_cast<std::int8_t>(lanes);
}

Call call_of(const AttendParams& a) {
  Call call = {};
  call.q = a.q_hqd;
  call.k = a.k_hkd;
  call.mask = a.mask_hqk;
  call.q_stride_b = a.q_stride_b;
  call.q_stride_h = a.q_stride_h;
  call.q_stride_q = a.q_stride_q;
  call.q_stride_d = a.q_stride_d;
  call.k_stride_b = a.k_stride_b;
  call.k_stride_h = a.k_stride_h;
  call.k_stride_k = a.k_stride_k;
  call.k_stride_d = a.k_stride_d;
  call.mask_stride_b = a.mask_stride_b;
  call.mask_stride_h = a.mask_stride_h;
  call.mask_stride_q = a.mask_stride_q;
  call.mask_stride_k = a.mask_stride_k;
  call.keys = a.keys;
  call.first_query = a.first_query;
  call.heads = static_cast<std::int32_t>(a.heads);
  call.kv_heads = static_cast<std::int32_t>(a.kv_heads);
  call.all_heads = static_cast<std::int32_t>(a.all_heads);
  call.size = static_cast<std::int32_t>(a.size);
  call.scale = a.scale;
  call.pick_group = static_cast<std::int16_t>(a.pick_group);
  call.lanes = lanes_of(a);
  call.mask_dtype = a.mask_dtype;
  call.causal = a.causal;
  call.pick = a.pick;
  return call;
}

/// What all calls of a launch have in common for the first kernel, of the largest.
struct Shape {
  std::int64_t tiles = 0, kv_heads = 0, rows = 0, queries = 0;
  bool wide = true;  ///< queries can stay in registers
  DType dtype = DType::F32;
  void include(const AttendParams& a) {
    tiles = std::max(tiles, tiles_of(a));
    kv_heads = std::max(kv_heads, a.kv_heads);
    rows = std::max(rows, rows_of(a));
    queries = a.queries;
    wide = wide && lanes_of(a) > 0 && a.size * bytes_of(a.dtype) <= 16 * kWarp;
    dtype = a.dtype;
  }
};

template <DType T, int Room, bool Apart>
int launch_scores(Calls<Room, Apart>& calls, const Shape& shape, cudaStream_t stream) {
  const std::int64_t z = calls.count * calls.rows;
  const auto go = [&](auto kernel) {
    return start(kernel, grid_of(shape.tiles * calls.row_blocks, shape.kv_heads, z), kScoreThreads, 0, stream, calls,
                 shape.queries);
  };
  calls.row_blocks = 1;
  if (shape.wide && shape.rows == 1) return go(score_keys<T, 1, Room, Apart>);
  if (shape.wide && shape.rows <= kFewRows / 2) return go(score_keys<T, kFewRows / 2, Room, Apart>);
  if (shape.wide && shape.rows <= kFewRows) return go(score_keys<T, kFewRows, Room, Apart>);
  const std::int64_t most = divide_up(shape.rows, kManyRows), others = shape.tiles * shape.kv_heads * z;
  calls.row_blocks = static_cast<std::int32_t>(std::clamp<std::int64_t>(kWantedBlocks / others, 1, most));
  return go(score_keys<T, 0, Room, Apart>);
}

template <int Room, bool Apart>
int launch_scores(Calls<Room, Apart>& calls, const Shape& shape, cudaStream_t stream) {
  switch (shape.dtype) {
    case DType::F32:
      return launch_scores<DType::F32>(calls, shape, stream);
    case DType::F16:
      return launch_scores<DType::F16>(calls, shape, stream);
    default:
      return launch_scores<DType::BF16>(calls, shape, stream);
  }
}

template <typename T>
std::size_t bytes_for(std::int64_t count) {
  return (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256;
}

/// Scratch memory of one batch row of a call for `queries` of its queries.
struct Places {
  std::size_t scores, figures, bytes;  ///< partials come first
  Places(const AttendReduceParams& p, std::int64_t queries)
      : scores(bytes_for<Partial>(queries * p.scores.heads * tiles_of(p.scores))),
        figures(scores + bytes_for<float>(queries * p.scores.heads * p.to.cells)),
        bytes(figures + Figures::bytes(queries, p.scores.heads)) {}
};

/// Part of a pass: some of its calls, batch rows and queries.
struct PassPart {
  int first_call, calls;
  std::int64_t first_row, rows, first_query, queries;
  std::size_t bytes;
};

/// Cuts a pass into pieces that a launch has room for, calls first, then batch rows, then queries.
template <typename Of>
int each_piece(const AttendReduceParams* p, int count, std::int64_t rows, std::size_t most_bytes, const Of& of) {
  const bool apart = p[0].scores.q_t != nullptr;
  const std::int64_t queries = p[0].scores.queries;
  for (int n = 0; n < count;) {
    PassPart piece = {n, 0, 0, rows, 0, queries, 0};
    const auto room_for = [&](std::size_t bytes, std::int64_t most) {
      return std::clamp<std::int64_t>(static_cast<std::int64_t>(most_bytes / bytes), 1, most);
    };
    const std::size_t row_bytes = Places(p[n], queries).bytes;
    piece.rows = room_for(row_bytes, std::min<std::int64_t>(rows, kMostBatchRows));
    if (row_bytes > most_bytes) piece.queries = room_for(Places(p[n], 1).bytes, queries);
    if (apart) piece.queries = std::min<std::int64_t>(piece.queries, kMostApartQueries);
    const bool whole = piece.rows == rows && piece.queries == queries;
    const int most = apart ? kMostApart : kMostCalls;
    for (int next = n; next < count && piece.calls < (whole ? most : 1); ++next, ++piece.calls) {
      const std::size_t more = Places(p[next], piece.queries).bytes * static_cast<std::size_t>(piece.rows);
      if (piece.calls > 0 && (piece.bytes + more > most_bytes || (piece.calls + 1) * piece.rows > kMostBlocksZ)) {
        break;
      }
      piece.bytes += more;
    }
    PassPart part = piece;
    for (part.first_row = 0; part.first_row < rows; part.first_row += piece.rows) {
      part.rows = std::min(piece.rows, rows - part.first_row);
      for (part.first_query = 0; part.first_query < queries; part.first_query += piece.queries) {
        part.queries = std::min(piece.queries, queries - part.first_query);
        if (const int error = of(part)) return error;
      }
    }
    n += piece.calls;
  }
  return 0;
}

AccumulatorRows from_token(AccumulatorRows to, std::int64_t t) {
  const RowOffset rest = {t * to.map_stride_t * static_cast<std::int64_t>(sizeof(float)),
                          t * static_cast<std::int64_t>(sizeof(float))};
  return shifted(to, rest);
}

template <int Room, bool Apart>
int launch_piece(const AttendReduceParams* p, const RowOffset* offset_b, const PassPart& piece, void* workspace,
                 cudaStream_t stream) {
  Calls<Room, Apart> calls = {};
  calls.count = piece.calls;
  calls.rows = static_cast<std::int32_t>(piece.rows);
  calls.by = p->by;
  calls.to = from_token(p->to, piece.first_query);
  for (std::int64_t b = 0; b < piece.rows; ++b) calls.offset_b[b] = offset_b[piece.first_row + b];
  char* at = static_cast<char*>(workspace);
  std::int64_t heads = 0;
  Shape shape;
  for (int n = 0; n < piece.calls; ++n) {
    const AttendReduceParams& from = p[piece.first_call + n];
    AttendParams a = at_row(from.scores, piece.first_row);
    a.queries = piece.queries;
    a.first_query += piece.first_query;
    const std::int64_t q_bytes = piece.first_query * a.q_stride_q * bytes_of(a.dtype);
    const std::int64_t mask_bytes = piece.first_query * a.mask_stride_q * bytes_of(a.mask_dtype);
    a.q_hqd = shifted(a.q_hqd, q_bytes);
    if (a.mask_hqk != nullptr) a.mask_hqk = shifted(a.mask_hqk, mask_bytes);
    const Places places(from, piece.queries);
    Call& call = calls.call[n];
    call = call_of(a);
    call.partials = reinterpret_cast<Partial*>(at);
    call.scores = reinterpret_cast<float*>(at + places.scores);
    call.figures = Figures::at(at + places.figures, a.queries, a.heads);
    call.bytes_b = static_cast<std::int64_t>(places.bytes);
    at += places.bytes * static_cast<std::size_t>(piece.rows);
    call.first_key = from.first_key;
    call.cells = from.to.cells;
    call.score_stride_h = call.cells;
    call.score_stride_t = a.heads * call.cells;
    if constexpr (Apart) {
      for (std::int64_t t = 0; t < piece.queries; ++t) {
        calls.queries[n].of_t[t] = shifted(a.q_t[piece.first_query + t], a.q_row * bytes_of(a.dtype));
      }
    }
    heads = std::max(heads, a.heads);
    shape.include(a);
  }
  if (const int error = launch_scores(calls, shape, stream)) return error;
  if (const int error = start(measure_heads<Room, Apart>, grid_of(piece.queries, heads + 1, piece.calls * piece.rows),
                              kHeadThreads, 0, stream, calls)) {
    return error;
  }
  return start(add_cells<Room, Apart>, grid_of(piece.queries, divide_up(calls.to.cells, kWarp), piece.rows),
               kSumThreads, 0, stream, calls);
}

}  // namespace

std::size_t attend_workspace(const AttendParams& p) { return bytes_for<Partial>(p.queries * p.heads * tiles_of(p)); }

int attend(const AttendParams& p, float* out_hqk, void* workspace, Stream stream) {
  if (p.queries == 0 || p.keys == 0) return 0;
  Calls<1, false> calls = {};
  calls.count = calls.rows = 1;
  Call& call = calls.call[0];
  call = call_of(p);
  call.scores = out_hqk;
  call.score_stride_t = p.keys;
  call.score_stride_h = p.queries * p.keys;
  call.cells = p.keys;
  call.partials = static_cast<Partial*>(workspace);
  Shape shape;
  shape.include(p);
  if (const int error = launch_scores(calls, shape, stream_of(stream))) return error;
  return start(softmax_rows, grid_of(p.queries, p.heads), kHeadThreads, 0, stream_of(stream), call);
}

std::size_t attend_reduce_workspace(const AttendReduceParams* p, int count, std::int64_t rows, std::size_t most_bytes) {
  if (p[0].scores.queries == 0) return 0;
  std::size_t most = 0;
  each_piece(p, count, rows, most_bytes, [&](const PassPart& piece) {
    most = std::max(most, piece.bytes);
    return 0;
  });
  return most;
}

int attend_reduce(const AttendReduceParams* p, int count, const RowOffset* offset_b, std::int64_t rows, void* workspace,
                  Stream stream, std::size_t most_bytes) {
  if (p[0].scores.queries == 0) return 0;
  const cudaStream_t on = stream_of(stream);
  return each_piece(p, count, rows, most_bytes, [&](const PassPart& piece) {
    if (p[0].scores.q_t != nullptr) return launch_piece<kMostApart, true>(p, offset_b, piece, workspace, on);
    if (piece.calls == 1 && piece.rows == 1) return launch_piece<1, false>(p, offset_b, piece, workspace, on);
    return launch_piece<kMostCalls, false>(p, offset_b, piece, workspace, on);
  });
}

}  // namespace gaze::kernels::cuda
