// SPDX-License-Identifier: MIT
#include "cpu/vector.inl"

#include "cpu/row.inl"

/// What one pass over weights finds.
struct Found {
  double sum = 0;
  double x_log_x = 0;
  std::uint32_t nonzero = 0;
};

/// What a scan does beside.
enum class Beside { Nothing, Entropy, Add };

/// Sums weights, and marks those that are not 0 in `seen`, one word per vector. Asks for what lies `ahead`. Add: adds
/// them to `to_c` too, which is padded.
template <DType kType, Beside kBeside>
inline Found scan(const typename Element<kType>::Type* x, std::int64_t count, std::int64_t ahead, std::uint16_t* seen,
                  float* to_c = nullptr) {
  constexpr bool kEntropy = kBeside == Beside::Entropy;
  Found found;
  Vec sum = {}, x_log_x = {};
  const auto put = [&](std::int64_t i, Vec weight) {
    __builtin_prefetch(x + i + ahead);
    const std::uint32_t bits = nonzero(weight);
    seen[i / kWidth] = static_cast<std::uint16_t>(seen[i / kWidth] | bits);
    found.nonzero |= bits;
    sum += weight;
    if (kEntropy) x_log_x += weight * log_positive(weight);
    if (kBeside == Beside::Add) store(to_c + i, load(to_c + i) + weight);
  };
  each_vector(
      count, [&](std::int64_t i) { put(i, Element<kType>::full(x + i)); },
      [&](std::int64_t i, std::int64_t left) { put(i, Element<kType>::some(x + i, left)); },
      [&] {
        found.sum += static_cast<double>(sum_of(sum));
        sum = Vec{};
        if (kEntropy) {
          found.x_log_x += static_cast<double>(sum_of(x_log_x));
          x_log_x = Vec{};
        }
      });
  return found;
}

/// Not inlined: beside the other scans of a row, the compiler keeps what the loop sums in memory.
template <DType kType>
[[gnu::noinline]] Found scan_and_add(const typename Element<kType>::Type* x, std::int64_t count, std::int64_t ahead,
                                     std::uint16_t* seen, float* to_c) {
  return scan<kType, Beside::Add>(x, count, ahead, seen, to_c);
}

/// In double from the start, where floats were too small.
template <DType kType>
inline double exact_sum(const typename Element<kType>::Type* x, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(Element<kType>::one(x[i]));
  return sum;
}

/// Row of head `h` at `row_k`.
template <DType kType>
inline void reduce_head(const ReduceParams& p, std::int64_t depth, double most_entropy, std::int64_t h,
                        const typename Element<kType>::Type* row_k, std::uint16_t* seen, const GrowingRow& to) {
  const std::int64_t cells = p.to.cells, behind = p.first_key + cells;
  const auto* slice_c = row_k + p.first_key;
  const bool by_focus = p.by.heads == HeadReduce::Weighted || p.by.heads == HeadReduce::TopK;
  // Rows that lie together are one stream, which the processor's own prefetching loses at every row's second reading.
  constexpr std::int64_t kAhead = 8192 / static_cast<std::int64_t>(sizeof(typename Element<kType>::Type));
  const std::int64_t ahead = p.stride_k == 1 && p.stride_q == p.keys ? kAhead : 0;
  // The plain sum needs no figure of the head first: its row is read once. What a broken row adds is never used.
  const bool plain = p.by.heads == HeadReduce::Mean;
  if (plain && to.sum->taken == 0) std::fill_n(to.row_kc, padded(cells), 0.0f);
  const Found left = scan<kType, Beside::Nothing>(row_k, p.first_key, ahead, seen);
  seen += words(p.first_key);
  const Found slice = plain      ? scan_and_add<kType>(slice_c, cells, ahead, seen, to.row_kc)
                      : by_focus ? scan<kType, Beside::Entropy>(slice_c, cells, ahead, seen)
                                 : scan<kType, Beside::Nothing>(slice_c, cells, ahead, seen);
  seen += words(cells);
  const Found right = scan<kType, Beside::Nothing>(row_k + behind, p.keys - behind, ahead, seen);

  double mass = slice.sum, total = left.sum + slice.sum + right.sum;
  if (!std::isfinite(total)) {
    mass = exact_sum<kType>(slice_c, cells);
    total = exact_sum<kType>(row_k, p.keys);
  }
  if (!std::isfinite(total)) {
    to.sum->flags |= kRowNonFinite;
  } else if ((left.nonzero | slice.nonzero | right.nonzero) != 0) {
    to.sum->any = true;
    if (total < static_cast<double>(p.sum_least) || total > static_cast<double>(p.sum_most)) to.sum->flags |= kRowSum;
  }
  if (to.sum->flags != 0) return;
  if (plain) {
    to.sum->mass += mass;
    to.sum->taken += 1;
    return;
  }
  // The logarithm of a mass that is not positive is not used.
  const double focus = by_focus ? focus_of(mass, std::log(mass) - slice.x_log_x / mass, most_entropy) : 0;
  take_head<kType>(p.by, depth, cells, {focus, h}, mass, slice_c, cells, 1, to);
}

