// SPDX-License-Identifier: MIT
#include "cpu/vector.inl"

#include "cpu/row.inl"

/// Products of kRows queries with the `count` <= kWidth keys from `k` on, at out_rk, whole vectors. Asks for what lies
/// `ahead` of the keys.
template <DType kType, int kRows>
inline void score_tile(const float* q_rd, std::int64_t q_stride, const typename Element<kType>::Type* k,
                       std::int64_t k_stride, std::int64_t ahead, std::int64_t count, std::int64_t size, float scale,
                       float* out_rk, std::int64_t out_stride) {
  constexpr int kKeys = static_cast<int>(kWidth) / kRows;  // of one vector of results
  constexpr int kAtOnce = kKeys < 4 ? kKeys : 4;
  for (int c = 0; c < kWidth; c += kKeys) {
    if (c >= count) break;
    Vec sums[kWidth];  // [row][key]
    for (int group = 0; group < kKeys; group += kAtOnce) {
      const typename Element<kType>::Type* k_d[kAtOnce];
      for (int j = 0; j < kAtOnce; ++j) k_d[j] = k + std::min<std::int64_t>(c + group + j, count - 1) * k_stride;
      Vec sum[kRows][kAtOnce] = {};
      const auto add = [&](std::int64_t d, const Vec* key) {
        for (int r = 0; r < kRows; ++r) {
          const Vec query = load(q_rd + r * q_stride + d);
          for (int j = 0; j < kAtOnce; ++j) sum[r][j] += query * key[j];
        }
      };
      Vec key[kAtOnce];
      std::int64_t d = 0;
      for (; d + kWidth <= size; d += kWidth) {
        for (int j = 0; j < kAtOnce; ++j) {
          __builtin_prefetch(k_d[j] + d + ahead);
          key[j] = Element<kType>::full(k_d[j] + d);
        }
        add(d, key);
      }
      if (d < size) {
        for (int j = 0; j < kAtOnce; ++j) key[j] = Element<kType>::some(k_d[j] + d, size - d);
        add(d, key);
      }
      for (int r = 0; r < kRows; ++r) {
        for (int j = 0; j < kAtOnce; ++j) sums[r * kKeys + group + j] = sum[r][j];
      }
    }
    const Vec scores = lane_sums(sums) * scale;
    for (int r = 0; r < kRows; ++r) {
      std::memcpy(out_rk + r * out_stride + c, reinterpret_cast<const float*>(&scores) + r * kKeys,
                  sizeof(float) * static_cast<std::size_t>(kKeys));
    }
  }
}

