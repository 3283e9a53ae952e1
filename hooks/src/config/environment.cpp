// SPDX-License-Identifier: MIT
#include "config/environment.hpp"

#include <strings.h>
#include <unistd.h>

#include <gaze/render/retention.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace gaze {
namespace {

using Apply = std::function<bool(const std::string& value, Options& options)>;

/// What a value that is not understood does: one that would have limited what is captured, read or written keeps
/// capture off, since nobody can tell to what; one that only decorates is ignored.
enum class Kind { Limits, Decorates };

struct Variable {
  const char* name;
  const char* allowed;
  Kind kind;
  Apply apply;  // false: not understood
};

bool is_any_of(const char* text, std::initializer_list<const char*> words) noexcept {
  for (const char* word : words) {
    if (strcasecmp(text, word) == 0) return true;
  }
  return false;
}

bool means_yes(const char* text) noexcept { return is_any_of(text, {"1", "true", "yes", "on"}); }
bool means_no(const char* text) noexcept { return is_any_of(text, {"", "0", "false", "no", "off"}); }

const char* value_of(const char* variable) noexcept {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : "";
}

template <class Number>
bool parse_number(const std::string& text, Number& out) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, out);
  return result.ec == std::errc() && result.ptr == end;
}

bool parse_at_least_1(const std::string& text, int64_t& out) {
  int64_t number = 0;
  if (!parse_number(text, number) || number < 1) return false;
  out = number;
  return true;
}

bool parse_detail(const std::string& text, DetailChoice& out) {
  using When = DetailChoice::When;
  DetailChoice chosen;
  if (means_no(text.c_str())) {
    chosen.when = When::Never;
  } else if (text == "all" || text == "flagged") {
    chosen.when = text == "all" ? When::Always : When::Flagged;
  } else if (text.starts_with("next:")) {
    chosen.when = When::Next;
    if (!parse_number(text.substr(5), chosen.count) || chosen.count < 1) return false;
  } else {
    chosen.when = When::Sampled;
    if (!parse_number(text, chosen.share) || !(chosen.share >= 0 && chosen.share <= 1)) return false;
  }
  out = chosen;
  return true;
}

