// SPDX-License-Identifier: MIT
// How a head's weights join a row, and a row the accumulator. After vector.inl; needs <algorithm> and row.hpp.

enum class Join { Set, Add, Max, Min };

/// Joins `count` elements times `factor`; the cells behind them weigh 0. `to_c` is padded.
template <DType kType, Join kJoin>
inline void join(const typename Element<kType>::Type* x, std::int64_t count, float factor, std::int64_t cells,
                 float* to_c) {
  const auto put = [&](std::int64_t i, Vec weight) {
    weight *= factor;
    if (kJoin == Join::Set) store(to_c + i, weight);
    if (kJoin == Join::Add) store(to_c + i, load(to_c + i) + weight);
    if (kJoin == Join::Max) store(to_c + i, larger(weight, load(to_c + i)));
    if (kJoin == Join::Min) store(to_c + i, smaller(weight, load(to_c + i)));
  };
  std::int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) put(i, Element<kType>::full(x + i));
  if (i < count) put(i, Element<kType>::some(x + i, count - i));
  if (kJoin == Join::Set || kJoin == Join::Min) std::fill(to_c + count, to_c + cells, 0.0f);
}

/// The place among `kept` for a head: a free one, else that of the last in rank if the head ranks before it (more
/// focus, or as much and a lower number), else -1.
inline std::int64_t place_of(const Kept& head, const Kept* kept_k, std::int64_t taken, std::int64_t depth) {
  const auto before = [](const Kept& a, const Kept& b) {
    return a.focus > b.focus || (a.focus == b.focus && a.head < b.head);
  };
  if (taken < depth) return taken;
  std::int64_t last = 0;
  for (std::int64_t i = 1; i < depth; ++i) {
    if (before(kept_k[last], kept_k[i])) last = i;
  }
  return before(head, kept_k[last]) ? last : -1;
}

/// Joins one head, or what several heads gave (for Weighted: as `focus` says). Factors are in `factor` already.
/// While no head has focus, Weighted holds the plain sum, which is what counts if none follows that has.
template <DType kType>
inline void join_row(const Reduction& by, std::int64_t depth, std::int64_t cells, const Kept& head,
                     const typename Element<kType>::Type* x, std::int64_t count, float factor, const GrowingRow& to) {
  RowSum& sum = *to.sum;
  const bool first = sum.taken == 0;
  float* row_c = to.row_kc;
  const auto set = [&] { join<kType, Join::Set>(x, count, factor, cells, row_c); };
  const auto add = [&] { join<kType, Join::Add>(x, count, factor, cells, row_c); };
  switch (by.heads) {
    case HeadReduce::Mean:
      first ? set() : add();
      break;
    case HeadReduce::Weighted:
      if ((head.focus > 0) == (sum.focus > 0)) {
        first ? set() : add();
      } else if (head.focus > 0) {
        set();
      }
      sum.focus += head.focus;
      break;
    case HeadReduce::One:
      set();
      break;
    case HeadReduce::Max:
      first ? set() : join<kType, Join::Max>(x, count, factor, cells, row_c);
      break;
    case HeadReduce::Min:
      first ? set() : join<kType, Join::Min>(x, count, factor, cells, row_c);
      break;
    case HeadReduce::TopK: {
      const std::int64_t place = place_of(head, to.kept_k, sum.taken, depth);
      if (place < 0) return;
      to.kept_k[place] = head;
      row_c += place * padded(cells);
      set();
      if (place < sum.taken) return;
      break;
    }
  }
  sum.taken += 1;
}

/// Rows of Weighted are held times this: a product of two tiny numbers stays a normal float, whose quotient by the
/// sum of the focus is right.
constexpr double kFocusUnit = 0x1p100;

/// Joins one head's `count` weights x * factor; the cells behind them weigh 0.
template <DType kType>
inline void take_head(const Reduction& by, std::int64_t depth, std::int64_t cells, const Kept& head, double mass,
                      const typename Element<kType>::Type* x, std::int64_t count, float factor, const GrowingRow& to) {
  to.sum->mass += mass;
  if (by.heads == HeadReduce::One && head.head != by.head) return;
  if (by.heads == HeadReduce::Weighted && head.focus > 0) factor *= static_cast<float>(head.focus * kFocusUnit);
  join_row<kType>(by, depth, cells, head, x, count, factor, to);
}

/// Joins what other heads, all of higher number, gave.
inline void take_row(const Reduction& by, std::int64_t depth, std::int64_t cells, const GrowingRow& from,
                     const GrowingRow& to) {
  to.sum->mass += from.sum->mass;
  to.sum->flags |= from.sum->flags;
  to.sum->any |= from.sum->any;
  const bool top = by.heads == HeadReduce::TopK;
  for (std::int64_t i = 0; i < (top ? from.sum->taken : std::min<std::int64_t>(from.sum->taken, 1)); ++i) {
    const Kept head = top ? from.kept_k[i] : Kept{from.sum->focus, 0};
    join_row<DType::F32>(by, depth, cells, head, from.row_kc + i * padded(cells), cells, 1, to);
  }
}

/// Adds the finished row of `heads` heads to the accumulator; beside other layers it counts `share`.
inline void add_row(const Reduction& by, std::int64_t heads, std::int64_t share, std::int64_t depth,
                    std::int64_t visible, const GrowingRow& row, const AccumulatorRows& to, std::int64_t token) {
  const std::int64_t cells = to.cells;
  const RowSum& sum = *row.sum;
  const std::int32_t flags = sum.flags == 0 && !sum.any ? kRowFullyMasked : sum.flags;
  if (flags != 0) {
    add_flags(to, token, flags);
    return;
  }
  double total = 1;
  if (by.heads == HeadReduce::Mean) total = static_cast<double>(heads);
  if (by.heads == HeadReduce::Weighted) total = sum.focus > 0 ? sum.focus * kFocusUnit : static_cast<double>(heads);
  if (by.heads == HeadReduce::TopK) {
    total = static_cast<double>(depth);
    for (std::int64_t i = 1; i < depth; ++i) {
      join<DType::F32, Join::Add>(row.row_kc + i * padded(cells), cells, 1, cells, row.row_kc);
    }
  }
  const bool weighted = by.layers == LayerReduce::Weighted && by.heads == HeadReduce::Weighted;
  const double weight = weighted ? sum.focus : static_cast<double>(share);
  const float factor = static_cast<float>(1 / total);

  float* const map_c = to.map_tc + token * to.map_stride_t;
  switch (by.layers) {
    case LayerReduce::Mean:
    case LayerReduce::Weighted: {
      const float weighted_factor = static_cast<float>(weight / total);
      for (std::int64_t i = 0; i < cells; ++i) map_c[i] += weighted_factor * row.row_kc[i];
      to.weight_t[token] += static_cast<float>(weight);
      break;
    }
    case LayerReduce::Max:
      for (std::int64_t i = 0; i < cells; ++i) {
        const float x = factor * row.row_kc[i];
        map_c[i] = x > map_c[i] ? x : map_c[i];
      }
      to.weight_t[token] = 1;
      break;
    case LayerReduce::Last:
      for (std::int64_t i = 0; i < cells; ++i) map_c[i] = factor * row.row_kc[i];
      to.weight_t[token] = 1;
      break;
  }
  to.mass_t[token] += static_cast<float>(sum.mass * static_cast<double>(share) / static_cast<double>(heads));
  to.visible_t[token] += static_cast<float>(share * visible);
  to.calls_t[token] += 1;
  to.rows_t[token] += static_cast<std::int32_t>(share);
}
