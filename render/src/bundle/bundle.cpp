// SPDX-License-Identifier: MIT
#include <c10/util/Exception.h>
#include <gaze/render/bundle.hpp>

#include <chrono>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <utility>

#include "bundle/bundle_files.hpp"
#include "bundle/sound_bundle.hpp"
#include "codecs/image_codec.hpp"
#include "codecs/safetensors.hpp"
#include "device/device_event.hpp"
#include "device/frame_pipeline.hpp"
#include "maps/map_analysis.hpp"
#include "maps/side_stream.hpp"
#include "page/page_memory.hpp"
#include "parts/opencv_part.hpp"
#include "picture/sheet.hpp"

namespace gaze {
namespace {

/// Then there is no bundle either that could say so: it cannot be written, or nobody waits for it.
bool leaves_nothing(DropReason reason) {
  return reason == DropReason::Shutdown || reason == DropReason::OutDir || reason == DropReason::DiskFull ||
         reason == DropReason::IoError;
}

// The record's numbers in host memory: the map by itself, the rest in one piece.
AttentionRecord bring_back(const AttentionRecord& record, const ops::Route& route) {
  if (!route.crosses) return record;
  AttentionRecord host = record;
  host.map_tc = fetch(record.map_tc, route, ops::Cargo::Map);
  const at::Tensor figures = fetch(pack({record.mass_t, record.visible_t, record.flags_t}), route, ops::Cargo::Figures);
  const at::Tensor rows_nt = figures.view({3, host.map_tc.size(0)});
  host.mass_t = rows_nt[0];
  host.visible_t = rows_nt[1];
  host.flags_t = rows_nt[2];
  return host;
}

// One request on its way to disk.
class Writer {
 public:
  Writer(const BundleOptions& options, const AttentionRecord& record)
      : options_(options), record_(record), parts_(options, record) {}

  std::string publish_overlays(FrameRing& ring, PageMemory& pages) {
    const auto start = std::chrono::steady_clock::now();
    const SideStream side(ring.stream(), record_);
    check_record(record_, ring.route());
    if (record_.geometry.time) {
      write_sound(record_, options_, ring, pages, parts_);
    } else if (options_.delivery == Delivery::Frame) {
      draw(ring, pages);
    } else {
      tell(ring.route());
    }
    parts_.sidecar.render_ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    return publish();
  }

  std::string publish_refusal(FrameRing& ring, DropReason reason, const std::string& message) {
    parts_.sidecar.error_reason = name(reason);
    parts_.sidecar.error_message = message.empty() ? "unknown failure" : message;
    try {
      const SideStream side(ring.stream(), record_);
      parts_.sidecar.tokens = token_facts(record_, ring.route());
    } catch (const c10::Error&) {  // a device that failed must not hide that it did
    }
    return publish();
  }

 private:
  // Everything stays on the device but the figures and finished frames.
  void draw(FrameRing& ring, PageMemory& pages) {
    const ops::Route& route = ring.route();
    const PlacedPicture placed = place_picture(record_, route);
    const Underlay underlay = placed.underlay();
    const Analysis analysis = analyse(record_, route, &underlay);
    FramePipeline frames(ring);
    const at::Tensor base_hwc = ops::to_device(placed.base.rgb_hwc, route, ops::Cargo::Picture);
    const auto add = [&](const std::string& file, const MapView& map) {
      frames.add(
          placed.placement.height, placed.placement.width,
          [&](at::Tensor& rgb_hwc) { paint(base_hwc, map, placed.placement, record_.style, rgb_hwc); },
          [this, file](const at::Tensor& rgb_hwc) { parts_.write(file, encode_image(rgb_hwc, options_.format)); });
    };
    const std::string summary_file = picture_file("overlay", options_.format);
    add(summary_file, summary_view(analysis));
    if (!analysis.words.empty()) parts_.staged.make_subdirectory("words");
    std::vector<std::string> word_files;
    for (size_t w = 0; w < analysis.words.size(); ++w) {
      word_files.push_back(word_file(w, analysis.words[w].word, options_.format));
      add(word_files.back(), word_view(analysis, w));
    }
    const at::Tensor sheet_hwc = draw_sheet(record_, analysis, placed, frames, pages);
    parts_.write(picture_file("sheet", options_.format), encode_image(sheet_hwc, options_.format));
    note(analysis, &placed, summary_file, word_files);
    if (options_.maps) {
      write_maps(route.crosses ? analyse(bring_back(record_, route), ops::Route(), nullptr) : analysis);
    }
  }