const std::vector<Variable>& variables() {
  static const std::vector<Variable> table = {
      {"GAZE_CAPTURE", "1, true, yes or on, or 0, false, no or off", Kind::Limits,
       [](const std::string& v, Options& o) {
         o.capture = means_yes(v.c_str());
         return o.capture || means_no(v.c_str());
       }},
      {"GAZE_DISABLED", "0, false, no or off, else capture is off", Kind::Limits,
       [](const std::string& v, Options& o) {
         o.disabled = !means_no(v.c_str());
         return true;
       }},
      {"GAZE_OUT_DIR", "a directory", Kind::Limits,
       [](const std::string& v, Options& o) {
         o.out_dir = v;
         return true;
       }},
      {"GAZE_STRICT_OUT_DIR", "1, true, yes or on, or 0, false, no or off", Kind::Limits,
       [](const std::string& v, Options& o) {
         o.strict_out_dir = means_yes(v.c_str());
         return o.strict_out_dir || means_no(v.c_str());
       }},
      {"GAZE_QUOTA_BYTES", "a whole number of bytes, at least 1", Kind::Limits,
       [](const std::string& v, Options& o) { return parse_at_least_1(v, o.quota_bytes); }},
      {"GAZE_QUOTA_AGE", "a time such as 90s, 15m, 12h or 7d", Kind::Limits,
       [](const std::string& v, Options& o) {
         const int64_t seconds = parse_duration_seconds(v);
         if (seconds > 0) o.quota_age_seconds = seconds;
         return seconds > 0;
       }},
      {"GAZE_QUOTA_FREE", "a whole number of bytes, at least 1", Kind::Limits,
       [](const std::string& v, Options& o) { return parse_at_least_1(v, o.quota_free_bytes); }},
      {"GAZE_SIGNING_KEY", "a file", Kind::Limits,
       [](const std::string& v, Options& o) {
         o.signing_key = v;
         return true;
       }},
      {"GAZE_PROFILE", "a file", Kind::Limits,
       [](const std::string& v, Options& o) {
         o.profile = v;
         return true;
       }},
      {"GAZE_SAMPLE_RATE", "a number from 0 to 1", Kind::Limits,
       [](const std::string& v, Options& o) {
         double rate = 0;
         if (!parse_number(v, rate) || !(rate >= 0 && rate <= 1)) return false;
         o.sample_rate = rate;
         return true;
       }},
      {"GAZE_NEXT", "a whole number of requests", Kind::Limits,
       [](const std::string& v, Options& o) { return parse_number(v, o.next) && o.next >= 0; }},
      {"GAZE_IDS", "a pattern of request ids, as 42*", Kind::Limits,
       [](const std::string& v, Options& o) {
         o.ids = v;
         return v.size() <= 256;
       }},
      {"GAZE_PROMPTS", "a pattern of prompts, as *invoice*", Kind::Limits,
       [](const std::string& v, Options& o) {
         o.prompts = v;
         return v.size() <= 256;
       }},
      {"GAZE_PER_SECOND", "a number from 0, which is no limit, to 1e6", Kind::Limits,
       [](const std::string& v, Options& o) {
         return parse_number(v, o.per_second) && o.per_second >= 0 && o.per_second <= 1e6;
       }},
      {"GAZE_KEEP", "all, or any of flagged,slow:SECONDS,long:TOKENS", Kind::Limits,
       [](const std::string& v, Options& o) {
         const auto parsed = parse_keep(v);
         if (parsed) o.keep = *parsed;
         return parsed.has_value();
       }},
      {"GAZE_OTEL_DIR", "a directory", Kind::Decorates,
       [](const std::string& v, Options& o) {
         o.otel_dir = v;
         return true;
       }},
      {"GAZE_DRIFT", "a file", Kind::Decorates,
       [](const std::string& v, Options& o) {
         o.drift_baseline = v;
         return true;
       }},
      {"GAZE_METRICS", "a file", Kind::Decorates,
       [](const std::string& v, Options& o) {
         o.metrics_file = v;
         return true;
       }},
      {"GAZE_LAYERS", "mean, max, last, weighted, a range such as 1-2, or both as in max:1-2", Kind::Limits,
       [](const std::string& v, Options& o) {
         const auto parsed = parse_layers(v);
         // It takes a profile that is made for it.
         if (!parsed || parsed->kind == ops::LayerReduce::Rollout) return false;
         o.layers = parsed;
         return true;
       }},
      {"GAZE_HEADS", "mean, max, min, weighted, one:N or topk:N", Kind::Limits,
       [](const std::string& v, Options& o) {
         const auto parsed = parse_heads(v);
         if (parsed) o.heads = parsed;
         return parsed.has_value();
       }},
      {"GAZE_COLORMAP", "turbo, inferno, viridis, cividis or gray", Kind::Decorates,
       [](const std::string& v, Options& o) {
         const auto parsed = parse_colormap(v);
         if (!parsed || *parsed == ops::Colormap::Diverging) return false;
         o.colormap = parsed;
         return true;
       }},
      {"GAZE_FORMAT", "png, jpeg or webp", Kind::Decorates,
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
      {"GAZE_PICTURES", "all, none, or any of overlay,words,sheet", Kind::Limits,
       [](const std::string& v, Options& o) {
         const auto parsed = parse_pictures(v);
         if (parsed) o.pictures = *parsed;
         return parsed.has_value();
       }},
      {"GAZE_LONGEST_SIDE", "full, or a whole number of pixels from 16 to 65500", Kind::Limits,
       [](const std::string& v, Options& o) {
         int64_t pixels = 0;
         if (v != "full" && (!parse_number(v, pixels) || pixels < 16 || pixels > 65500)) return false;
         o.longest_side_pixels = pixels;
         return true;
       }},
      {"GAZE_DELIVERY", "frame or map", Kind::Limits,
       [](const std::string& v, Options& o) {
         if (v != "frame" && v != "map") return false;
         o.delivery = v == "map" ? Delivery::Map : Delivery::Frame;
         return true;
       }},
      {"GAZE_DETAIL", "off, all, flagged, a share from 0 to 1, or next:N", Kind::Limits,
       [](const std::string& v, Options& o) { return parse_detail(v, o.detail); }},
      {"GAZE_WORD_FILES", "any of vtt,srt,textgrid", Kind::Decorates,
       [](const std::string& v, Options& o) {
         const auto parsed = parse_word_files(v);
         if (parsed) o.word_files = *parsed;
         return parsed.has_value();
       }},
      {"GAZE_QUEUE_BYTES", "a whole number of bytes, at least 1", Kind::Limits,
       [](const std::string& v, Options& o) { return parse_at_least_1(v, o.queue_bytes); }},
      {"GAZE_DEFERRED_TOKENS", "0 or a whole number from 2 to 32", Kind::Limits,
       [](const std::string& v, Options& o) {
         int64_t tokens = 0;
         if (!parse_number(v, tokens) || tokens == 1 || tokens < 0 || tokens > 32) return false;
         o.deferred_tokens = tokens;
         return true;
       }},
      {"GAZE_CONTENT", "full, maps or hashed", Kind::Limits,
       [](const std::string& v, Options& o) {
         if (v != "full" && v != "maps" && v != "hashed") return false;
         o.content = v == "full" ? Content::Full : v == "maps" ? Content::Maps : Content::Hashed;
         return true;
       }},
      {"GAZE_HASH_KEY", "a file", Kind::Limits,
       [](const std::string& v, Options& o) {
         o.hash_key = v;
         return true;
       }},
      {"GAZE_LOG", "off, error, warn, info or debug", Kind::Decorates,
       [](const std::string& v, Options& o) {
         if (v != "off" && v != "error" && v != "warn" && v != "info" && v != "debug") return false;
         o.log = v;
         return true;
       }},
  };
  return table;
}

/// Of other programs and parts of ours.
bool is_elsewhere(std::string_view name) {
  return name == "GAZE_LIBRARY" || name == "GAZE_SAMPLES_DIR" || name.starts_with("GAZE_TEST_");
}

/// Characters to change, add or leave out to make one of the other.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t corner = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = corner + (a[i - 1] == b[j - 1] ? 0 : 1);
      corner = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

const Variable& nearest_to(std::string_view name) {
  const auto& known = variables();
  return *std::min_element(known.begin(), known.end(), [&](const Variable& a, const Variable& b) {
    return distance(name, a.name) < distance(name, b.name);
  });
}

/// Names that begin as ours do and are none: what was meant stays off without a word.
void warn_of_unknown(std::vector<std::string>& warnings) {
  constexpr size_t kMost = 8, kLongestName = 64;
  for (char** entry = environ; entry != nullptr && *entry != nullptr && warnings.size() < kMost; ++entry) {
    const std::string_view whole = *entry;
    const std::string_view name = whole.substr(0, whole.find('='));
    if (!name.starts_with("GAZE_") || name.size() > kLongestName || is_elsewhere(name)) continue;
    const char* const nearest = nearest_to(name).name;
    if (name == nearest) continue;
    warnings.push_back(std::string(name) + ": no variable of this name, it decides nothing. The nearest one is " +
                       nearest + ".");
  }
}

}  // namespace