/// Products of kMostRows queries, at q_dr, with the `count` <= kWidth keys from `k_kd` on; the first `rows` go to
/// out_rk, whole vectors.
inline void score_panel(const float* q_dr, const float* k_kd, std::int64_t k_stride, std::int64_t ahead,
                        std::int64_t count, std::int64_t size, float scale, std::int64_t rows, float* out_rk,
                        std::int64_t out_stride) {
  constexpr int kVectors = static_cast<int>(kMostRows / kWidth);  // of one key's results
  constexpr int kAtOnce = 8 / kVectors;                           // keys: sums that fill the pipeline
  Vec scores[kVectors][kWidth];
  for (int c = 0; c < kWidth; c += kAtOnce) {
    const float* k_d[kAtOnce];
    for (int j = 0; j < kAtOnce; ++j) k_d[j] = k_kd + std::min<std::int64_t>(c + j, count - 1) * k_stride;
    for (std::int64_t d = 0; d < size; d += kCacheLine / static_cast<std::int64_t>(sizeof(float))) {
      for (int j = 0; j < kAtOnce; ++j) __builtin_prefetch(k_d[j] + d + ahead);
    }
    Vec sum[kAtOnce][kVectors] = {};
    for (std::int64_t d = 0; d < size; ++d) {
      Vec query[kVectors];
      for (int v = 0; v < kVectors; ++v) query[v] = load(q_dr + d * kMostRows + v * kWidth);
      for (int j = 0; j < kAtOnce; ++j) {
        for (int v = 0; v < kVectors; ++v) sum[j][v] += query[v] * k_d[j][d];
      }
    }
    for (int j = 0; j < kAtOnce; ++j) {
      for (int v = 0; v < kVectors; ++v) scores[v][c + j] = sum[j][v] * scale;
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    transpose(scores[v]);
    for (std::int64_t r = 0; r < std::min(rows - v * kWidth, kWidth); ++r) {
      store(out_rk + (v * kWidth + r) * out_stride, scores[v][r]);
    }
  }
}

/// Decodes `count` keys to k_kd, rows padded(size) apart.
template <DType kType>
inline void decode_keys(const AttendParams& p, const typename Element<kType>::Type* k, std::int64_t count,
                        float* k_kd) {
  for (std::int64_t j = 0; j < count; ++j) {
    decode<kType>(k + j * p.k_stride_k, p.k_stride_d, p.size, k_kd + j * padded(p.size));
  }
}

/// Scores of `rows` decoded queries with the keys 0..end-1 of one head at `k_kd`.
template <DType kType>
inline void score_rows(const AttendParams& p, const AttendScratch& s, std::int64_t rows, const void* k_kd,
                       std::int64_t end) {
  const std::int64_t q_stride = padded(p.size), out_stride = padded(p.keys);
  constexpr std::int64_t kBytesAhead = 8192;
  const std::int64_t key_bytes = p.size * static_cast<std::int64_t>(sizeof(typename Element<kType>::Type));
  const std::int64_t keys_ahead = std::max<std::int64_t>(1, kBytesAhead / key_bytes);
  for (std::int64_t i = 0; i < end; i += kWidth) {
    const std::int64_t count = std::min(kWidth, end - i);
    const auto* k = static_cast<const typename Element<kType>::Type*>(at(k_kd, kType, i * p.k_stride_k));
    if (rows >= kPanelRows) {
      const float* panel_kd = static_cast<const float*>(static_cast<const void*>(k));
      std::int64_t stride = p.k_stride_k, ahead = keys_ahead * stride;
      if (kType != DType::F32 || p.k_stride_d != 1) {
        decode_keys<kType>(p, k, count, s.k_kd);
        panel_kd = s.k_kd;
        stride = q_stride;
        ahead = 0;
      }
      score_panel(s.q_dr, panel_kd, stride, ahead, count, p.size, p.scale, rows, s.scores_rk + i, out_stride);
      continue;
    }
    const auto tiles = [&](auto type, const auto* keys, std::int64_t k_stride, std::int64_t ahead) {
      constexpr DType kRead = decltype(type)::value;
      std::int64_t r = 0;
      const auto tile = [&](auto of_rows) {
        constexpr int kRows = decltype(of_rows)::value;
        score_tile<kRead, kRows>(s.q_rd + r * q_stride, q_stride, keys, k_stride, ahead, count, p.size, p.scale,
                                 s.scores_rk + r * out_stride + i, out_stride);
        r += kRows;
      };
      while (r + 4 <= rows) tile(std::integral_constant<int, 4>());
      if (r + 2 <= rows) tile(std::integral_constant<int, 2>());
      if (r < rows) tile(std::integral_constant<int, 1>());
    };
    if (p.k_stride_d == 1) {
      tiles(std::integral_constant<DType, kType>(), k, p.k_stride_k, keys_ahead * p.k_stride_k);
    } else {
      decode_keys<kType>(p, k, count, s.k_kd);
      tiles(std::integral_constant<DType, DType::F32>(), static_cast<const float*>(s.k_kd), q_stride, 0);
    }
  }
}

/// The mask of one row as what is added to its scores.
inline const float* mask_row(const AttendParams& p, std::int64_t h, std::int64_t t, std::int64_t limit,
                             float* scratch_k) {
  const void* from = mask_at(p, h, t);
  if (p.mask_dtype == DType::F32 && p.mask_stride_k == 1) return static_cast<const float*>(from);
  if (p.mask_dtype == DType::Bool) {
    decode<DType::Bool>(from, p.mask_stride_k, limit, scratch_k);
  } else {
    with_weights(p.mask_dtype,
                 [&](auto type) { decode<decltype(type)::value>(from, p.mask_stride_k, limit, scratch_k); });
  }
  return scratch_k;
}

inline Seen seen_of(const AttendParams& p, std::int64_t t, const AttendScratch& s) {
  const std::int64_t limit = limit_of(p, t), heads = p.pick.some ? p.all_heads : p.heads;
  const std::int64_t masks = p.mask_stride_h == 0 ? 1 : heads;
  float* const seen_k = s.scores_rk;  // per key the most permissive mask
  std::fill_n(seen_k, limit, kMasked);
  Seen seen;
  for (std::int64_t h = 0; h < masks; ++h) {
    const float* mask_k = mask_row(p, h, t, limit, s.mask_k);
    for (std::int64_t i = 0; i < limit; ++i) seen_k[i] = mask_k[i] > seen_k[i] ? mask_k[i] : seen_k[i];
    std::int64_t end = limit;
    while (end > seen.end && mask_k[end - 1] == kMasked) --end;
    seen.end = end;
  }
  const auto above = [&](float bound) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < limit; ++i) count += seen_k[i] > bound;
    return count;
  };
  seen.visible = above(kAsGoodAsMasked);
  if (seen.visible == 0) seen.visible = above(kMasked);
  return seen;
}

