// SPDX-License-Identifier: MIT
#include "ledger/manifest.hpp"

#include "base/base64.hpp"
#include "base/json_text.hpp"
#include "base/json_value.hpp"

namespace gaze::ledger {
namespace {

bool read_subjects(const JsonValue& root, std::vector<Subject>& subjects) {
  const JsonValue* list = root.find("subject");
  if (list == nullptr || list->kind != JsonValue::Kind::Array) return false;
  for (const JsonValue& entry : list->values) {
    const JsonValue* digest = entry.find("digest");
    if (digest == nullptr) return false;
    subjects.push_back({entry.text_at("name"), digest->text_at("sha256")});
  }
  return true;
}

}  // namespace

std::string manifest_text(const Manifest& manifest) {
  JsonText subjects = JsonText::array();
  for (const Subject& subject : manifest.subjects)
    subjects.push_back({{"name", subject.name}, {"digest", {{"sha256", subject.sha256}}}});
  JsonText predicate = JsonText::object();
  predicate["sequence"] = manifest.sequence ? JsonText(*manifest.sequence) : JsonText(nullptr);
  predicate["unchained"] = text_or_null(manifest.unchained);
  predicate["previous"] = text_or_null(manifest.previous);
  predicate["bundle"] = manifest.bundle;
  predicate["request_id_sha256"] = manifest.request_id_sha256;
  predicate["time"] = manifest.time;
  predicate["gaze_version"] = manifest.gaze_version;
  predicate["writer"] = {{"host", manifest.host}, {"pid", manifest.pid}};
  predicate["signer"] = text_or_null(manifest.signer);
  JsonText root = JsonText::object();
  root["_type"] = kStatementType;
  root["subject"] = std::move(subjects);
  root["predicateType"] = kPredicateType;
  root["predicate"] = std::move(predicate);
  return root.dump(1) + "\n";
}

std::optional<Manifest> parse_manifest(const std::string& text) {
  const auto root = read_json(text);
  if (!root || root->text_at("_type") != kStatementType || root->text_at("predicateType") != kPredicateType)
    return std::nullopt;
  const JsonValue* predicate = root->find("predicate");
  const JsonValue* writer = predicate == nullptr ? nullptr : predicate->find("writer");
  Manifest manifest;
  if (writer == nullptr || !read_subjects(*root, manifest.subjects)) return std::nullopt;
  manifest.sequence = predicate->whole_at("sequence");
  manifest.unchained = predicate->text_at("unchained");
  manifest.previous = predicate->text_at("previous");
  manifest.bundle = predicate->text_at("bundle");
  manifest.request_id_sha256 = predicate->text_at("request_id_sha256");
  manifest.time = predicate->text_at("time");
  manifest.gaze_version = predicate->text_at("gaze_version");
  manifest.host = writer->text_at("host");
  manifest.pid = writer->whole_at("pid").value_or(0);
  manifest.signer = predicate->text_at("signer");
  // What says more, or says it twice, is not believed.
  return manifest_text(manifest) == text ? std::optional(std::move(manifest)) : std::nullopt;
}

std::string envelope_text(const std::string& manifest, const std::string& key_id, const std::string& signature) {
  JsonText root = JsonText::object();
  root["payload"] = base64(manifest);
  root["payloadType"] = kPayloadType;
  root["signatures"] = JsonText::array();
  root["signatures"].push_back({{"keyid", key_id}, {"sig", signature}});
  return root.dump(1) + "\n";
}

std::optional<std::string> signature_in(const std::string& envelope, const std::string& manifest,
                                        const std::string& key_id) {
  const auto root = read_json(envelope);
  const JsonValue* list = root ? root->find("signatures") : nullptr;
  if (list == nullptr || list->values.size() != 1) return std::nullopt;
  std::string signature = list->values.front().text_at("sig");
  if (envelope_text(manifest, key_id, signature) != envelope) return std::nullopt;
  return signature;
}

}  // namespace gaze::ledger
