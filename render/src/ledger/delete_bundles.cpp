// SPDX-License-Identifier: MIT
// Deletions that somebody asked for.
#include <gaze/render/ledger.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <utility>

#include "base/json_text.hpp"
#include "base/json_value.hpp"
#include "ledger/bundle_folder.hpp"

namespace gaze {
namespace {

using ledger::Head;

constexpr int kDeleteTries = 20'000;  // 0.5 ms apart

/// One directory that bundles are deleted from, one lock for each.
class Deleter {
 public:
  Deleter(const std::string& out_dir, const DeleteOptions& options, std::string reason)
      : out_dir_(out_dir),
        options_(options),
        root_(files::open_existing(out_dir, options.strict_out_dir)),
        key_(options.signing_key.empty() ? nullptr : ledger::Key::read_private(options.signing_key)),
        reason_(std::move(reason)) {
    if (root_.get() < 0)
      throw Error("output " + out_dir + ": expected a directory of bundles, found none that can be opened.",
                  DropReason::OutDir);
    names_ = ledger::bundle_names(root_.get(), 0, out_dir);
  }

  [[nodiscard]] int root() const { return root_.get(); }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] std::time_t now() const { return options_.now != 0 ? options_.now : std::time(nullptr); }

  void show(size_t done) const {
    if (options_.progress) options_.progress(static_cast<int64_t>(done), static_cast<int64_t>(names_.size()));
  }

  /// @return whether it went
  bool remove(const std::string& name, Deleted& result) const {
    const ledger::ChainLock lock(root(), options_.dry_run ? 0 : kDeleteTries);
    if (!options_.dry_run && !lock.held() && !lock.unknown())
      throw Error("output " + out_dir_ + ": expected the lock " + ledger::kLockFile +
                      " within 10 s, another process holds it, or another user owns it.",
                  DropReason::IoError);
    std::optional<Head> head = ledger::read_head(root());
    if (!head && !options_.dry_run)
      throw Error("output " + out_dir_ +
                      ": chain.json is damaged, so nothing is deleted. `gaze verify` says more; move "
                      "the directory aside to begin a new chain.",
                  DropReason::IoError);
    if (head && !options_.dry_run) head->settle(root());
    Head none;
    const ledger::Remover remover{root(), out_dir_, key_.get(), now(), reason_, options_.dry_run};
    const ledger::Removal removal = remover.remove(name, head ? *head : none);
    if (removal.gone) {
      result.names.push_back(name);
      result.bytes += removal.bytes;
    } else {
      result.kept.push_back({name, removal.why_kept});
    }
    return removal.gone;
  }

 private:
  std::string out_dir_;
  const DeleteOptions& options_;
  files::Descriptor root_;
  std::shared_ptr<const ledger::Key> key_;
  std::string reason_;
  std::vector<std::string> names_;
};

}  // namespace

Deleted purge_bundles(const std::string& out_dir, const Quota& limits, const DeleteOptions& options) {
  const Deleter deleter(out_dir, options, "purge");
  Deleted result;
  std::vector<int64_t> bytes;
  for (const std::string& name : deleter.names()) {
    bytes.push_back(ledger::bundle_bytes(deleter.root(), name));
    result.left_bytes += std::max<int64_t>(0, bytes.back());
    deleter.show(bytes.size());
  }
  result.left_bundles = static_cast<int64_t>(bytes.size());
  const auto free_now = [&] { return ledger::free_bytes(deleter.root()) + (options.dry_run ? result.bytes : 0); };
  const auto is_over = [&](const std::string* oldest) {
    const bool old =
        limits.age_seconds > 0 && oldest != nullptr && ledger::time_of(*oldest) < deleter.now() - limits.age_seconds;
    return old || (limits.bytes > 0 && result.left_bytes > limits.bytes) ||
           (limits.free_bytes > 0 && free_now() < limits.free_bytes);
  };
  for (size_t i = 0; i < bytes.size() && is_over(&deleter.names()[i]); ++i) {
    if (!deleter.remove(deleter.names()[i], result)) continue;
    result.left_bytes -= std::max<int64_t>(0, bytes[i]);
    --result.left_bundles;
  }
  result.within = !is_over(nullptr);
  return result;
}

Deleted forget_request(const std::string& out_dir, const std::string& request_id, const DeleteOptions& options) {
  const Deleter deleter(out_dir, options, "forget");
  Deleted result;
  // As request.json holds it: bytes that are no UTF-8 were replaced.
  const auto sought = read_json(JsonText(request_id).dump(-1));
  size_t done = 0;
  for (const std::string& name : deleter.names()) {
    deleter.show(++done);
    const files::Descriptor folder = files::open_inside(deleter.root(), name);
    const auto text =
        folder.get() < 0 ? std::nullopt : files::read_inside(folder.get(), "request.json", ledger::kMostRequestBytes);
    const auto request = text ? read_json(*text) : std::nullopt;
    if (!request) {
      ++result.left_bundles;
      result.kept.push_back({name, "its request.json cannot be read, so whose it is cannot be told"});
    } else if (request->text_at("request_id") != sought.value_or(JsonValue()).text || !deleter.remove(name, result)) {
      ++result.left_bundles;
    }
  }
  return result;
}

}  // namespace gaze