struct Softmax {
  std::int32_t flags = 0;
  double total = 0;        ///< of e^(score - top)
  double slice = 0;        ///< those of the medium's keys
  double slice_x_log = 0;  ///< each times its logarithm
};

/// Adds the mask, if any, and returns the largest score; NaN is passed over. Keys the mask hides do not matter.
inline float masked_top(float* x, const float* mask_k, std::int64_t count) {
  Vec top = splat(kMasked);
  const Vec hidden = top;
  const auto masked = [&](Vec scores, Vec mask) { return mask == kMasked ? hidden : scores + mask; };
  std::int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    Vec scores = load(x + i);
    if (mask_k != nullptr) {
      scores = masked(scores, load(mask_k + i));
      store(x + i, scores);
    }
    top = larger(scores, top);
  }
  float best = kMasked;
  for (std::int64_t l = 0; l < kWidth; ++l) best = top[l] > best ? top[l] : best;
  for (; i < count; ++i) {
    if (mask_k != nullptr) x[i] = mask_k[i] == kMasked ? kMasked : x[i] + mask_k[i];
    best = x[i] > best ? x[i] : best;
  }
  return best;
}

/// Replaces scores by e^(score - top) and adds them up; with their logarithms if `x_log` is given.
template <bool kLog>
inline double exponentials(float* x, std::int64_t count, float top, double* x_log = nullptr) {
  double total = 0, total_log = 0;
  Vec now = {}, now_log = {};
  const auto exponential = [&](Vec scores) {
    const Vec below = scores - top;
    const Vec weights = exp_nonpositive(below);
    if (kLog) now_log += weights * larger(below, splat(-88));  // 0 times -infinity is 0 here
    now += weights;
    return weights;
  };
  each_vector(
      count, [&](std::int64_t i) { store(x + i, exponential(load(x + i))); },
      [&](std::int64_t i, std::int64_t left) {
        Vec scores = splat(kMasked);
        std::memcpy(&scores, x + i, sizeof(float) * static_cast<std::size_t>(left));
        store_some(x + i, left, exponential(scores));
      },
      [&] {
        total += static_cast<double>(sum_of(now));
        now = Vec{};
        if (kLog) {
          total_log += static_cast<double>(sum_of(now_log));
          now_log = Vec{};
        }
      });
  if (kLog) *x_log = total_log;
  return total;
}

