// SPDX-License-Identifier: MIT
// Everything a host or an environment variable may decide. docs/environment.md holds one row per variable.
#pragma once

#include <gaze/hooks/control.hpp>
#include <gaze/hooks/log.hpp>
#include <gaze/render/bundle.hpp>
#include <gaze/render/profile.hpp>
#include <gaze/render/redaction.hpp>
#include <gaze/render/sink.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gaze {

/// Which answers keep the maps of every head of every selected site beside the reduced one (docs/detail.md).
struct DetailChoice {
  enum class When { Never, Always, Flagged, Sampled, Next };
  When when = When::Never;
  double share = 1;   ///< Sampled: of the captured requests, 0..1
  int64_t count = 0;  ///< Next: of the first requests after attach
};

/// A set environment variable wins over the field, so that an on-call engineer needs no new build.
/// Empty counts as unset. Of a value that is not understood one line tells; when the variable limits what is captured,
/// capture then stays off, else it is ignored: docs/environment.md says which do.
struct GAZE_API Options {
  bool capture = false;                    ///< GAZE_CAPTURE: 1, true, yes, on, or 0, false, no, off
  bool disabled = false;                   ///< GAZE_DISABLED: anything but 0, false, no, off keeps capture off
  std::string out_dir = "./overlays";      ///< GAZE_OUT_DIR
  bool strict_out_dir = false;             ///< GAZE_STRICT_OUT_DIR: 1 refuses one that others may write or have placed
  std::string profile;                     ///< GAZE_PROFILE: path of a profile; empty: none
  double sample_rate = 1.0;                ///< GAZE_SAMPLE_RATE: share of requests captured, 0..1
  int64_t next = 0;                        ///< GAZE_NEXT: so many requests from attach on, whatever the rate
  std::string ids = {};                    ///< GAZE_IDS: a pattern of request ids that are captured whatever the rate
  std::string prompts = {};                ///< GAZE_PROMPTS: likewise, of prompts
  double per_second = 0;                   ///< GAZE_PER_SECOND: most captured requests in a second; 0: no limit
  KeepRule keep = {};                      ///< GAZE_KEEP: all, or any of flagged,slow:SECONDS,long:TOKENS
  std::string otel_dir = {};               ///< GAZE_OTEL_DIR: traces.jsonl and logs.jsonl for OpenTelemetry
  std::string metrics_file = {};           ///< GAZE_METRICS: rewritten every ten seconds for Prometheus; "%p": process
  std::string drift_baseline = {};         ///< GAZE_DRIFT: what gaze drift --save kept, to compare answers with
  std::optional<LayerChoice> layers;       ///< GAZE_LAYERS: mean, max, last, weighted, a range "1-2", or "max:1-2"
  std::optional<HeadChoice> heads;         ///< GAZE_HEADS: mean, max, min, weighted, one:N, topk:N
  std::optional<ops::Colormap> colormap;   ///< GAZE_COLORMAP: turbo, inferno, viridis, cividis, gray
  ImageFormat format = ImageFormat::Jpeg;  ///< GAZE_FORMAT: png, jpeg, webp
  PictureChoice pictures;                  ///< GAZE_PICTURES: all, none, or any of overlay,words,sheet
  int64_t longest_side_pixels = 1280;      ///< GAZE_LONGEST_SIDE: of an overlay; full or 0: as large as the picture
  Delivery delivery = Delivery::Frame;     ///< GAZE_DELIVERY: frame, map
  DetailChoice detail = {};                ///< GAZE_DETAIL: off, all, flagged, a share 0..1, next:N
  std::vector<WordFile> word_files = {};   ///< GAZE_WORD_FILES: of sounds, any of vtt,srt,textgrid
  int64_t quota_bytes = 0;                 ///< GAZE_QUOTA_BYTES: of all bundles in out_dir; 0: no limit
  int64_t quota_age_seconds = 0;           ///< GAZE_QUOTA_AGE: older bundles are deleted; 0: none
  int64_t quota_free_bytes = 0;            ///< GAZE_QUOTA_FREE: must stay free on out_dir's file system; 0: no limit
  std::string signing_key;                 ///< GAZE_SIGNING_KEY: file of an Ed25519 private key; empty: not signed
  int64_t queue_bytes =
      int64_t{256} << 20;           ///< GAZE_QUEUE_BYTES: budget of waiting requests; more is dropped and counted
  int64_t deferred_tokens = 0;      ///< GAZE_DEFERRED_TOKENS: 0 (reduce every token at once) or 2..32
  Content content = Content::Full;  ///< GAZE_CONTENT: full, maps, hashed: what of a request's content is written
  std::string hash_key = {};        ///< GAZE_HASH_KEY: the file that holds the key of `hashed`
  std::string log = "info";         ///< GAZE_LOG: off, error, warn, info, debug

  // Fields a host sets in code only.
  LogLine on_log;                          ///< where log lines go; empty: standard error
  std::optional<Profile> profile_in_code;  ///< instead of a profile file
  std::string profile_text;                ///< of profile_in_code (`profile_json`): its hash is in every bundle
  Style style;                             ///< colormap above wins when set
  int64_t max_tokens = 256;                ///< token rows kept per request; more are dropped and counted
  std::string model_path;                  ///< named and hashed in request.json when given
  Redact redact;                           ///< what of a record is blacked out, asked once, on the worker's thread
  std::shared_ptr<Sink> sink;              ///< instead of bundles in out_dir
  /// Called after each bundle, on the worker's thread, with the request's id and the bundle's path. What it throws is
  /// ignored. Not called with a sink of the host's.
  std::function<void(const std::string& request_id, const std::string& path)> on_published;
  bool read_environment = true;  ///< false: only this struct decides
};

/// `options` with the process environment applied. Problems are no exceptions: they are appended to `warnings`, and
/// `capture` is false when one of them is in what limits.
GAZE_API Options from_environment(Options options, std::vector<std::string>* warnings = nullptr);

/// Sets one field by the text that its variable takes. @param name  the variable's, without GAZE_ and in small letters
/// @throws gaze::Error for a name that no variable has, and for a text that it does not take
GAZE_API void set_option(Options& options, std::string_view name, const std::string& text);

/// What the options say of bundles: for a sink of the host's own that writes them too.
GAZE_API BundleOptions bundle_options(const Options& options);

}  // namespace gaze
