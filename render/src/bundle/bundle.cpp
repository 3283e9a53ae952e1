// SPDX-License-Identifier: MIT
#include <gaze/render/bundle.hpp>
#include <gaze/render/digest.hpp>

#include <atomic>
#include <ctime>
#include <filesystem>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "base/files.hpp"
#include "bundle/renderers.hpp"
#include "ledger/keeper.hpp"
#include "parts/opencv_part.hpp"
#include "picture/compact_picture.hpp"

namespace gaze {
namespace {

/// Then there is no bundle either that could say so: it cannot be written, or nobody waits for it or wants it.
bool leaves_nothing(DropReason reason) {
  return reason == DropReason::Shutdown || reason == DropReason::NotKept || reason == DropReason::RedactionFailed ||
         reason == DropReason::OutDir || reason == DropReason::DiskFull || reason == DropReason::IoError ||
         reason == DropReason::Quota;
}

// Nobody said what the keys stand for, so every request would be refused alike: what says so once in the log is not
// repeated in a bundle for each.
void expect_geometry(const AttentionRecord& record) {
  if (!record.error.empty() || record.maps.empty()) return;
  const Geometry& geometry = record.maps.front().geometry();
  if (geometry.rows != 0 || geometry.cols != 0 || geometry.patch != 0 || geometry.time || geometry.thumbnail) return;
  throw Error(
      "geometry: expected what the keys stand for, got none from the profile or the request: nothing is drawn. Measure "
      "it: `gaze probe MODEL.pt --inputs inputs.pt --image-arg 0 --out profile.json`, and set "
      "GAZE_PROFILE=profile.json.",
      DropReason::GridMismatch);
}

// Files of one request on their way to disk.
class StagedArtifacts : public Artifacts {
 public:
  using Measured = std::function<bool(const AnswerFigures&)>;
  StagedArtifacts(const BundleOptions& options, const Measured& is_kept)
      : is_kept_(is_kept), staged_(options.out_dir, options.strict_out_dir) {}
  std::string publish(const AttentionRecord& record, ledger::Keeper& keeper, std::atomic<int64_t>& written) {
    manifest_.request_id_sha256 = sha256_of(record.request_id);
    manifest_.host = record.host;
    manifest_.pid = record.process;
    std::string path = keeper.publish(staged_, std::move(manifest_), bytes_, std::time(nullptr));
    written.fetch_add(bytes_, std::memory_order_relaxed);
    return path;
  }

  void measured(const AnswerFigures& figures) override {
    if (is_kept_ && !is_kept_(figures)) throw Error("an answer that nobody asked to keep.", DropReason::NotKept);
  }

 private:
  void take(const std::string& name, std::string_view bytes) override {
    for (size_t end = name.find('/'); end != std::string::npos; end = name.find('/', end + 1)) {
      if (folders_.insert(name.substr(0, end)).second) staged_.make_subdirectory(name.substr(0, end));
    }
    staged_.write(name, bytes);
    manifest_.subjects.push_back({name, sha256_of(bytes)});
    bytes_ += static_cast<int64_t>(bytes.size());
  }

  const Measured& is_kept_;
  files::StagedDirectory staged_;
  std::set<std::string> folders_;
  ledger::Manifest manifest_;
  int64_t bytes_ = 0;
};

// A host may change its directory later; an empty path is refused when it is opened.
std::string absolute(const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  std::error_code failed;
  const std::filesystem::path whole = std::filesystem::absolute(path, failed);
  return failed ? path : whole.lexically_normal().string();
}

BundleOptions with_absolute_path(BundleOptions options) {
  options.out_dir = absolute(options.out_dir);
  return options;
}

// What a directory that cannot be read means the record itself will say.
void tidy_or_later(ledger::Keeper& keeper) {
  try {
    keeper.tidy(std::time(nullptr));
  } catch (const Error& error) {
    if (error.reason() == DropReason::Shutdown) throw;
  }
}

std::shared_ptr<const ledger::Key> key_of(const BundleOptions& options) {
  return options.signing_key.empty() ? nullptr : ledger::Key::read_private(options.signing_key);
}

}  // namespace

struct BundleSink::Impl {
  Impl(BundleOptions given, std::shared_ptr<FrameRing> given_ring)
      : options(with_absolute_path(std::move(given))),
        ring(std::move(given_ring)),
        keeper(options.out_dir, options.strict_out_dir, options.quota, key_of(options)) {}

  BundleOptions options;
  std::shared_ptr<FrameRing> ring;
  std::function<void(const std::string&, const std::string&)> published;
  StagedArtifacts::Measured is_kept;
  std::atomic<int64_t> bytes_written{0};
  PageMemory pages;
  ledger::Keeper keeper;
  std::once_flag swept;

  [[nodiscard]] std::shared_ptr<FrameRing> ring_for(const AttentionRecord& record) const {
    return ring ? ring : FrameRing::of(record.device());
  }

  void announce(const AttentionRecord& record, const std::string& path) const {
    if (published) published(record.request_id, path);
  }
};

BundleSink::BundleSink(BundleOptions options, std::shared_ptr<FrameRing> ring)
    : impl_(new Impl(std::move(options), std::move(ring))) {
  if (impl_->options.delivery == Delivery::Frame) open_opencv_part();
}
BundleSink::~BundleSink() = default;

void BundleSink::on_published(std::function<void(const std::string&, const std::string&)> callback) {
  impl_->published = std::move(callback);
}

void BundleSink::on_measured(std::function<bool(const AnswerFigures&)> callback) {
  impl_->is_kept = std::move(callback);
}

int64_t BundleSink::bytes_written() const noexcept { return impl_->bytes_written.load(std::memory_order_relaxed); }

void BundleSink::prepare(at::Device device) {
  if (impl_->options.delivery != Delivery::Frame || impl_->options.longest_side_pixels <= 0) return;
  const std::shared_ptr<FrameRing> ring = impl_->ring ? impl_->ring : FrameRing::of(device);
  ring->prepare(impl_->options.longest_side_pixels, impl_->options.longest_side_pixels);
}

void BundleSink::tidy() { impl_->keeper.tidy(std::time(nullptr)); }

void BundleSink::compact(AttentionRecord& record) {
  if (impl_->options.format != ImageFormat::Jpeg) return;  // the others are drawn to the bit
  for (MediumMap& map : record.maps) {
    if (auto* medium = std::get_if<PictureMedium>(&map.medium))
      compact_picture(impl_->options.longest_side_pixels, *medium);
  }
}

void BundleSink::consume(const AttentionRecord& record) {
  const BundleOptions& options = impl_->options;
  expect_geometry(record);
  std::call_once(impl_->swept, [&] {
    files::remove_leftovers(options.out_dir, options.strict_out_dir);
    tidy_or_later(impl_->keeper);
  });
  impl_->keeper.expect_room(std::time(nullptr));
  const std::shared_ptr<FrameRing> ring = with_reason([&] { return impl_->ring_for(record); });
  std::string path;
  try {
    path = with_reason([&] {
      StagedArtifacts artifacts(options, impl_->is_kept);
      render_record(record, options, *ring, impl_->pages, artifacts);
      return artifacts.publish(record, impl_->keeper, impl_->bytes_written);
    });
  } catch (const Error& error) {
    if (leaves_nothing(error.reason())) throw;
    StagedArtifacts artifacts(options, impl_->is_kept);
    render_refusal(record, error.reason(), error.what(), *ring, artifacts);
    impl_->announce(record, artifacts.publish(record, impl_->keeper, impl_->bytes_written));
    throw;
  }
  impl_->announce(record, path);
}

}  // namespace gaze
