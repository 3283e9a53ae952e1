// SPDX-License-Identifier: MIT
#include <gaze/render/record.hpp>

#include <utility>

namespace gaze {
namespace {

at::Tensor content_of(const PictureMedium& medium) { return medium.picture.tensor; }
at::Tensor content_of(const SoundMedium& medium) { return medium.sound.samples; }
at::Tensor content_of(const TextMedium& medium) { return medium.ids_k; }

size_t encoded_bytes(const PictureMedium& medium) { return medium.picture.encoded.size(); }
size_t encoded_bytes(const SoundMedium&) { return 0; }
size_t encoded_bytes(const TextMedium& medium) {
  const Text& text = medium.text;
  size_t bytes = text.text.size() + text.ids.size() * sizeof(int64_t);
  for (const std::string& token : text.tokens) bytes += token.size();
  for (const TextSource& source : text.sources) bytes += sizeof source + source.id.size();
  return bytes;
}

const char* noun_of(const PictureMedium&) { return "picture"; }
const char* noun_of(const SoundMedium&) { return "sound"; }
const char* noun_of(const TextMedium&) { return "text"; }

}  // namespace

Medium medium_of(Geometry geometry) {
  if (geometry.time) return SoundMedium{std::move(geometry), {}, {}};
  if (geometry.text) {
    TextMedium text;
    text.geometry = std::move(geometry);
    return text;
  }
  return PictureMedium{std::move(geometry), {}};
}

const char* noun(const Medium& medium) noexcept {
  return std::visit([](const auto& of) { return noun_of(of); }, medium);
}

const Geometry& MediumMap::geometry() const {
  return std::visit([](const auto& of) -> const Geometry& { return of.geometry; }, medium);
}

Geometry& MediumMap::geometry() {
  return std::visit([](auto& of) -> Geometry& { return of.geometry; }, medium);
}

int64_t MediumMap::tokens() const { return map_tk.defined() && map_tk.dim() > 0 ? map_tk.size(0) : 0; }

at::Device AttentionRecord::device() const {
  return maps.empty() || !maps.front().map_tk.defined() ? at::Device(at::kCPU) : maps.front().map_tk.device();
}

std::vector<at::Tensor> AttentionRecord::tensors() const {
  std::vector<at::Tensor> defined;
  const auto see = [&](const at::Tensor& tensor) {
    if (tensor.defined()) defined.push_back(tensor);
  };
  for (const MediumMap& map : maps) {
    for (const at::Tensor* tensor : {&map.map_tk, &map.mass_t, &map.visible_t, &map.flags_t}) see(*tensor);
    std::visit([&](const auto& of) { see(content_of(of)); }, map.medium);
    if (!map.detail) continue;
    for (const SiteDetail& site : map.detail->sites) {
      see(site.rows.root_hqk);
      see(site.rows.most_hq);
    }
  }
  return defined;
}

int64_t AttentionRecord::bytes() const {
  size_t total = 0;
  for (const at::Tensor& tensor : tensors()) total += tensor.nbytes();
  for (const MediumMap& map : maps) total += std::visit([](const auto& of) { return encoded_bytes(of); }, map.medium);
  total += prompt.size() + request_id.size() + token_ids.size() * sizeof(int64_t);
  for (const std::string& label : labels) total += label.size();
  for (const auto& [name, value] : attributes) total += name.size() + value.size();
  return static_cast<int64_t>(total);
}

}  // namespace gaze
