// SPDX-License-Identifier: MIT
#include <unistd.h>
#include <gaze/render/digest.hpp>
#include <gaze/render/ledger.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <set>
#include <utility>

#include "ledger/bundle_folder.hpp"
#include "ledger/deletions.hpp"
#include "ledger/links.hpp"
#include "ledger/manifest.hpp"

namespace gaze {
namespace {

using namespace ledger;

constexpr int kVerifyTries = 2000;  // 0.5 ms apart
constexpr size_t kMostEnvelopeBytes = 2 * kMostManifestBytes;

// Empty: it cannot be read.
std::string sha256_inside(int folder, const std::string& path) {
  const files::Descriptor file = files::open_file_inside(folder, path);
  if (file.get() < 0) return {};
  Digest digest;
  std::array<char, 65536> block{};
  for (ssize_t count = 1; count != 0;) {
    count = ::read(file.get(), block.data(), block.size());
    if (count < 0 && errno != EINTR) return {};
    if (count > 0) digest.add(block.data(), static_cast<size_t>(count));
  }
  return digest.hex();
}

class Verifier {
 public:
  Verifier(const std::string& out_dir, const VerifyOptions& options)
      : out_dir_(out_dir),
        options_(options),
        key_(options.public_key.empty() ? nullptr : Key::read_public(options.public_key)),
        root_(files::open_existing(out_dir, options.strict_out_dir)) {
    if (root_.get() < 0)
      throw Error("output " + out_dir + ": expected a directory of bundles, found none that can be opened.",
                  DropReason::OutDir);
  }

  Verification run() {
    look_once();
    for (const std::string& name : names_) {
      check_bundle(name);
      if (options_.progress) options_.progress(++shown_, static_cast<int64_t>(names_.size()));
    }
    if (head_ && head_->last.sequence == 0 && !places_.empty()) {
      tell({"", "damaged", "chain.json is gone"});
      head_.reset();
    }
    check_deletions();
    for (const std::string& name : gone_)
      tell({name, "missing", "went while it was read, and deleted.jsonl does not say why"});
    check_links(std::move(places_), head_, [this](const Finding& finding) { tell(finding); });
    result_.proven = result_.bundles - static_cast<int64_t>(faulty_.size());
    return result_;
  }

 private:
  void tell(const Finding& finding) {
    ++result_.findings;
    if (!finding.bundle.empty() && std::binary_search(names_.begin(), names_.end(), finding.bundle))
      faulty_.insert(finding.bundle);
    if (options_.on_finding) options_.on_finding(finding);
  }

  // Names and head of one moment, where the lock can be had.
  void look_once() {
    const ChainLock lock(root_.get(), kVerifyTries, false);
    head_ = read_head(root_.get());
    names_ = bundle_names(root_.get(), 0, out_dir_);
    result_.bundles = static_cast<int64_t>(names_.size());
    if (!head_) return tell({"", "damaged", "chain.json is damaged, or cannot be read"});
    head_->settle(root_.get());
    result_.sequence = head_->last.sequence;
    result_.last_manifest = head_->last.manifest;
  }

  void check_bundle(const std::string& name) {
    const files::Descriptor folder = files::open_inside(root_.get(), name);
    if (folder.get() < 0) {
      if (errno == ENOENT) {
        gone_.insert(name);
      } else {
        tell({name, "damaged", "is no folder that can be opened"});
      }
      return;
    }
    const auto text = files::read_inside(folder.get(), kManifestFile, kMostManifestBytes);
    if (!text && !files::is_named(root_.get(), name, folder.get())) {
      gone_.insert(name);
      return;
    }
    if (!text) return tell({name, "missing", "has no manifest.json, so nothing in it is proved"});
    const auto manifest = parse_manifest(*text);
    if (!manifest) return tell({name, "changed", "manifest.json is not as it was written"});
    if (manifest->bundle != name) tell({name, "moved", "its manifest.json is that of the bundle " + manifest->bundle});
    check_files(name, folder.get(), *manifest);
    check_signature(name, folder.get(), *manifest, *text);
    if (manifest->sequence) {
      places_.push_back({{*manifest->sequence, sha256_of(*text), name}, manifest->previous});
    } else {
      tell({name, "unchained", "stands outside the chain: " + manifest->unchained});
    }
  }

