// SPDX-License-Identifier: MIT
#include "request/recorder.hpp"

#include <limits.h>
#include <unistd.h>
#include <gaze/ops/device.hpp>
#include <gaze/render/digest.hpp>
#include <gaze/render/profile.hpp>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <utility>

#include "request/attached_model.hpp"

namespace gaze {
namespace {

/// The stated argument of every root method, -1 where none is.
std::vector<int64_t> arguments_of(const std::string& field, const std::map<std::string, int64_t>& stated,
                                  const AttachedModel& model) {
  std::vector<int64_t> arguments(model.methods.size(), -1);
  for (const auto& [method, argument] : stated) {
    const auto at = std::find(model.methods.begin(), model.methods.end(), method);
    if (at == model.methods.end()) {
      throw Error("profile: " + field + method +
                  ": expected a method of the model, got none of that name. Remove the entry or correct it.");
    }
    const auto index = static_cast<size_t>(at - model.methods.begin());
    if (argument < 0 || argument >= model.arguments[index]) {
      throw Error("profile: " + field + method + ": expected an index below " + std::to_string(model.arguments[index]) +
                  ", got " + std::to_string(argument) + ". Count the method's arguments from 0, without self.");
    }
    arguments[index] = argument;
  }
  return arguments;
}

/// What reproducible-builds.org's SOURCE_DATE_EPOCH says, in milliseconds: who compares bundles byte by byte sets it.
int64_t date_of_build() {
  const char* const text = std::getenv("SOURCE_DATE_EPOCH");
  int64_t seconds = 0;
  if (text == nullptr || std::from_chars(text, text + std::strlen(text), seconds).ec != std::errc()) return 0;
  return seconds > 0 && seconds < int64_t{1} << 40 ? seconds * 1000 : 0;
}

/// Empty where neither file nor text can be had. The text of one made in code is not written here: the library that
/// does allocates in destructors, and attach must outlive an allocation that fails.
std::string profile_digest(const Options& options) {
  try {
    const std::string& said = options.profile_text;
    if (options.profile_in_code) return said.empty() ? std::string() : sha256_of(said);
    if (options.profile.empty()) return {};
    std::ifstream file(options.profile, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return file.bad() || text.empty() ? std::string() : sha256_of(text);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

Recorder::Recorder(Options given_options, Profile given_profile, AttachedModel& given_model)
    : options(std::move(given_options)),
      profile(std::move(given_profile)),
      vocabulary(std::make_shared<const std::vector<std::string>>(std::move(profile.vocabulary))),
      model(given_model),
      sites(profile, options, model.sites) {
  image_arguments_ = arguments_of("image.argument.",
                                  profile.image ? profile.image->argument : std::map<std::string, int64_t>(), model);
  sound_arguments_ = arguments_of("sound.argument.",
                                  profile.sound ? profile.sound->argument : std::map<std::string, int64_t>(), model);
  ids_arguments_ = arguments_of("geometry.spans.argument.",
                                profile.spans ? profile.spans->argument : std::map<std::string, int64_t>(), model);
  text_arguments_ =
      arguments_of("text.argument.", profile.text ? profile.text->argument : std::map<std::string, int64_t>(), model);
  draws_ = std::random_device{}();
  next_details_ = options.detail.count;
  profile_sha256_ = profile_digest(options);
  dated_ms = date_of_build();
  char name[HOST_NAME_MAX + 1] = {};
  if (::gethostname(name, sizeof name - 1) == 0) host_name_ = name;
}

Recorder::~Recorder() = default;

RowDetail Recorder::detail_of(const RequestSpec& spec) noexcept {
  using When = DetailChoice::When;
  if (spec.detail) return RowDetail::Yes;
  switch (options.detail.when) {
    case When::Never:
      return RowDetail::No;
    case When::Always:
      return RowDetail::Yes;
    case When::Flagged:
      return RowDetail::IfFlagged;
    case When::Sampled:
      return draw(options.detail.share) ? RowDetail::Yes : RowDetail::No;
    case When::Next:
      break;
  }
  if (next_details_.load(std::memory_order_relaxed) <= 0) return RowDetail::No;
  return next_details_.fetch_sub(1, std::memory_order_relaxed) > 0 ? RowDetail::Yes : RowDetail::No;
}

bool Recorder::draw(double share) noexcept {
  if (share >= 1) return true;
  uint64_t z =
      draws_.fetch_add(0x9e3779b97f4a7c15ULL, std::memory_order_relaxed);  // splitmix64: no lock, no state per thread
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1.0p-53 < share;
}

bool Recorder::records_graph() const {
  return std::any_of(devices.begin(), devices.end(), [](at::Device device) { return ops::capturing(device); });
}

AttentionRecord Recorder::blank_record() const {
  AttentionRecord record;
  record.style = options.style;
  if (options.colormap) record.style.colormap = *options.colormap;
  record.reduce = rules.reduce;
  record.layers = sites.layers_text();
  record.model_path = options.model_path;
  record.profile = profile.name;
  record.profile_sha256 = profile_sha256_;
  record.parameters_sha256 = parameters_sha256;
  record.host = host_name_;
  record.process = dated_ms > 0 ? 0 : ::getpid();  // two runs of one date are to be equal
  return record;
}

}  // namespace gaze