  // Maps alone: they come back once, and all else is computed from them here.
  void tell(const ops::Route& route) {
    std::optional<PlacedPicture> placed;
    if (!record_.picture.empty()) placed = place_picture(record_, route);
    if (placed && placed->base.range.defined()) {
      placed->base.range = fetch(placed->base.range, route, ops::Cargo::Figures);
    }
    std::optional<Underlay> underlay;
    if (placed) underlay.emplace(placed->underlay());
    const Analysis analysis = analyse(bring_back(record_, route), ops::Route(), underlay ? &*underlay : nullptr);
    note(analysis, placed ? &*placed : nullptr, "", std::vector<std::string>(analysis.words.size()));
    write_maps(analysis);
  }

  void note(const Analysis& analysis, const PlacedPicture* placed, const std::string& summary_file,
            const std::vector<std::string>& word_files) {
    parts_.sidecar.measured = true;
    parts_.sidecar.tokens = analysis.tokens;
    parts_.sidecar.range_max_lift = analysis.range_max_lift;
    parts_.sidecar.sinks_subtracted = analysis.sinks_subtracted;
    parts_.sidecar.mass_is_exact = analysis.mass_is_exact;
    if (placed != nullptr) {
      parts_.sidecar.width = placed->placement.width;
      parts_.sidecar.height = placed->placement.height;
    }
    parts_.sidecar.summary = {analysis.summary, summary_file};
    for (size_t w = 0; w < analysis.words.size(); ++w) {
      parts_.sidecar.words.push_back({analysis.words[w], word_files[w]});
    }
  }

  void write_maps(const Analysis& analysis) {
    parts_.write("maps.safetensors", serialise_safetensors({{"map_tc", analysis.map_tc},
                                                            {"lift_tc", analysis.lift_tc},
                                                            {"shown_wc", analysis.shown_wc()},
                                                            {"mass_t", analysis.mass_t}},
                                                           {{"gaze_maps", "1"}}));
  }

  std::string publish() {
    parts_.sidecar.files.emplace_back("request.json");
    parts_.staged.write("request.json", write_json(parts_.sidecar));
    return parts_.staged.publish();
  }

  const BundleOptions& options_;
  const AttentionRecord& record_;
  BundleFiles parts_;
};

// Runs `work`; what it throws comes out as gaze::Error.
template <typename Work>
auto with_reason(Work work) {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (...) {
    char text[2048];
    text_of_current_exception(text, sizeof text);
    throw Error(std::string("rendering: ") + text, reason_of_current_exception(DropReason::RenderError));
  }
}

// A host may change its directory later; an empty path is refused when it is opened.
std::string absolute(const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  std::error_code failed;
  const std::filesystem::path whole = std::filesystem::absolute(path, failed);
  return failed ? path : whole.lexically_normal().string();
}

}  // namespace

struct BundleSink::Impl {
  BundleOptions options;
  std::shared_ptr<FrameRing> ring;
  std::function<void(const std::string&, const std::string&)> published;
  PageMemory pages;
  std::once_flag swept;

  [[nodiscard]] std::shared_ptr<FrameRing> ring_for(const AttentionRecord& record) const {
    return ring ? ring : FrameRing::of(record.map_tc.defined() ? record.map_tc.device() : at::Device(at::kCPU));
  }

  void announce(const AttentionRecord& record, const std::string& path) const {
    if (published) published(record.request_id, path);
  }
};

BundleSink::BundleSink(BundleOptions options, std::shared_ptr<FrameRing> ring)
    : impl_(new Impl{std::move(options), std::move(ring), {}, {}, {}}) {
  impl_->options.out_dir = absolute(impl_->options.out_dir);
  if (impl_->options.delivery == Delivery::Frame) open_opencv_part();
}
BundleSink::~BundleSink() = default;

void BundleSink::on_published(std::function<void(const std::string&, const std::string&)> callback) {
  impl_->published = std::move(callback);
}

void BundleSink::consume(const AttentionRecord& record) {
  const BundleOptions& options = impl_->options;
  std::call_once(impl_->swept, [&] { files::remove_leftovers(options.out_dir, options.strict_out_dir); });
  const std::shared_ptr<FrameRing> ring = with_reason([&] { return impl_->ring_for(record); });
  std::string path;
  try {
    path = with_reason([&] { return Writer(options, record).publish_overlays(*ring, impl_->pages); });
  } catch (const Error& error) {
    if (leaves_nothing(error.reason())) throw;
    impl_->announce(record, Writer(options, record).publish_refusal(*ring, error.reason(), error.what()));
    throw;
  }
  impl_->announce(record, path);
}

}  // namespace gaze
