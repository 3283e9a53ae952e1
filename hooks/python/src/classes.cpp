// SPDX-License-Identifier: MIT
// What the Python package sees of the library: two classes of torch's own kind, which need no binding of another.
#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/custom_class.h>
#include <torch/library.h>
#include <torch/version.h>
#include <gaze/gaze.hpp>
#include <gaze/hooks/dispatcher.hpp>
#include <gaze/render/formats.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace gaze::python {
namespace {

using Texts = c10::Dict<std::string, std::string>;

std::optional<std::string> text_of(const Texts& of, const std::string& name) {
  const auto found = of.find(name);
  if (found == of.end()) return std::nullopt;
  return found->value();
}

int64_t number_of(const Texts& of, const std::string& name) {
  const std::optional<std::string> text = text_of(of, name);
  try {
    return text && !text->empty() ? std::stoll(*text) : 0;
  } catch (const std::exception&) {
    throw Error(name + ": expected a whole number, got \"" + *text + "\".");
  }
}

/// @throws gaze::Error for a name that no field has
void check_names(const Texts& given) {
  constexpr const char* kNames[] = {"capture",     "out_dir",    "profile",  "profile_text", "model_path", "log",
                                    "sample_rate", "max_tokens", "pictures", "format",       "delivery"};
  for (const auto& each : given) {
    if (std::find(std::begin(kNames), std::end(kNames), each.key()) != std::end(kNames)) continue;
    throw Error(
        "options: expected capture, out_dir, profile, profile_text, model_path, log, sample_rate, max_tokens, "
        "pictures, format or delivery, got \"" +
        each.key() + "\".");
  }
}

/// @throws gaze::Error where `text` is none of the names
template <class Value>
Value one_of(const char* option, const std::string& text, const std::vector<std::pair<const char*, Value>>& names) {
  std::string all;
  for (const auto& [name, value] : names) {
    if (text == name) return value;
    all += (all.empty() ? "" : ", ") + std::string(name);
  }
  throw Error(std::string(option) + ": expected one of " + all + ", got \"" + text + "\".");
}

Options options_of(const Texts& given) {
  check_names(given);
  Options options;
  const auto text = [&](const char* name) { return text_of(given, name); };
  options.capture = text("capture") == "1";
  options.out_dir = text("out_dir").value_or(options.out_dir);
  options.profile = text("profile").value_or("");
  options.model_path = text("model_path").value_or("");
  options.log = text("log").value_or(options.log);
  if (const auto json = text("profile_text"); json && !json->empty()) {
    options.profile_in_code = parse_profile(*json);
    options.profile_text = *json;
  }
  if (const auto rate = text("sample_rate")) options.sample_rate = std::stod(*rate);
  if (const int64_t tokens = number_of(given, "max_tokens"); tokens > 0) options.max_tokens = tokens;
  if (const auto pictures = text("pictures")) {
    const auto choice = parse_pictures(*pictures);
    if (!choice) throw Error("pictures: expected all, none, or any of overlay,words,sheet, got \"" + *pictures + "\".");
    options.pictures = *choice;
  }
  if (const auto format = text("format")) {
    options.format = one_of<ImageFormat>(
        "format", *format, {{"jpeg", ImageFormat::Jpeg}, {"png", ImageFormat::Png}, {"webp", ImageFormat::Webp}});
  }
  if (const auto delivery = text("delivery"))
    options.delivery = one_of<Delivery>("delivery", *delivery, {{"frame", Delivery::Frame}, {"map", Delivery::Map}});
  return options;
}

StepSite site_of(const Texts& given) {
  StepSite made;
  made.site.name = text_of(given, "name").value_or("");
  const std::string relation = text_of(given, "relation").value_or("unknown");
  made.site.relation = relation == "self"    ? SiteRelation::Self
                       : relation == "cross" ? SiteRelation::Cross
                                             : SiteRelation::Unknown;
  made.site.heads = number_of(given, "heads");
  made.site.kv_heads = number_of(given, "kv_heads");
  made.head_size = number_of(given, "head_size");
  made.in_step = text_of(given, "in_step").value_or("1") != "0";
  return made;
}

RequestSpec spec_of(const Texts& row, const at::Tensor& image) {
  RequestSpec spec;
  spec.id = text_of(row, "id").value_or("");
  spec.prompt = text_of(row, "prompt").value_or("");
  spec.prompt_tokens = number_of(row, "prompt_tokens");
  if (const auto path = text_of(row, "image_path"); path && !path->empty()) spec.image = Picture(*path);
  if (image.defined() && image.numel() > 0) spec.image = Picture(image);
  if (const auto geometry = text_of(row, "geometry"); geometry && !geometry->empty())
    spec.geometry =
        parse_profile(R"({"gaze_profile": 1, "sites": {"match": ["*"]}, "geometry": )" + *geometry + "}").geometry;
  if (const auto ids = text_of(row, "prompt_ids")) {
    std::istringstream words(*ids);
    for (int64_t id = 0; words >> id;) spec.text.ids.push_back(id);
  }
  const std::string attribute = "attribute.";
  for (const auto& each : row) {
    if (each.key().rfind(attribute, 0) == 0) spec.attributes[each.key().substr(attribute.size())] = each.value();
  }
  return spec;
}

class RequestHandle : public torch::CustomClassHolder {
 public:
  explicit RequestHandle(Request request) : request_(std::move(request)) {}
  void label(const std::vector<std::string>& texts, int64_t row) { request_.label(texts, static_cast<size_t>(row)); }
  void tokens(const std::vector<int64_t>& ids, int64_t row) { request_.tokens(ids, static_cast<size_t>(row)); }
  void reorder(const std::vector<int64_t>& rows) { request_.reorder(rows); }
  void sound(const at::Tensor& samples, double sample_rate_hz, int64_t row) {
    Sound sound;
    sound.samples = samples.detach().clone();
    sound.sample_rate_hz = static_cast<int64_t>(sample_rate_hz);
    request_.sound(std::move(sound), static_cast<size_t>(row));
  }
  void finish() { request_.finish(); }
  void discard() { request_ = Request(); }
  bool active() { return static_cast<bool>(request_); }