/// Scores 0..count-1 become weights times `total`; the slice are those from `first` to below `last`.
template <bool kLog>
inline Softmax softmax(float* x, const float* mask_k, std::int64_t count, std::int64_t first, std::int64_t last) {
  Softmax of;
  const float top = masked_top(x, mask_k, count);
  if (top == kMasked && std::none_of(x, x + count, [](float score) { return std::isnan(score); })) {
    of.flags = kRowFullyMasked;
    return of;
  }
  first = std::min(first, count);
  last = std::min(last, count);
  const double left = exponentials<false>(x, first, top);
  of.slice = exponentials<kLog>(x + first, last - first, top, &of.slice_x_log);
  of.total = left + of.slice + exponentials<false>(x + last, count - last, top);
  if (!std::isfinite(of.total)) of.flags = kRowNonFinite;
  return of;
}

/// Calls of_row(h, t, scores_k, mask_k, end) for the heads that share head `kv` of K and the queries first..last-1.
/// Scores from `end` on are those of hidden keys.
template <typename OfRow>
inline void score_block(const AttendParams& p, const AttendPlan& plan, const Seen* seen_t, const AttendScratch& s,
                        std::int64_t kv, std::int64_t first, std::int64_t last, OfRow&& of_row) {
  const std::int64_t queries = last - first, count = plan.group * queries;
  const bool shared_mask = p.mask_stride_h == 0;
  const float* mask_k = nullptr;
  std::int64_t mask_query = -1;
  for (std::int64_t from = 0; from < count; from += plan.rows) {
    const std::int64_t rows = std::min(plan.rows, count - from);
    const auto query_of = [&](std::int64_t r) { return first + (from + r) % queries; };
    const auto head_of = [&](std::int64_t r) { return kv * plan.group + (from + r) / queries; };
    const auto end_of = [&](std::int64_t t) { return seen_t != nullptr ? seen_t[t].end : limit_of(p, t); };
    std::int64_t end = 0;
    for (std::int64_t r = 0; r < rows; ++r) end = std::max(end, end_of(query_of(r)));

    with_weights(p.dtype, [&](auto type) {
      constexpr DType kType = decltype(type)::value;
      for (std::int64_t r = 0; r < rows; ++r) {
        float* const q_d = s.q_rd + r * padded(p.size);
        const void* query = query_at(p, kType, p.pick[head_of(r)], query_of(r));
        decode<kType>(query, p.q_stride_d, p.size, q_d);
        std::fill(q_d + p.size, q_d + padded(p.size), 0.0f);
      }
      if (rows >= kPanelRows) {
        for (std::int64_t d = 0; d < p.size; ++d) {
          for (std::int64_t r = 0; r < kMostRows; ++r) {
            s.q_dr[d * kMostRows + r] = r < rows ? s.q_rd[r * padded(p.size) + d] : 0.0f;
          }
        }
      }
      score_rows<kType>(p, s, rows, at(p.k_hkd, kType, k_head(p, kv) * p.k_stride_h), end);
    });

    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t h = head_of(r), t = query_of(r);
      if (p.mask_hqk != nullptr && (!shared_mask || t != mask_query)) {
        mask_k = mask_row(p, p.pick[h], t, end_of(t), s.mask_k);
        mask_query = t;
      }
      of_row(h, t, s.scores_rk + r * padded(p.keys), mask_k, end_of(t));
    }
  }
}

/// Calls of(part, kv, first, last) for the heads of K and the queries below `queries` that are the slot's.
template <typename Of>
inline void each_block(const AttendParams& p, const AttendPlan& plan, std::int64_t slot, std::int64_t queries,
                       Of&& of) {
  const std::int64_t blocks = plan.blocks(queries);
  for (std::int64_t part = 0; part < plan.parts; ++part) {
    for (std::int64_t kv = plan.head(part, p.kv_heads); kv < plan.head(part + 1, p.kv_heads); ++kv) {
      // All of a slot's queries before the next head: its keys stay in the cache.
      for (std::int64_t b = 0; b < blocks; ++b) {
        if ((part * blocks + b) % plan.slots != slot) continue;
        of(part, kv, b * plan.block, std::min((b + 1) * plan.block, queries));
      }
    }
  }
}

