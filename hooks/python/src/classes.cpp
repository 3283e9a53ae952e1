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
#include <gaze/render/status.hpp>

#include <chrono>
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

Options options_of(const Texts& given) {
  Options options;
  for (const auto& each : given) {
    const std::string& name = each.key();
    const std::string& text = each.value();
    if (name == "profile_text") {
      if (text.empty()) continue;
      options.profile_in_code = parse_profile(text);
      options.profile_text = text;
    } else if (name == "model_path") {
      options.model_path = text;
    } else if (name == "max_tokens") {
      if (const int64_t tokens = number_of(given, "max_tokens"); tokens > 0) options.max_tokens = tokens;
    } else {
      set_option(options, name, text);
    }
  }
  return options;
}

Texts texts_of(const Control& control) {
  Texts named;
  named.insert("capture", control.capture ? "on" : "off");
  named.insert("sample_rate", c10::str(control.sample_rate));
  named.insert("next", std::to_string(control.next));
  named.insert("ids", control.ids);
  named.insert("prompts", control.prompts);
  named.insert("per_second", c10::str(control.per_second));
  named.insert("keep", text_of(control.keep));
  return named;
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
  if (const auto capture = text_of(row, "capture")) spec.capture = capture == "1";
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
  void reorder_tokens(const std::vector<std::vector<int64_t>>& rows) { request_.reorder_tokens(rows); }
  void sound(const at::Tensor& samples, double sample_rate_hz, int64_t row) {
    Sound sound;
    sound.samples = samples.detach().clone();
    sound.sample_rate_hz = static_cast<int64_t>(sample_rate_hz);
    request_.sound(std::move(sound), static_cast<size_t>(row));
  }
  void opt_out(int64_t row) { request_.opt_out(static_cast<size_t>(row)); }
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
  /// @param lines  of a control file; what decides now is returned. @throws gaze::Error where one is not understood
  Texts control(const std::string& lines) {
    if (!lines.empty()) {
      const ControlFile told = read_control(lines, gaze_.control());
      if (!told.problems.empty()) throw Error("control: " + told.problems.front());
      gaze_.control(told.control);
    }
    return texts_of(gaze_.control());
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
      .def("reorder_tokens", &RequestHandle::reorder_tokens)
      .def("sound", &RequestHandle::sound)
      .def("opt_out", &RequestHandle::opt_out)
      .def("finish", &RequestHandle::finish)
      .def("discard", &RequestHandle::discard)
      .def("active", &RequestHandle::active);
  library.class_<CaptureHandle>("Capture")
      .def(torch::init<const c10::IValue&, const c10::List<gaze::python::Texts>&, const gaze::python::Texts&>())
      .def("enabled", &CaptureHandle::enabled)
      .def("sites", &CaptureHandle::sites)
      .def("step", &CaptureHandle::step)
      .def("begin", &CaptureHandle::begin)
      .def("control", &CaptureHandle::control)
      .def("flush", &CaptureHandle::flush)
      .def("shutdown", &CaptureHandle::shutdown)
      .def("stats", &CaptureHandle::stats);
}

TORCH_LIBRARY(gaze_python, library) {
  library.def("torch_version() -> str", []() { return std::string(TORCH_VERSION); });
  library.def("metrics_text() -> str", []() { return gaze::metrics_text(); });
}
