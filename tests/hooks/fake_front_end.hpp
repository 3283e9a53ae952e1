// SPDX-License-Identifier: MIT
// A front end as others write it, and a decoder in plain tensors, no TorchScript, that calls it. Public headers only.
#pragma once

#include <ATen/ATen.h>
#include <gaze/hooks/front_end.hpp>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fake {

// [front end]
class Attention {
 public:
  static gaze::ModelDescription description() {
    return {.name = "decoder", .methods = {{"forward", {"x", "past", "picture"}}}};
  }

  explicit Attention(const gaze::Gaze& gaze) : front_end_(gaze) {}

  /// At the top of a call of the model; it ends with what is returned, also when the model throws.
  gaze::ModelCall enter(const at::Tensor& picture) {
    gaze::ModelCall call = front_end_.enter("forward");
    call.offer("picture", picture);
    return call;
  }

  /// In place of the model's own attention.
  at::Tensor operator()(const gaze::Site& site, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const std::optional<at::Tensor>& mask) {
    const auto [index, is_new] = indices_.emplace(site.name, gaze::FrontEnd::kNoSite);
    if (is_new) index->second = front_end_.add_site(site);
    if (site.kind == gaze::SiteKind::Sdpa) {  // fused: its weights are nowhere, so what they are made of
      front_end_.push(index->second, gaze::ops::Scores{q, k, mask, /*causal=*/false, /*scale=*/0.5});
      return at::scaled_dot_product_attention(q, k, v, mask, /*dropout_p=*/0.0, /*is_causal=*/false, /*scale=*/0.5);
    }
    at::Tensor scores_bhqk = q.matmul(k.transpose(-2, -1)) * 0.5;
    if (mask) scores_bhqk = scores_bhqk.masked_fill(mask->logical_not(), -INFINITY);
    const at::Tensor attn_bhqk = scores_bhqk.softmax(-1);
    front_end_.push(index->second, attn_bhqk);
    return attn_bhqk.matmul(v);
  }

 private:
  gaze::FrontEnd front_end_;
  std::map<std::string, int64_t> indices_;
};
// [/front end]

struct Parameters {
  at::Tensor wq_dd, wk_dd, wp_cd;
};

/// Layers of self-attention over a cache and of attention over a picture's 24 cells; 8 features, 2 heads.
class Decoder {
 public:
  /// @param sites  of each layer one over its cache, then one over the picture
  Decoder(const gaze::Gaze& gaze, Parameters parameters, std::vector<gaze::Site> sites)
      : attention_(gaze), parameters_(std::move(parameters)), sites_(std::move(sites)) {}

  /// x [batch, tokens, 8], past [layers, batch, positions, 8] -> y, past
  std::pair<at::Tensor, at::Tensor> forward(at::Tensor x, const at::Tensor& past, const at::Tensor& picture) {
    gaze::ModelCall call = attention_.enter(picture);
    const at::Tensor c = heads(at::avg_pool2d(picture, {8, 8}).flatten(2).transpose(1, 2).matmul(parameters_.wp_cd));
    std::vector<at::Tensor> cache;
    for (size_t layer = 0; layer < sites_.size() / 2; ++layer) {
      cache.push_back(at::cat({past[static_cast<int64_t>(layer)], x.matmul(parameters_.wk_dd)}, 1));
      const int64_t queries = x.size(1), keys = cache.back().size(1);
      const at::Tensor k = heads(cache.back()), seen = at::ones({queries, keys}, at::kBool).tril(keys - queries);
      const at::Tensor y = attention_(sites_[2 * layer], heads(x.matmul(parameters_.wq_dd)), k, k, seen);
      x = attention_(sites_[2 * layer + 1], y, c, c, {}).transpose(1, 2).flatten(2);
    }
    call.leave();
    return {x, at::stack(cache)};
  }

 private:
  static at::Tensor heads(const at::Tensor& x_bnd) {
    return x_bnd.view({x_bnd.size(0), x_bnd.size(1), 2, 4}).transpose(1, 2);
  }
  Attention attention_;
  Parameters parameters_;
  std::vector<gaze::Site> sites_;
};

}  // namespace fake
