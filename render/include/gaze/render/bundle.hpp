// SPDX-License-Identifier: MIT
// The bundle a request leaves behind: pictures and request.json, published by one rename.
#pragma once

#include <gaze/render/artifacts.hpp>
#include <gaze/render/retention.hpp>
#include <gaze/render/sink.hpp>

#include <functional>
#include <memory>
#include <string>

namespace gaze {

class FrameRing;

struct BundleOptions : RenderOptions {
  std::string out_dir = "./overlays";  ///< a relative one is looked up once, where the process stands at first
  bool strict_out_dir = false;         ///< refuse one that is a link, another user's, or that others may write
  Quota quota = {};                    ///< the oldest bundles are deleted where it would be passed
  std::string signing_key = {};        ///< a file with an Ed25519 private key in PEM; empty: nothing is signed
};

/// Writes `<out_dir>/<UTC time>-<random>/` with the artifacts of the record (overlay.png, words/NN-word.png, sheet.png
/// and request.json, of a sound words.json too), in a hidden temporary directory first, then renamed. Directory names
/// are generated: the request's id and texts appear only inside JSON. When a record cannot be drawn, request.json holds
/// the error, no picture is written, and the error is rethrown. With its first record a sink removes what killed
/// processes of this user left in out_dir; a directory that a living process fills is locked, and stays.
/// manifest.json of each bundle holds the hash of every file and of the bundle before it (docs/retention.md).
class GAZE_API BundleSink : public Sink {
 public:
  /// Frames come back through `ring`; without one, through that which all models on the record's device share.
  /// @throws gaze::Error where signing_key is no private key of Ed25519, or one that others may read
  explicit BundleSink(BundleOptions options, std::shared_ptr<FrameRing> ring = nullptr);
  ~BundleSink() override;
  void consume(const AttentionRecord& record) override;
  /// Where overlays are JPEGs, pictures in host memory become JPEGs as large as they are drawn.
  void compact(AttentionRecord& record) override;
  void prepare(at::Device device) override;
  /// Called on the worker thread with what was measured of a record, before its bundle appears.
  /// @param callback  returns whether the answer is kept; what is not is counted as NotKept, and leaves nothing
  void on_measured(std::function<bool(const AnswerFigures&)> callback);
  /// Of all bundles that were published. Any thread.
  [[nodiscard]] int64_t bytes_written() const noexcept;
  /// Deletes what the quota has no room for.
  void tidy() override;
  /// Called after each published bundle with the request id and its path (on the worker thread).
  void on_published(std::function<void(const std::string& request_id, const std::string& path)> callback);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gaze