 private:
  Request request_;
};

class CaptureHandle : public torch::CustomClassHolder {
 public:
  CaptureHandle(const c10::IValue& module, const c10::List<Texts>& sites, const Texts& options) {
    Options wanted = options_of(options);
    std::vector<StepSite> told;
    for (const Texts& each : sites) told.push_back(site_of(each));
    for (const StepSite& each : told) sites_.push_back(each.site.name);
    if (module.isNone()) {
      gaze_ = attach_dispatcher(std::move(wanted), std::move(told));
    } else {
      torch::jit::Module script = module.toModule();
      for (const Site& site : find_sites(script).sites) sites_.push_back(site.name);
      gaze_ = attach(script, std::move(wanted));
    }
  }
  bool enabled() { return gaze_.enabled(); }
  std::vector<std::string> sites() { return sites_; }
  void step() { gaze_.step(); }
  c10::intrusive_ptr<RequestHandle> begin(const c10::List<Texts>& rows, const std::vector<at::Tensor>& images) {
    std::vector<RequestSpec> specs;
    for (size_t row = 0; row < rows.size(); ++row)
      specs.push_back(spec_of(rows.get(row), row < images.size() ? images[row] : at::Tensor()));
    return c10::make_intrusive<RequestHandle>(gaze_.begin(std::move(specs)));
  }
  bool flush(int64_t timeout_ms) { return gaze_.flush(std::chrono::milliseconds(timeout_ms)); }
  void shutdown(int64_t timeout_ms) { gaze_.shutdown(std::chrono::milliseconds(timeout_ms)); }
  c10::Dict<std::string, int64_t> stats() {
    const Stats all = gaze_.stats();
    c10::Dict<std::string, int64_t> named;
    named.insert("begun", all.begun);
    named.insert("sampled", all.sampled);
    named.insert("written", all.written);
    named.insert("in_flight", all.in_flight);
    named.insert("taps", all.taps);
    named.insert("tokens_dropped", all.tokens_dropped);
    for (size_t reason = 0; reason < all.dropped.size(); ++reason) {
      if (all.dropped[reason] > 0)
        named.insert(std::string("dropped_") + name(static_cast<DropReason>(reason)), all.dropped[reason]);
    }
    return named;
  }

 private:
  Gaze gaze_;
  std::vector<std::string> sites_;
};

}  // namespace
}  // namespace gaze::python

TORCH_LIBRARY(gaze, library) {
  using gaze::python::CaptureHandle;
  using gaze::python::RequestHandle;
  library.class_<RequestHandle>("Request")
      .def("label", &RequestHandle::label)
      .def("tokens", &RequestHandle::tokens)
      .def("reorder", &RequestHandle::reorder)
      .def("sound", &RequestHandle::sound)
      .def("finish", &RequestHandle::finish)
      .def("discard", &RequestHandle::discard)
      .def("active", &RequestHandle::active);
  library.class_<CaptureHandle>("Capture")
      .def(torch::init<const c10::IValue&, const c10::List<gaze::python::Texts>&, const gaze::python::Texts&>())
      .def("enabled", &CaptureHandle::enabled)
      .def("sites", &CaptureHandle::sites)
      .def("step", &CaptureHandle::step)
      .def("begin", &CaptureHandle::begin)
      .def("flush", &CaptureHandle::flush)
      .def("shutdown", &CaptureHandle::shutdown)
      .def("stats", &CaptureHandle::stats);
}

/// Read from the file by the package, before the file is loaded.
extern "C" __attribute__((visibility("default"), used)) const char gaze_built_for_torch[] =
    "gaze built for torch " TORCH_VERSION;

TORCH_LIBRARY(gaze_python, library) {
  library.def("torch_version() -> str", []() { return std::string(TORCH_VERSION); });
}
