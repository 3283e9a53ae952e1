// SPDX-License-Identifier: MIT
// For who finds attention calls that Gaze does not: of a model that is no TorchScript module, or of a kernel of its
// own. docs/front-ends.md shows one.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/gaze.hpp>
#include <gaze/ops/attend.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gaze {

/// A model as it is told of, where it cannot be read.
struct ModelDescription {
  /// What the host calls at once: all of the model, an encoder, a decode step.
  struct Method {
    std::string name = "forward";
    std::vector<std::string> arguments = {};  ///< names, in order; a profile counts them from 0
    bool forks = false;  ///< some of its attention runs on other threads: without a request, each call is an answer
  };
  std::string name = {};  ///< for the log
  std::vector<Method> methods = {Method()};
  /// Known by now, by index. With none, all may come later; else whatever profile and options name must be among them.
  std::vector<Site> sites = {};
};

/// A capture of calls that gaze::FrontEnd pushes; nothing of a model is touched. Each attach is a capture of its own,
/// with requests of its own: a model is not claimed by its description. Inert unless capture is on, as with a module.
/// @throws gaze::Error when capture is on and the description is not well-formed, or the profile does not fit it,
/// cannot
///         be read, or asks to be verified, which takes a module.
GAZE_API Gaze attach(const ModelDescription& model, Options options = {});

/// One call of a method, from where it begins to where it returns. Stays on its thread. Movable, not copyable.
class GAZE_API ModelCall {
 public:
  ModelCall() noexcept;
  ModelCall(ModelCall&&) noexcept;
  ModelCall& operator=(ModelCall&&) noexcept;
  ~ModelCall();  ///< without leave(): it threw, and an answer for which the host opened no request ends with it

  /// An argument, before the model may write over it. The picture, the recording and the prompt's ids are taken, where
  /// the profile names them and the host gave none; others are left alone. Cost: a copy of what is taken.
  void offer(int64_t argument, const at::Tensor& value) noexcept;
  /// By its name in the description; ignored when it has none.
  void offer(std::string_view argument, const at::Tensor& value) noexcept;
  /// It returned.
  void leave() noexcept;

 private:
  friend class FrontEnd;
  ModelCall(std::shared_ptr<Recorder> recorder, int64_t method) noexcept;
  void end() noexcept;
  std::shared_ptr<Recorder> recorder_;  // null: nothing is captured
  std::shared_ptr<BoundRequest> entered_;
  int64_t method_ = -1;
};

/// The way in for attention calls. Belongs to a capture, that of a module as well: what several push goes to the same
/// requests, and a call that two of them push counts twice. Thread-safe; copies are the same. Every member is noexcept:
/// what cannot be done is dropped, and counted in Stats::calls_dropped and sites_refused. May outlive the handle.
class GAZE_API FrontEnd {
 public:
  static constexpr int64_t kNoSite = -1;

  FrontEnd() noexcept;
  explicit FrontEnd(const Gaze& gaze) noexcept;

  /// A site that was found by now; of a name that is known, that site. Whether it counts is decided here, by profile
  /// and options; those without a profile's `sites.match` count when they are `proposed`. Requests that are open see
  /// its calls as well. Cost: a look at all sites, under a lock: keep the index.
  /// @param site  name: 1 to 512 bytes, no control characters, no `*`; kind Softmax or Sdpa; relation: self-attention
  ///              tells which calls make an answer where the host opens no request
  /// @return its index for push, the same for as long as the capture lives; kNoSite, and counted, when it is not
  ///         well-formed, does not fit profile or options, is one of more than 4096 beyond those of attach, or nothing
  ///         is captured any more
  int64_t add_site(Site site) noexcept;

  /// A call of a method begins on this thread: within it, and in requests that the host opens, calls are captured.
  /// One within another is part of it. A method that was not described is none.
  [[nodiscard]] ModelCall enter(std::string_view method = "forward") const noexcept;

  /// Whether a call on this thread would be for a request now: for who would compute what it pushes.
  [[nodiscard]] bool wanted() const noexcept;

  /// The weights of one call of a site, for the request of this thread, or of the one that forked it by at::launch.
  /// Failures end that request's capture alone, with a reason. Reduces at once, on the current stream of the tensor's
  /// device; waits for nothing, keeps no reference, and allocates nothing after a request's first token.
  /// @param attn_bhqk  float32, float16 or bfloat16 [batch, heads, queries, keys], any strides, after masks and before
  ///                   dropout: rows sum to 1. Of three dimensions the first is batch x heads.
  void push(int64_t site, const at::Tensor& attn_bhqk) noexcept;
  /// Queries, keys and mask of a call whose weights are nowhere: the wanted rows are recomputed.
  /// With Options::deferred_tokens queries, and the keys of a site's latest call, are kept until they are needed. On a
  /// device those of a decode step are kept until its ModelCall leaves, where the site says `inputs_stay`.
  void push(int64_t site, const ops::Scores& scores) noexcept;

 private:
  template <class Call>
  void push_to_request(int64_t site, const Call& call) noexcept;
  std::shared_ptr<Recorder> recorder_;
};

}  // namespace gaze
