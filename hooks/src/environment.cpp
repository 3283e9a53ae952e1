// SPDX-License-Identifier: MIT
#include <gaze/hooks/options.hpp>

#include <charconv>
#include <cstdlib>
#include <functional>

namespace gaze {
namespace {

using Apply = std::function<bool(const std::string& value, Options& options)>;

struct Variable {
  const char* name;
  const char* allowed;
  Apply apply;  // false: not understood
};

bool parse_bool(const std::string& text, bool& out) {
  if (text == "1" || text == "true") {
    out = true;
  } else if (text == "0" || text == "false") {
    out = false;
  } else {
    return false;
  }
  return true;
}

template <class Number>
bool parse_number(const std::string& text, Number& out) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, out);
  return result.ec == std::errc() && result.ptr == end;
}

const std::vector<Variable>& variables() {
  static const std::vector<Variable> table = {
      {"GAZE_CAPTURE", "0 or 1", [](const std::string& v, Options& o) { return parse_bool(v, o.capture); }},
      {"GAZE_DISABLED", "0 or 1", [](const std::string& v, Options& o) { return parse_bool(v, o.disabled); }},
      {"GAZE_OUT_DIR", "a directory",
       [](const std::string& v, Options& o) {
         o.out_dir = v;
         return true;
       }},
      {"GAZE_PROFILE", "a file",
       [](const std::string& v, Options& o) {
         o.profile = v;
         return true;
       }},
      {"GAZE_SAMPLE_RATE", "a number from 0 to 1",
       [](const std::string& v, Options& o) {
         double rate = 0;
         if (!parse_number(v, rate) || !(rate >= 0 && rate <= 1)) return false;
         o.sample_rate = rate;
         return true;
       }},
      {"GAZE_LAYERS", "mean, max, last, weighted, a range such as 1-2, or both as in max:1-2",
       [](const std::string& v, Options& o) {
         const auto parsed = parse_layers(v);
         // attach may refuse rollout: a value set from outside must not keep a server from starting.
         if (!parsed || parsed->kind == ops::LayerReduce::Rollout) return false;
         o.layers = parsed;
         return true;
       }},
      {"GAZE_HEADS", "mean, max, min, weighted, one:N or topk:N",
       [](const std::string& v, Options& o) {
         const auto parsed = parse_heads(v);
         if (parsed) o.heads = parsed;
         return parsed.has_value();
       }},
      {"GAZE_COLORMAP", "turbo, inferno, viridis, cividis or gray",
       [](const std::string& v, Options& o) {
         const auto parsed = parse_colormap(v);
         if (!parsed || *parsed == ops::Colormap::Diverging) return false;
         o.colormap = parsed;
         return true;
       }},
      {"GAZE_FORMAT", "png, jpeg or webp",
       [](const std::string& v, Options& o) {
         if (v == "png") {
           o.format = ImageFormat::Png;
         } else if (v == "jpeg") {
           o.format = ImageFormat::Jpeg;
         } else if (v == "webp") {
           o.format = ImageFormat::Webp;
         } else {
           return false;
         }
         return true;
       }},
      {"GAZE_DELIVERY", "frame or map",
       [](const std::string& v, Options& o) {
         if (v != "frame" && v != "map") return false;
         o.delivery = v == "map" ? Delivery::Map : Delivery::Frame;
         return true;
       }},
      {"GAZE_WORD_FILES", "any of vtt,srt,textgrid",
       [](const std::string& v, Options& o) {
         const auto parsed = parse_word_files(v);
         if (parsed) o.word_files = *parsed;
         return parsed.has_value();
       }},
      {"GAZE_QUEUE_BYTES", "a whole number of bytes, at least 1",
       [](const std::string& v, Options& o) {
         int64_t bytes = 0;
         if (!parse_number(v, bytes) || bytes < 1) return false;
         o.queue_bytes = bytes;
         return true;
       }},
      {"GAZE_DEFERRED_TOKENS", "0 or a whole number from 2 to 32",
       [](const std::string& v, Options& o) {
         int64_t tokens = 0;
         if (!parse_number(v, tokens) || tokens == 1 || tokens < 0 || tokens > 32) return false;
         o.deferred_tokens = tokens;
         return true;
       }},
      {"GAZE_LOG", "off, error, warn, info or debug",
       [](const std::string& v, Options& o) {
         if (v != "off" && v != "error" && v != "warn" && v != "info" && v != "debug") return false;
         o.log = v;
         return true;
       }},
  };
  return table;
}

}  // namespace

Options from_environment(Options options, std::vector<std::string>* warnings) {
  for (const Variable& variable : variables()) {
    const char* raw = std::getenv(variable.name);
    if (raw == nullptr || *raw == '\0') continue;
    const std::string value = raw;
    if (!variable.apply(value, options) && warnings != nullptr) {
      std::string text = variable.name;
      text.append(": expected ").append(variable.allowed).append(", got \"").append(value, 0, 80).append("\"; ignored");
      warnings->push_back(std::move(text));
    }
  }
  return options;
}

}  // namespace gaze
