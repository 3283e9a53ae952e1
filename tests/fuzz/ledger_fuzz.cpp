// SPDX-License-Identifier: MIT
// Manifests, envelopes and heads of any text: what is read is what would be written, and nothing else is read.
#include <string>

#include "base/json_value.hpp"
#include "fuzz.hpp"
#include "ledger/chain.hpp"
#include "ledger/manifest.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gaze::ledger;
  gaze::fuzz::Bytes bytes(data, size);
  const std::string all(reinterpret_cast<const char*>(data), size);
  if (const auto manifest = parse_manifest(all)) {
    const std::string text = manifest_text(*manifest);
    const auto again = parse_manifest(text);
    GAZE_HOLDS(again && manifest_text(*again) == text);
  }
  if (const auto head = parse_head(all)) {
    const std::string text = head_text(*head);
    const auto again = parse_head(text);
    GAZE_HOLDS(again && head_text(*again) == text);
  }
  // Of values that a host may give: anything.
  Manifest made;
  made.subjects = {{bytes.text(), bytes.text()}};
  if (const int64_t sequence = bytes.between(0, 100); sequence > 0) made.sequence = sequence;
  made.unchained = bytes.text();
  made.previous = bytes.text();
  made.bundle = bytes.text();
  made.host = bytes.text();
  made.pid = bytes.take<int64_t>();
  made.signer = bytes.text();
  const std::string text = manifest_text(made);
  GAZE_HOLDS(text.find('\0') == std::string::npos);
  if (const auto read = parse_manifest(text)) GAZE_HOLDS(manifest_text(*read) == text);
  const std::string envelope = envelope_text(text, made.signer, "c2ln");
  if (const auto signature = signature_in(envelope, text, made.signer)) GAZE_HOLDS(*signature == "c2ln");
  static_cast<void>(signature_in(all, text, made.signer));
  return 0;
}
