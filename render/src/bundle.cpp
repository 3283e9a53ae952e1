// SPDX-License-Identifier: MIT
#include <c10/util/Exception.h>
#include <gaze/render/bundle.hpp>

#include <chrono>
#include <cstdio>
#include <new>
#include <utility>

#include "canvas.hpp"
#include "files.hpp"
#include "image_codec.hpp"
#include "safetensors.hpp"
#include "sheet.hpp"
#include "sidecar.hpp"

namespace gaze {
namespace {

const char* extension(ImageFormat format) {
  return format == ImageFormat::Jpeg ? ".jpg" : format == ImageFormat::Webp ? ".webp" : ".png";
}

// Only [a-z0-9]: whatever a token says, its file name is harmless.
std::string slug(const Word& word) {
  if (word.text.empty()) return "token";
  std::string text;
  for (const char c : word.text) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if ((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9')) text += lower;
    if (text.size() == 24) break;
  }
  return text.empty() ? "word" : text;
}

std::string word_file(size_t index, const Word& word, ImageFormat format) {
  char number[24];
  std::snprintf(number, sizeof number, "%02zu", index + 1);
  return std::string("words/") + number + "-" + slug(word) + extension(format);
}

bool cannot_write(DropReason reason) {
  return reason == DropReason::OutDir || reason == DropReason::DiskFull || reason == DropReason::IoError;
}

// One request on its way to disk.
class Writer {
 public:
  Writer(const BundleOptions& options, const AttentionRecord& record)
      : options_(options), record_(record), staged_(options.out_dir), sidecar_(record) {}

  std::string publish_overlays() {
    const auto start = std::chrono::steady_clock::now();
    const Analysis analysis = analyse(record_);
    sidecar_.measured = true;
    sidecar_.range_max_lift = analysis.range_max_lift;
    sidecar_.sinks_subtracted = analysis.sinks_subtracted;
    const bool frames = options_.delivery == Delivery::Frame;
    std::optional<Canvas> canvas;
    if (frames || !record_.picture.empty()) {
      canvas = make_canvas(record_);
      sidecar_.width = canvas->placement.width;
      sidecar_.height = canvas->placement.height;
    }
    if (frames) write_frames(analysis, *canvas);
    measure_all(analysis, canvas);
    if (!frames || options_.maps) write_maps(analysis);
    sidecar_.render_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    return publish();
  }

  std::string publish_refusal(DropReason reason, const std::string& message) {
    sidecar_.error_reason = name(reason);
    sidecar_.error_message = message.empty() ? "unknown failure" : message;
    return publish();
  }

 private:
  // One frame at a time: a long answer over a large photograph must not add up.
  void write_frames(const Analysis& analysis, const Canvas& canvas) {
    summary_file_ = std::string("overlay") + extension(options_.format);
    write_frame(summary_file_, summary_layer(analysis), canvas);
    if (!analysis.words.empty()) staged_.make_subdirectory("words");
    for (size_t w = 0; w < analysis.words.size(); ++w) {
      word_files_.push_back(word_file(w, analysis.words[w].word, options_.format));
      write_frame(word_files_.back(), word_layer(analysis, w), canvas);
    }
    write(std::string("sheet") + extension(options_.format),
          encode_image(draw_sheet(record_, analysis, canvas), options_.format));
  }

  void write_frame(const std::string& file, const Layer& layer, const Canvas& canvas) {
    const at::Tensor rgb_hwc = paint(canvas.base_hwc, layer, canvas.placement, record_.style);
    write(file, encode_image(rgb_hwc.cpu().contiguous(), options_.format));
  }

  void measure_all(const Analysis& analysis, const std::optional<Canvas>& canvas) {
    const Placement placement = canvas ? canvas->placement : Placement{};
    const auto measured = [&](const Finding& finding, const Layer& layer, std::string file) {
      return Written{measure(finding, layer, placement, record_.style), finding.flags, std::move(file)};
    };
    sidecar_.summary = measured(analysis.summary, summary_layer(analysis), summary_file_);
    for (size_t w = 0; w < analysis.words.size(); ++w) {
      sidecar_.words.push_back(
          measured(analysis.words[w], word_layer(analysis, w), w < word_files_.size() ? word_files_[w] : ""));
    }
  }

  void write_maps(const Analysis& analysis) {
    write("maps.safetensors", serialise_safetensors({{"map_tc", analysis.map_tc},
                                                     {"lift_tc", analysis.lift_tc},
                                                     {"shown_wc", analysis.shown_wc},
                                                     {"mass_t", analysis.mass_t}},
                                                    {{"gaze_maps", "1"}}));
  }

  void write(const std::string& file, const std::string& bytes) {
    staged_.write(file, bytes);
    sidecar_.files.push_back(file);
  }

  std::string publish() {
    sidecar_.files.emplace_back("request.json");
    staged_.write("request.json", write_json(sidecar_));
    return staged_.publish();
  }

  const BundleOptions& options_;
  const AttentionRecord& record_;
  files::StagedDirectory staged_;
  Sidecar sidecar_;
  std::string summary_file_;
  std::vector<std::string> word_files_;
};

// Runs `work`; what it throws comes out as gaze::Error.
template <typename Work>
auto with_reason(Work work) {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Error("rendering: not enough memory for the request's pictures.", DropReason::HostBudget);
  } catch (const c10::Error& error) {
    throw Error(std::string("rendering: ") + error.what_without_backtrace(), DropReason::RenderError);
  } catch (const std::exception& error) {
    throw Error(std::string("rendering: ") + error.what(), DropReason::RenderError);
  }
}

}  // namespace

struct BundleSink::Impl {
  BundleOptions options;
  std::function<void(const std::string&, const std::string&)> published;

  void announce(const AttentionRecord& record, const std::string& path) const {
    if (published) published(record.request_id, path);
  }
};

BundleSink::BundleSink(BundleOptions options) : impl_(std::make_unique<Impl>(Impl{std::move(options), {}})) {}
BundleSink::~BundleSink() = default;

void BundleSink::on_published(std::function<void(const std::string&, const std::string&)> callback) {
  impl_->published = std::move(callback);
}

void BundleSink::consume(const AttentionRecord& record) {
  std::string path;
  try {
    path = with_reason([&] { return Writer(impl_->options, record).publish_overlays(); });
  } catch (const Error& error) {
    if (cannot_write(error.reason())) throw;
    impl_->announce(record, Writer(impl_->options, record).publish_refusal(error.reason(), error.what()));
    throw;
  }
  impl_->announce(record, path);
}

}  // namespace gaze