inline void attend_slot(const AttendParams& p, const AttendPlan& plan, const Seen* seen_t, const AttendScratch& s,
                        std::int64_t slot, float* out_hqk) {
  const auto of_row = [&](std::int64_t h, std::int64_t t, float* x, const float* mask_k, std::int64_t end) {
    float* const out_k = out_hqk + (h * p.queries + t) * p.keys;
    const Softmax of = softmax<false>(x, mask_k, end, 0, end);
    if (of.flags == kRowNonFinite) {
      std::fill_n(out_k, p.keys, NAN);
      return;
    }
    if (of.flags != 0) end = 0;
    const float factor = static_cast<float>(1 / of.total);
    for (std::int64_t i = 0; i < end; ++i) out_k[i] = factor * x[i];
    std::fill(out_k + end, out_k + p.keys, 0.0f);
  };
  each_block(p, plan, slot, p.queries, [&](std::int64_t, std::int64_t kv, std::int64_t first, std::int64_t last) {
    score_block(p, plan, seen_t, s, kv, first, last, of_row);
  });
}

/// The queries from p on; `rows` are [part, query].
inline void attend_reduce_slot(const AttendReduceParams& p, const AttendPlan& plan, std::int64_t queries,
                               const Seen* seen_t, const AttendScratch& s, std::int64_t slot, const GrowingRows& rows) {
  const bool by_focus = p.by.heads == HeadReduce::Weighted || p.by.heads == HeadReduce::TopK;
  const std::int64_t cells = p.to.cells, behind = p.first_key + cells;
  const double most_entropy = std::log(static_cast<double>(cells));
  each_block(
      p.scores, plan, slot, queries, [&](std::int64_t part, std::int64_t kv, std::int64_t first, std::int64_t last) {
        const auto of_row = [&](std::int64_t h, std::int64_t t, float* x, const float* mask_k, std::int64_t end) {
          const GrowingRow row = rows[part * plan.chunk + t];
          const Softmax of = by_focus ? softmax<true>(x, mask_k, end, p.first_key, behind)
                                      : softmax<false>(x, mask_k, end, p.first_key, behind);
          row.sum->flags |= of.flags & kRowNonFinite;
          if (row.sum->flags != 0) return;
          if (of.flags != 0) {  // this head sees nothing
            take_head<DType::F32>(p.by, rows.depth, cells, {0, h}, 0, x, 0, 0, row);
            return;
          }
          row.sum->any = true;
          const double mass = of.slice / of.total;
          // The unit of the weights does not matter to the entropy; what it is of no mass is not used.
          const double entropy = by_focus ? std::log(of.slice) - of.slice_x_log / of.slice : 0;
          const double focus = by_focus ? focus_of(mass, entropy, most_entropy) : 0;
          take_head<DType::F32>(p.by, rows.depth, cells, {focus, h}, mass, x + p.first_key,
                                std::clamp<std::int64_t>(end - p.first_key, 0, cells), static_cast<float>(1 / of.total),
                                row);
        };
        score_block(p.scores, plan, seen_t, s, kv, first, last, of_row);
      });
}

/// Adds query `t` of the chunk to the accumulator.
inline void attend_reduce_end(const AttendReduceParams& p, const AttendPlan& plan, std::int64_t t, const Seen* seen_t,
                              const GrowingRows& rows) {
  for (std::int64_t part = 1; part < plan.parts; ++part) {
    take_row(p.by, rows.depth, p.to.cells, rows[part * plan.chunk + t], rows[t]);
  }
  const std::int64_t visible = seen_t != nullptr ? seen_t[t].visible : limit_of(p.scores, t);
  add_row(p.by, p.scores.heads, p.scores.pick.share(p.scores.heads), rows.depth, visible, rows[t], p.to, t);
}
