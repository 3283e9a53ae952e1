// SPDX-License-Identifier: MIT
// Rows recomputed from queries and keys in three launches, which the layers of one pass and the rows of a batch share:
// scores of a tile of keys, then the softmax of each head, then the sum over heads and layers.
#include <algorithm>
#include <iterator>

#include "cuda/add_cells.cuh"
#include "cuda/measure_heads.cuh"

namespace gaze::kernels::cuda {
namespace {

constexpr std::int64_t kMostBlocksZ = 65535;
/// Blocks of the first launch that keep a large GPU busy: beyond, blocks of few rows load the same keys too often.
constexpr std::int64_t kWantedBlocks = 2048;

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
  const std::int64_t z = piece.calls * piece.rows;
  const bool warp = calls.to.cells <= kKeysOfAWarp;
  const dim3 heads_grid = grid_of(piece.queries, warp ? divide_up(heads + 1, kHeadWarps) : heads + 1, z);
  const auto measure = warp ? measure_heads<Room, Apart, true> : measure_heads<Room, Apart, false>;
  if (const int error = start(measure, heads_grid, kHeadThreads, 0, stream, calls)) return error;
  const dim3 cells_grid = grid_of(piece.queries, divide_up(calls.to.cells, kWarp), piece.rows);
  // Where blocks fill the GPU, few warps of each: each has more to add up before they meet.
  const std::int64_t shared = piece.calls > 1 ? piece.calls : heads;
  const bool many = std::int64_t{cells_grid.x} * cells_grid.y * cells_grid.z >= kWantedBlocks;
  const auto warps = std::clamp<std::int64_t>(many ? divide_up(shared, 8) : shared, 1, kMostSumWarps);
  return start(add_cells<Room, Apart>, cells_grid, static_cast<int>(warps * kWarp), 0, stream, calls);
}

}  // namespace

namespace {

template <DType T, int Room, bool Apart>
int load_scores() {
  return load(score_keys<T, 1, Room, Apart>, score_keys<T, kFewRows / 2, Room, Apart>,
              score_keys<T, kFewRows, Room, Apart>, score_keys<T, 0, Room, Apart>);
}

template <int Room, bool Apart>
int load_pass() {
  const int errors[] = {
      load_scores<DType::F32, Room, Apart>(), load_scores<DType::F16, Room, Apart>(),
      load_scores<DType::BF16, Room, Apart>(),
      load(measure_heads<Room, Apart, true>, measure_heads<Room, Apart, false>, add_cells<Room, Apart>)};
  return *std::max_element(std::begin(errors), std::end(errors));
}

}  // namespace

int load_attend() {
  const int errors[] = {load_pass<1, false>(), load_pass<kMostCalls, false>(), load_pass<kMostApart, true>(),
                        load(softmax_rows)};
  return *std::max_element(std::begin(errors), std::end(errors));
}

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
