// SPDX-License-Identifier: MIT
// A directory of small bundles, written without drawing anything.
#pragma once

#include <gaze/render/digest.hpp>
#include <gaze/render/ledger.hpp>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ledger/keeper.hpp"
#include "records.hpp"

namespace gaze::test {

constexpr int64_t kPictureBytes = 1000;

/// Publishes bundles of a picture, a word's picture and request.json.
class Bundles {
 public:
  explicit Bundles(std::string out_dir, Quota quota = {}, std::shared_ptr<const ledger::Key> key = nullptr)
      : out_dir_(std::move(out_dir)), keeper_(out_dir_, false, quota, std::move(key)) {}

  /// @return the folder's name
  std::string put(const std::string& id = "7", std::time_t now = std::time(nullptr)) {
    files::StagedDirectory staged(out_dir_, false);
    ledger::Manifest manifest;
    int64_t bytes = 0;
    const auto write = [&](const std::string& name, const std::string& text) {
      staged.write(name, text);
      manifest.subjects.push_back({name, sha256_of(text)});
      bytes += static_cast<int64_t>(text.size());
    };
    staged.make_subdirectory("words");
    write("overlay.jpg", std::string(kPictureBytes, 'p'));
    write("words/01-red.jpg", "a word's");
    write("request.json", R"({"gaze_request": 1, "request_id": ")" + id +
                              R"(", "files": ["overlay.jpg", "words/01-red.jpg", "request.json"]})");
    manifest.request_id_sha256 = sha256_of(id);
    const std::string path = keeper_.publish(staged, std::move(manifest), bytes, now);
    return path.substr(path.rfind('/') + 1);
  }
  ledger::Keeper& keeper() { return keeper_; }

 private:
  std::string out_dir_;
  ledger::Keeper keeper_;
};

/// Folders of bundles, sorted.
inline std::vector<std::string> bundles_in(const std::string& out_dir) {
  std::vector<std::string> names;
  for (const std::string& name : list(out_dir)) {
    if (std::isdigit(static_cast<unsigned char>(name.front())) != 0) names.push_back(name);
  }
  return names;
}

/// What does not hold: "kind bundle" of each finding, sorted.
inline std::vector<std::string> found_wrong(const std::string& out_dir, const std::string& public_key = {}) {
  std::vector<std::string> found;
  VerifyOptions options;
  options.public_key = public_key;
  options.on_finding = [&](const Finding& finding) {
    CATCH_INFO(finding.bundle << " " << finding.text);
    found.push_back(finding.kind + (finding.bundle.empty() ? "" : " " + finding.bundle));
  };
  const Verification sum = verify_bundles(out_dir, options);
  CATCH_CHECK(sum.findings == static_cast<int64_t>(found.size()));
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace gaze::test
