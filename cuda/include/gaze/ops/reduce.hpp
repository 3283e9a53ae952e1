// SPDX-License-Identifier: MIT
// Reduction of attention weights over heads and layers into a device-resident accumulator.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/ops/api.hpp>

#include <cstdint>

namespace gaze::ops {

/// How the heads of one attention call become one row.
/// `Weighted` weighs head h by mass_h * (1 - entropy_h), entropy over the medium's keys normalised to 0..1;
/// `TopK` is the plain mean of the `k` heads with the largest such weight; `One` takes head `head`.
enum class HeadReduce { Mean, Max, Min, Weighted, One, TopK };

/// How the layers (sites) of one step become one row.
/// `Weighted` weighs a layer by the sum of its head weights (needs HeadReduce::Weighted, else equals Mean).
/// `Rollout` is not a streaming reduction: see `rollout`.
enum class LayerReduce { Mean, Max, Last, Weighted, Rollout };

struct ReduceOptions {
  HeadReduce heads = HeadReduce::Weighted;
  int64_t head = 0;  ///< for HeadReduce::One, 0-based
  int64_t k = 3;     ///< for HeadReduce::TopK, at least 1
  LayerReduce layers = LayerReduce::Mean;
};

/// Which part of one attention call is wanted.
struct RowRange {
  int64_t batch = 0;        ///< batch row
  int64_t first_query = 0;  ///< first wanted query row
  int64_t queries = 1;      ///< number of wanted query rows
  int64_t first_key = 0;    ///< first key of the medium
  int64_t first_token = 0;  ///< accumulator row that receives `first_query`
  bool partial = false;     ///< rows may sum to less than 1: a sink or a mask took its share after the softmax
  /// Heads that count, ascending, at most 64, each below 256; they outlive the call. Empty: all. A row of chosen heads
  /// counts as many times as it has heads, so that the mean over layers is the mean over all that were chosen.
  c10::ArrayRef<int64_t> heads = {};
};

/// What was found in an accumulated row; bits of `Accumulator::flags_t`.
enum RowFlag : int32_t {
  kRowNonFinite = 1,  ///< NaN or infinity among the weights
  kRowSum =
      2,  ///< a row that is not all zero does not sum to 1, a partial one to more (fp32 1e-3, fp16 5e-3, bf16 2e-2)
  kRowFullyMasked = 4,  ///< no visible key: contributes nothing
  kRowBeyond = 8,       ///< set by a capture whose medium is the whole row: visible keys beyond the medium's
  kRowGathered = 16,    ///< set by a capture: the model gathers its batch in a loop of its own, so the row may be
                        ///< another beam's; the row counts
};

/// Running sums of one request, all on one device. Rows that were never written have calls_t == 0.
struct Accumulator {
  /// float32 [tokens, cells]: sum (Mean), maximum (Max), last (Last) or weighted sum. Cells adjacent; it may be some of
  /// the columns of a wider tensor.
  at::Tensor map_tc;
  at::Tensor weight_t;   ///< float32 [tokens]: sum of layer weights
  at::Tensor mass_t;     ///< float32 [tokens]: sum over layers of the mean over heads of the medium's share
  at::Tensor visible_t;  ///< float32 [tokens]: sum over layers of the number of visible keys
  at::Tensor calls_t;    ///< int32 [tokens]: layers seen
  at::Tensor flags_t;    ///< int32 [tokens]: RowFlag bits; a row with a flag adds to nothing but flags_t and calls_t
  at::Tensor rows_t;     ///< int32 [tokens]: layers that added to the sums, calls_t less the flagged ones; a layer of
                         ///< chosen heads counts once for each
};

/// Result of `finish`.
struct Reduced {
  at::Tensor map_tc;  ///< float32 [tokens, cells]: share of a row's weight per cell, rows sum to at most 1 (with Max:
                      ///< no bound)
  at::Tensor mass_t;  ///< float32 [tokens]: share of the row's weight on the medium, 0..1
  at::Tensor visible_t;  ///< float32 [tokens]: mean number of visible keys
};

/// Allocates a zeroed accumulator, in one piece of memory. The only allocation of a capture.
GAZE_API Accumulator make_accumulator(int64_t tokens, int64_t cells, at::Device device);

/// Floats that an accumulator of that size takes.
constexpr int64_t accumulator_floats(int64_t tokens, int64_t cells) { return tokens * (6 + cells); }

/// An accumulator in memory that is there, as it is: it is not zeroed.
/// @param memory  float32 [accumulator_floats(tokens, cells)], contiguous
GAZE_API Accumulator accumulator_in(const at::Tensor& memory, int64_t tokens, int64_t cells);

/// Adds the wanted rows of materialised attention weights to `accumulator`.
///
/// @param attn_bhqk  float32/float16/bfloat16 [batch, heads, queries, keys], any strides, softmax over the last axis;
///                   on the accumulator's device. Only the range is read, once.
/// A key whose weight is exactly 0 in all heads, chosen or not, counts as masked (not visible).
/// The medium's keys are [first_key, first_key + cells). Entropy is that of the slice, renormalised.
/// Asynchronous on the current CUDA stream; keeps no reference; thread-safe for distinct accumulators;
/// does not allocate after the first call of its thread with that size.
/// @throws c10::Error naming the argument, expected and got, when shapes, dtypes, devices or the range do not fit.
GAZE_API void reduce(const at::Tensor& attn_bhqk, const RowRange& range, const ReduceOptions& options,
                     Accumulator& accumulator);

/// Adds what `from` holds to `to`: the layers of one model that lie on two devices. Afterwards `from` may be freed.
/// Cost: one copy of `from` between the devices, in the order of their current streams.
/// @throws c10::Error when their sizes differ.
GAZE_API void merge(Accumulator& to, const Accumulator& from, const ReduceOptions& options);

/// What an accumulator holds of its first `tokens` tokens, in memory of its own.
/// Cost: one allocation and two copies; seven where the columns do not lie as make_accumulator lays them. Asynchronous
/// on the current stream.
GAZE_API Accumulator first_tokens(const Accumulator& accumulator, int64_t tokens);

/// Divides the sums: the map of the first `tokens` rows. Rows to which no layer added are zero.
/// Cost: one pass over tokens x cells. Asynchronous on the current stream.
GAZE_API Reduced finish(const Accumulator& accumulator, int64_t tokens, const ReduceOptions& options);

/// Attention rollout (Abnar & Zuidema 2020): product of 0.5 A_l + 0.5 I over layers, first layer innermost.
///
/// @param attn_lqk  float32 [layers, n, n], head-reduced, rows sum to 1.
/// @return float32 [n, n], rows sum to 1. Cost: layers n^3 multiply-adds.
GAZE_API at::Tensor rollout(const at::Tensor& attn_lqk);

/// As `rollout`, one layer at a time: the product so far becomes (0.5 A + 0.5 I) times it.
///
/// @param product_nn  float32 [n, n], written; of the first layer, undefined is the identity
/// @param attn_nn     float32 [n, n], head-reduced, rows sum to 1. Cost: n^3 multiply-adds and one [n, n].
GAZE_API void rollout_layer(at::Tensor& product_nn, const at::Tensor& attn_nn);

/// One layer of a rollout for some rows of a sequence: each becomes (its own row before the layer + attn x all rows
/// before the layer) / (1 + the sum of attn), which is 0.5 I + 0.5 A with rows that sum to 1.
///
/// @param attn_qk    float32 [queries, keys], head-reduced; the queries are the last of the keys
/// @param before_km  float32 [keys, n], what each position held before the layer
/// @param after_qm   float32 [queries, n], written; does not share memory with before_km
/// Cost: queries x keys x n multiply-adds; asynchronous on the current stream.
GAZE_API void rollout_rows(const at::Tensor& attn_qk, const at::Tensor& before_km, at::Tensor& after_qm);

/// Carries a map over latents on to what the latents were made of: each row of `made_of_nk` is divided by its sum (one
/// without any stays zero), so that a token's sum stays what it is.
///
/// @param map_tn      float32 [tokens, latents]
/// @param made_of_nk  float32 [latents, keys], not negative
/// @return float32 [tokens, keys]. Cost: tokens x latents x keys multiply-adds; asynchronous on the current stream.
GAZE_API at::Tensor compose(const at::Tensor& map_tn, const at::Tensor& made_of_nk);

}  // namespace gaze::ops