  void check_files(const std::string& name, int folder, const Manifest& manifest) {
    std::set<std::string> expected = {kManifestFile};
    if (!manifest.signer.empty()) expected.insert(kEnvelopeFile);
    for (const Subject& subject : manifest.subjects) {
      expected.insert(subject.name);
      const std::string found = sha256_inside(folder, subject.name);
      if (found.empty()) {
        tell({name, "missing", subject.name + " is gone, or cannot be read"});
      } else if (found != subject.sha256) {
        tell({name, "changed", subject.name + " is not as it was written"});
      }
    }
    const auto tree = files::tree_of(folder, files::Owner::Any);
    if (!tree) return tell({name, "added", "holds a link, a mount, or what is neither file nor folder"});
    for (const std::string& file : tree->files) {
      if (expected.count(file) == 0) tell({name, "added", file + " was not written with it"});
    }
    for (const std::string& inner : tree->folders) {
      const auto within = expected.lower_bound(inner + "/");
      if (within == expected.end() || !within->starts_with(inner + "/"))
        tell({name, "added", inner + " was not written with it"});
    }
  }

  void check_signature(const std::string& name, int folder, const Manifest& manifest, const std::string& text) {
    if (manifest.signer.empty()) {
      if (key_) tell({name, "signature", "is not signed"});
      return;
    }
    const auto envelope = files::read_inside(folder, kEnvelopeFile, kMostEnvelopeBytes);
    if (!envelope) return tell({name, "signature", "has no manifest.dsse.json, though it was signed"});
    const auto signature = signature_in(*envelope, text, manifest.signer);
    if (!signature) return tell({name, "signature", "manifest.dsse.json is not the envelope of its manifest.json"});
    ++result_.signed_bundles;
    if (!key_) return;
    if (manifest.signer != key_->id()) {
      tell({name, "signature", "is signed with another key, " + manifest.signer});
    } else if (!key_->verifies(kPayloadType, text, *signature)) {
      tell({name, "signature", "the signature is not that of this key"});
    }
  }

  void check_deletions() {
    std::string before;
    int64_t number = 0;
    bool behind = false;  // the lines that stand for others
    bool head_seen = !head_ || head_->deleted.empty();
    const bool readable =
        each_deletion(root_.get(), [&](const std::optional<DeletionLine>& line, const std::string& hash) {
          const std::string where = "line " + std::to_string(++number) + " of deleted.jsonl ";
          head_seen = head_seen || head_->deleted == hash;
          if (!line) {
            tell({"", "changed", where + "is not as it was written"});
          } else {
            if (line->before != before) tell({"", "order", where + "does not follow the line before"});
            check_line_signature(*line, where);
            if (line->fold) {
              if (behind) tell({"", "order", where + "stands for others, and comes behind one that does not"});
              head_seen = head_seen || head_->deleted == line->fold->was;
              take_fold(*line->fold);
            } else {
              behind = true;
              take_deletion(line->deletion);
            }
          }
          before = hash;
        });
    if (!readable) tell({"", "damaged", "deleted.jsonl cannot be read"});
    if (!head_seen) tell({"", "changed", "deleted.jsonl lacks the line that chain.json names as its last"});
  }

  void check_line_signature(const DeletionLine& line, const std::string& where) {
    if (!key_) return;
    if (line.signature.empty()) {
      tell({"", "signature", where + "is not signed"});
    } else if (line.key != key_->id() || !key_->verifies(kDeletionType, line.signed_as, line.signature)) {
      tell({"", "signature", where + "is not signed with this key"});
    }
  }

  void take_fold(const Fold& fold) {
    if (fold.through > 0) {
      places_.push_back({{fold.through, fold.manifest, ""}, fold.previous, Place::Of::Folded, fold.from});
      result_.deleted += fold.through - fold.from + 1;
    }
    if (fold.time >= begun_) gone_.clear();  // it was folded meanwhile, and they with it
  }

  void take_deletion(const Deletion& deletion) {
    gone_.erase(deletion.bundle);
    if (!deletion.sequence || (head_ && *deletion.sequence > head_->last.sequence)) return;
    // A process that was killed may have told it twice, or told of what is there still.
    const bool there = std::binary_search(names_.begin(), names_.end(), deletion.bundle);
    if (!there && told_.insert(*deletion.sequence).second) ++result_.deleted;
    places_.push_back(
        {{*deletion.sequence, deletion.manifest, deletion.bundle}, deletion.previous, Place::Of::Deletion});
  }

  const std::string& out_dir_;
  const VerifyOptions& options_;
  std::shared_ptr<const Key> key_;
  files::Descriptor root_;
  std::optional<Head> head_;
  std::vector<std::string> names_;
  std::set<std::string> gone_, faulty_;
  std::set<int64_t> told_;
  std::vector<Place> places_;
  const std::string begun_ = utc_time(std::time(nullptr));
  Verification result_;
  int64_t shown_ = 0;
};

}  // namespace

Verification verify_bundles(const std::string& out_dir, const VerifyOptions& options) {
  return Verifier(out_dir, options).run();
}

}  // namespace gaze
