// SPDX-License-Identifier: MIT
// Rows of attention: reduced from weights that the model holds, and recomputed from queries and keys.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gaze/ops/attend.hpp>
#include <gaze/ops/reduce.hpp>

#include <cmath>
#include <memory>

#include "harness.hpp"
#include "memory.hpp"

namespace gaze_bench {
namespace {

namespace ops = gaze::ops;

at::TensorOptions floats() { return at::TensorOptions().device(settings().device).dtype(at::kFloat); }

const char* name(at::ScalarType type) { return type == at::kBFloat16 ? "bf16" : "fp32"; }

/// "" when the finished accumulator holds `expected` within `tolerance` of its largest value and no row has a flag.
std::string compare(const ops::Accumulator& accumulator, const ops::ReduceOptions& options,
                    const at::Tensor& expected_tc, double tolerance) {
  const at::Tensor got_tc = ops::finish(accumulator, expected_tc.size(0), options).map_tc.to(at::kDouble);
  const double largest = expected_tc.max().item<double>();
  const double off = (got_tc - expected_tc).abs().max().item<double>() / largest;
  if (accumulator.flags_t.any().item<bool>()) return "a row is flagged";
  if (!(off <= tolerance)) return "off by " + std::to_string(off) + " of the largest weight";
  return "";
}

/// The documented reduction, written out in float64. p_hqk: the medium's keys only. @return [queries, keys]
at::Tensor reduced(const at::Tensor& p_hqk, ops::HeadReduce heads) {
  if (heads == ops::HeadReduce::Mean) return p_hqk.mean(0);
  const at::Tensor mass_hq1 = p_hqk.sum(-1, true);
  const at::Tensor share_hqk = p_hqk / mass_hq1;
  const auto keys = static_cast<double>(p_hqk.size(-1));
  const at::Tensor entropy_hq1 = -at::xlogy(share_hqk, share_hqk).sum(-1, true) / std::log(keys);
  const at::Tensor weight_hq1 = mass_hq1 * (1 - entropy_hq1);
  return (p_hqk * weight_hq1).sum(0) / weight_hq1.sum(0);
}

// --- weights the model holds ---

struct Held {
  const char* model;
  int64_t heads, queries, keys;
};

Subject reduce_subject(const Held& shape, ops::HeadReduce heads) {
  const auto weights = [&] {
    return at::randn({1, shape.heads, shape.queries, shape.keys}, floats()).mul_(2).softmax(-1).to(at::kBFloat16);
  };
  ops::ReduceOptions options;
  options.heads = heads;
  const auto fresh = [=] { return ops::make_accumulator(shape.queries, shape.keys, settings().device); };
  const ops::RowRange range{0, 0, shape.queries, 0, 0};
  std::vector<at::Tensor> p, peer_p;
  for (size_t set = 0; set < buffer_sets(); ++set) {
    p.push_back(weights());
    peer_p.push_back(weights());
  }
  Subject subject;
  subject.ours = {"gaze", [=, sums = fresh(), next = size_t{0}]() mutable {
                    ops::reduce(p[next++ % p.size()], range, options, sums);
                  }};
  subject.peers = {{"p.mean(1)", [=, out = at::Tensor(), next = size_t{0}]() mutable {
                      out = peer_p[next++ % peer_p.size()].mean(1);
                    }}};
  subject.bytes = p[0].numel() * 2 + shape.queries * shape.keys * 8;  // the accumulator is read and written
  subject.check = [=] {
    ops::Accumulator sums = fresh();
    ops::reduce(p[0], range, options, sums);
    return compare(sums, options, reduced(p[0][0].to(at::kDouble), heads), 1e-4);
  };
  if (heads != ops::HeadReduce::Mean) return subject;
  if (settings().device.is_cuda())
    subject.gates = {{Gate::Kind::ShareOfCopy, 0.85}};
  else if (at::get_num_threads() == 1)
    subject.gates = {{Gate::Kind::FasterThan, 3.5}};
  return subject;
}

// --- rows recomputed ---

struct Call {
  const char* model;
  int64_t heads, kv_heads, keys, size;
};

struct Tensors {
  at::Tensor q, k, v;
};

Tensors make_call(const Call& shape, int64_t queries, at::ScalarType type) {
  const auto random = [&](int64_t heads, int64_t rows) {
    return at::randn({1, heads, rows, shape.size}, floats()).to(type);
  };
  return {random(shape.heads, queries), random(shape.kv_heads, shape.keys), random(shape.kv_heads, shape.keys)};
}

/// softmax(q k^T / sqrt(size)) in float64. @return [heads, queries, keys]
at::Tensor exact_weights(const Tensors& call, bool causal) {
  const at::Tensor q = call.q[0].to(at::kDouble);
  const at::Tensor k = call.k[0].to(at::kDouble).repeat_interleave(call.q.size(1) / call.k.size(1), 0);
  at::Tensor scores = q.matmul(k.transpose(-2, -1)) / std::sqrt(static_cast<double>(q.size(-1)));
  if (causal) {
    const at::Tensor hidden = at::ones({q.size(1), k.size(1)}, q.options().dtype(at::kBool)).triu(1);
    scores.masked_fill_(hidden, -std::numeric_limits<double>::infinity());
  }
  return scores.softmax(-1);
}

/// Rows of `tokens` steps over the same keys, per step: of one, as live capture adds them, or of as many as wait in
/// deferred mode. The model itself attends in each step.
Subject row_subject(const Call& shape, at::ScalarType type, int64_t tokens) {
  const ops::ReduceOptions options;
  const ops::RowRange range{0, 0, tokens};
  const auto fresh = [=] { return ops::make_accumulator(tokens, shape.keys, settings().device); };
  std::vector<Tensors> ours, peers;
  for (size_t set = 0; set < buffer_sets(); ++set) {
    ours.push_back(make_call(shape, tokens, type));
    peers.push_back(make_call(shape, 1, type));
  }
  Subject subject;
  subject.ours = {"gaze",
                  [=, sums = fresh(), next = size_t{0}]() mutable {
                    const Tensors& call = ours[next++ % ours.size()];
                    ops::attend_reduce({call.q, call.k, std::nullopt}, range, options, sums);
                  },
                  {},
                  {},
                  tokens};
  subject.peers = {{"SDPA",
                    [=, out = at::Tensor(), next = size_t{0}]() mutable {
                      const Tensors& call = peers[next++ % peers.size()];
                      for (int64_t token = 0; token < tokens; ++token) {
                        out = at::scaled_dot_product_attention(call.q, call.k, call.v, std::nullopt, 0.0, false,
                                                               std::nullopt, shape.heads != shape.kv_heads);
                      }
                    },
                    {},
                    {},
                    tokens}};
  subject.bytes = ours[0].k.numel() * ours[0].k.element_size() / tokens + shape.keys * 8;
  subject.check = [=] {
    ops::Accumulator sums = fresh();
    ops::attend_reduce({ours[0].q, ours[0].k, std::nullopt}, range, options, sums);
    return compare(sums, options, reduced(exact_weights(ours[0], false), options.heads), 1e-4);
  };
  if (tokens == 1 && type == at::kFloat && settings().device.is_cpu() && at::get_num_threads() == 1)
    subject.gates = {{Gate::Kind::ShareOfPeer, 0.55}};
  return subject;
}

// --- a prefill: 60 rows of text over the 576 keys of a picture ---

const Call kPrefill{"LLaVA-1.5-7B", 32, 32, 640, 128};
const ops::RowRange kTextRows{0, 580, 60, 4, 0};
constexpr int64_t kPictureKeys = 576;

ops::Scores causal(const Tensors& call) {
  static const std::optional<at::Tensor> kNoMask;  // Scores refers to it
  ops::Scores scores{call.q, call.k, kNoMask};
  scores.causal = true;
  return scores;
}

Subject prefill_subject() {
  const ops::ReduceOptions options;
  const auto fresh = [] { return ops::make_accumulator(kTextRows.queries, kPictureKeys, settings().device); };
  const Tensors ours = make_call(kPrefill, kPrefill.keys, at::kFloat);
  const Tensors peer = make_call(kPrefill, kPrefill.keys, at::kFloat);
  const at::Tensor mask =
      at::full({kPrefill.keys, kPrefill.keys}, -std::numeric_limits<float>::infinity(), floats()).triu(1);
  const double scale = 1 / std::sqrt(static_cast<double>(kPrefill.size));
  Subject subject;
  subject.ours = {"gaze",
                  [=, sums = fresh()]() mutable { ops::attend_reduce(causal(ours), kTextRows, options, sums); }};
  subject.peers = {{"all rows by torch", [=, out = at::Tensor()]() mutable {
                      out = (peer.q.matmul(peer.k.transpose(-2, -1)) * scale + mask).softmax(-1).mean(1);
                    }}};
  subject.bytes =
      (kPrefill.heads * (kPrefill.keys + kTextRows.queries) * kPrefill.size + 2 * kTextRows.queries * kPictureKeys) * 4;
  subject.check = [=] {
    ops::Accumulator sums = fresh();
    ops::attend_reduce(causal(ours), kTextRows, options, sums);
    const at::Tensor rows_hqk = exact_weights(ours, true)
                                    .narrow(1, kTextRows.first_query, kTextRows.queries)
                                    .narrow(2, kTextRows.first_key, kPictureKeys);
    return compare(sums, options, reduced(rows_hqk, options.heads), 1e-4);
  };
  if (settings().device.is_cpu() && at::get_num_threads() == 1) subject.gates = {{Gate::Kind::FasterThan, 18}};
  return subject;
}

int64_t prefill_bytes() {
  const Tensors call = make_call(kPrefill, kPrefill.keys, at::kFloat);
  return peak_bytes([&] {
    ops::Accumulator sums = ops::make_accumulator(kTextRows.queries, kPictureKeys, settings().device);
    ops::attend_reduce(causal(call), kTextRows, {}, sums);
    ops::finish(sums, kTextRows.queries, {});
  });
}

}  // namespace

void add_rows_lines() {
  for (const int threads : thread_counts()) {
    for (const Held& shape : {Held{"LLaVA-1.5-7B", 32, 640, 640}, Held{"Whisper-large", 20, 448, 1500}}) {
      for (const auto heads : {ops::HeadReduce::Mean, ops::HeadReduce::Weighted}) {
        const std::string title = std::string("reduce weights bf16, ") + shape.model + " " +
                                  std::to_string(shape.heads) + "x" + std::to_string(shape.queries) + "x" +
                                  std::to_string(shape.keys) +
                                  (heads == ops::HeadReduce::Mean ? ", mean" : ", weighted");
        add(title, threads, [=] { return reduce_subject(shape, heads); });
      }
    }
    for (const Call& shape : {Call{"LLaVA-1.5-7B", 32, 32, 640, 128}, Call{"Whisper-large", 20, 20, 1500, 64},
                              Call{"BLIP-large", 16, 16, 577, 64}, Call{"Llama-3.2-V", 32, 8, 6404, 128}}) {
      for (const auto type : {at::kFloat, at::kBFloat16}) {
        const std::string title = std::string(name(type)) + ", " + shape.model + " " + std::to_string(shape.heads) +
                                  "/" + std::to_string(shape.kv_heads) + "x" + std::to_string(shape.keys) + "x" +
                                  std::to_string(shape.size);
        add("one row " + title, threads, [=] { return row_subject(shape, type, 1); });
        add("a row of 32 that waited " + title, threads, [=] { return row_subject(shape, type, 32); });
      }
    }
    add("prefill rows fp32, 60 of 640 queries x 576 of 640 keys", threads, prefill_subject);
  }
  if (settings().device.is_cpu())
    add_bytes("memory of these prefill rows", kTextRows.queries * kPictureKeys * 4 + (1 << 20), prefill_bytes);
}

}  // namespace gaze_bench