Options from_environment(Options options, std::vector<std::string>* warnings) {
  bool understood = true;
  for (const Variable& variable : variables()) {
    const char* raw = std::getenv(variable.name);
    if (raw == nullptr || *raw == '\0') continue;
    const std::string value = raw;
    if (variable.apply(value, options)) continue;
    const bool limits = variable.kind == Kind::Limits;
    understood = understood && !limits;
    if (warnings == nullptr) continue;
    std::string text = variable.name;
    text.append(": expected ").append(variable.allowed).append(", got \"").append(value, 0, 80);
    text.append(limits ? "\"; capture stays off. Correct or unset it." : "\"; ignored. Correct or unset it.");
    warnings->push_back(std::move(text));
  }
  if (warnings != nullptr) warn_of_unknown(*warnings);
  options.capture = options.capture && understood;
  return options;
}

void set_option(Options& options, std::string_view name, const std::string& text) {
  const auto option_of = [](std::string_view variable) {
    std::string option;
    for (const char c : variable.substr(5)) option += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return option;
  };
  for (const Variable& variable : variables()) {
    if (option_of(variable.name) != name) continue;
    if (variable.apply(text, options)) return;
    throw Error(std::string(name) + ": expected " + variable.allowed + ", got \"" + text.substr(0, 80) + "\".");
  }
  std::string asked = "GAZE_";
  for (const char c : name.substr(0, 64)) asked += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  throw Error("options: expected the name of a variable in small letters, without gaze_, got \"" +
              std::string(name.substr(0, 64)) + "\". The nearest one is " + option_of(nearest_to(asked).name) + ".");
}

bool is_set(const char* variable) noexcept { return *value_of(variable) != '\0'; }

bool capture_wanted(const Options& options) noexcept {
  if (options.disabled) return false;
  if (!options.read_environment) return options.capture;
  if (!means_no(value_of("GAZE_DISABLED"))) return false;
  // What is not understood is said before capture stays off.
  const char* capture = value_of("GAZE_CAPTURE");
  return *capture == '\0' ? options.capture : !means_no(capture);
}

}  // namespace gaze