/// Marks the keys that a head weighs.
template <DType kType>
inline void see_head(const ReduceParams& p, const typename Element<kType>::Type* row_k, std::uint16_t* seen) {
  const std::int64_t cells = p.to.cells, behind = p.first_key + cells;
  scan<kType, Beside::Nothing>(row_k, p.first_key, 0, seen);
  seen += words(p.first_key);
  scan<kType, Beside::Nothing>(row_k + p.first_key, cells, 0, seen);
  scan<kType, Beside::Nothing>(row_k + behind, p.keys - behind, 0, seen + words(cells));
}

inline std::int64_t count_seen(const std::uint16_t* seen, std::int64_t seen_words) {
  std::int64_t visible = 0;
  for (std::int64_t i = 0; i < seen_words; ++i) visible += __builtin_popcount(seen[i]);
  return visible;
}

template <DType kType>
inline void reduce_rows(const ReduceParams& p, const ReduceScratch& scratch, std::int64_t first, std::int64_t last) {
  const std::int64_t seen_words = row_words(p);
  std::fill_n(scratch.seen, (last - first) * seen_words, std::uint16_t{0});
  std::fill_n(scratch.rows.sum_t, last - first, RowSum());
  const double most_entropy = std::log(static_cast<double>(p.to.cells));
  // Head by head: a head's rows lie together.
  for (std::int64_t h = 0; h < p.heads; ++h) {
    for (std::int64_t t = first; t < last; ++t) {
      const void* from = at(p.attn_hqk, kType, p.pick[h] * p.stride_h + t * p.stride_q);
      std::uint16_t* const seen = scratch.seen + (t - first) * seen_words;
      const GrowingRow row = scratch.rows[t - first];
      if (p.stride_k == 1) {
        reduce_head<kType>(p, scratch.rows.depth, most_entropy, h,
                           static_cast<const typename Element<kType>::Type*>(from), seen, row);
      } else {
        decode<kType>(from, p.stride_k, p.keys, scratch.decoded_k);
        reduce_head<DType::F32>(p, scratch.rows.depth, most_entropy, h, scratch.decoded_k, seen, row);
      }
    }
  }
  for (std::int64_t t = first; t < last; ++t) {
    std::uint16_t* const seen = scratch.seen + (t - first) * seen_words;
    std::int64_t visible = count_seen(seen, seen_words);
    // Of heads that were not picked, only those are read that it takes to tell a masked key from one of weight 0.
    for (std::int64_t h = 0; p.pick.some && h < p.all_heads && visible < p.keys; ++h) {
      const void* from = at(p.attn_hqk, kType, h * p.stride_h + t * p.stride_q);
      if (p.stride_k == 1) {
        see_head<kType>(p, static_cast<const typename Element<kType>::Type*>(from), seen);
      } else {
        decode<kType>(from, p.stride_k, p.keys, scratch.decoded_k);
        see_head<DType::F32>(p, scratch.decoded_k, seen);
      }
      visible = count_seen(seen, seen_words);
    }
    add_row(p.by, p.heads, p.pick.share(p.heads), scratch.rows.depth, visible, scratch.rows[t - first], p.to, t);
  }
}

inline void reduce_block(const ReduceParams& p, const ReduceScratch& scratch, std::int64_t first, std::int64_t last) {
  with_weights(p.dtype, [&](auto type) { reduce_rows<decltype(type)::value>(p, scratch, first, last); });
}
