// SPDX-License-Identifier: MIT
// manifest.json: an in-toto statement of every file of a bundle, and of the bundle before it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ledger/signing.hpp"

namespace gaze::ledger {

constexpr const char* kManifestFile = "manifest.json";
constexpr const char* kEnvelopeFile = "manifest.dsse.json";
constexpr const char* kStatementType = "https://in-toto.io/Statement/v1";
constexpr const char* kPredicateType = "https://gaze.invalid/bundle/v1";
constexpr const char* kPayloadType = "application/vnd.in-toto+json";
constexpr size_t kMostManifestBytes = size_t{8} << 20;

struct Subject {
  std::string name, sha256;
};

struct Manifest {
  std::vector<Subject> subjects;    // every other file of the bundle but the envelope
  std::optional<int64_t> sequence;  // none: the bundle stands outside the chain
  std::string unchained;            // why, then
  std::string previous;             // SHA-256 of the manifest before; empty: the first
  std::string bundle;               // name of the folder
  std::string request_id_sha256, time, gaze_version;
  std::string host;
  int64_t pid = 0;
  std::string signer;  // id of the key; empty: not signed
};

std::string manifest_text(const Manifest& manifest);
/// nullopt for anything but what `manifest_text` writes.
std::optional<Manifest> parse_manifest(const std::string& text);

/// The DSSE envelope of a manifest.
std::string envelope_text(const std::string& manifest, const std::string& key_id, const std::string& signature);
/// The signature within an envelope of `manifest`; nullopt for any other text.
std::optional<std::string> signature_in(const std::string& envelope, const std::string& manifest,
                                        const std::string& key_id);

}  // namespace gaze::ledger
