// SPDX-License-Identifier: MIT
#include <gaze/render/drift.hpp>
#include <gaze/render/status.hpp>

#include <nlohmann/json.hpp>
#include <numeric>

#include "base/files.hpp"
#include "base/json_text.hpp"
#include "base/utf8.hpp"
#include "profile/profile_document.hpp"

namespace gaze {
namespace {

using nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr size_t kMostText = 4 << 20;         // of a file; sixteen full versions are 1 MB
constexpr int64_t kMost = 1'000'000'000'000;  // of anything counted: sums of many files stay far from overflow
constexpr size_t kMostWrittenName = 3 * VersionStatistics::kMostName;  // a byte that is no UTF-8 is written as three

constexpr std::array<Verdict, 4> kVerdicts = {Verdict::CannotSay, Verdict::NotGrounded, Verdict::Weak,
                                              Verdict::Grounded};

JsonText by_verdict(const std::array<int64_t, 4>& counts) {
  JsonText object = JsonText::object();
  for (const Verdict verdict : kVerdicts) object[name(verdict)] = counts[static_cast<size_t>(verdict)];
  return object;
}

JsonText json_of(const FigureHistogram& histogram) {
  JsonText steps = JsonText::array();
  for (size_t step = 0; step < FigureHistogram::kSteps; ++step) {
    if (histogram.steps[step] != 0)
      steps.push_back(JsonText::array_of(std::array<int64_t, 2>{static_cast<int64_t>(step), histogram.steps[step]}));
  }
  return {{"unmeasured", histogram.unmeasured}, {"steps", std::move(steps)}};
}

/// Reads what somebody wrote, and says where it is wrong.
class Reader {
 public:
  explicit Reader(const std::string& source) : source_(source) {}

  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(source_ + ": expected " + what + ". Was the file written by gaze drift --save?");
  }

  const json& field(const json& object, const std::string& name) const {
    if (!object.is_object()) refuse("an object with " + name);
    const auto found = object.find(name);
    if (found == object.end()) refuse(name + ", found none");
    return *found;
  }

  int64_t whole(const json& value, const std::string& name, int64_t most = kMost) const {
    const bool fits = value.is_number_unsigned() && value.get<uint64_t>() <= static_cast<uint64_t>(most);
    if (!fits) refuse(name + ": a whole number from 0 to " + std::to_string(most));
    return value.get<int64_t>();
  }

  std::string text(const json& object, const std::string& name) const {
    const json& value = field(object, name);
    if (!value.is_string() || value.get_ref<const std::string&>().size() > kMostWrittenName)
      refuse(name + ": a text of at most " + std::to_string(kMostWrittenName) + " bytes");
    return value.get<std::string>();
  }

  std::array<int64_t, 4> verdicts(const json& object, const std::string& name) const {
    const json& counts = field(object, name);
    std::array<int64_t, 4> found{};
    for (const Verdict verdict : kVerdicts)
      found[static_cast<size_t>(verdict)] = whole(field(counts, gaze::name(verdict)), name);
    return found;
  }

  FigureHistogram histogram(const json& object, const std::string& name) const {
    const json& figure = field(object, name);
    const json& steps = field(figure, "steps");
    FigureHistogram found;
    found.unmeasured = whole(field(figure, "unmeasured"), name + ".unmeasured");
    if (!steps.is_array()) refuse(name + ".steps: a list");
    int64_t next = 0;
    for (const json& pair : steps) {
      if (!pair.is_array() || pair.size() != 2) refuse(name + ".steps: pairs of a step and a count");
      const int64_t step = whole(pair[0], name + ".steps: a step", static_cast<int64_t>(FigureHistogram::kSteps) - 1);
      if (step < next) refuse(name + ".steps: each step once, in order");
      found.steps[static_cast<size_t>(step)] = whole(pair[1], name + ".steps: a count");
      next = step + 1;
    }
    return found;
  }

  VersionStatistics version(const json& object) const {
    VersionStatistics found;
    found.model = text(object, "model");
    found.model_sha256 = text(object, "model_sha256");
    found.answers = whole(field(object, "answers"), "answers");
    found.tokens = whole(field(object, "tokens"), "tokens");
    found.verdicts = verdicts(object, "verdicts");
    found.words = verdicts(object, "words");
    expect_all(found, std::accumulate(found.verdicts.begin(), found.verdicts.end(), int64_t{0}), "verdicts");
    const json& figures = field(object, "figures");
    for (const DriftFigure figure : kDriftFigures) {
      FigureHistogram& to = found.figures[static_cast<size_t>(figure)] = histogram(figures, name(figure));
      expect_all(found, to.measured() + to.unmeasured, name(figure));
    }
    return found;
  }

 private:
  void expect_all(const VersionStatistics& version, int64_t counted, const std::string& name) const {
    if (counted != version.answers)
      refuse(name + " of " + std::to_string(version.answers) + " answers, got those of " + std::to_string(counted));
  }

  const std::string& source_;
};

}  // namespace

std::string AttentionStatistics::json() const {
  JsonText versions = JsonText::array();
  for (const VersionStatistics& version : versions_) {
    JsonText figures = JsonText::object();
    for (const DriftFigure figure : kDriftFigures) figures[name(figure)] = json_of(version.of(figure));
    versions.push_back({{"model", version.model},
                        {"model_sha256", version.model_sha256},
                        {"answers", version.answers},
                        {"tokens", version.tokens},
                        {"verdicts", by_verdict(version.verdicts)},
                        {"words", by_verdict(version.words)},
                        {"figures", std::move(figures)}});
  }
  const JsonText all = {{"gaze_statistics", kFormat},
                        {"gaze_version", GAZE_VERSION},
                        {"left_out", left_out_},
                        {"versions", std::move(versions)}};
  return all.dump(-1);
}

AttentionStatistics parse_statistics(const std::string& text, const std::string& source) {
  const Reader reader(source);
  if (text.size() > kMostText) reader.refuse("at most " + std::to_string(kMostText) + " bytes");
  const json document = parse_document(text, source);
  if (reader.whole(reader.field(document, "gaze_statistics"), "gaze_statistics") != kFormat)
    reader.refuse("gaze_statistics " + std::to_string(kFormat) + ", got that of another version");
  const json& versions = reader.field(document, "versions");
  if (!versions.is_array() || versions.size() > AttentionStatistics::kMostVersions)
    reader.refuse("versions: a list of at most " + std::to_string(AttentionStatistics::kMostVersions));
  AttentionStatistics statistics;
  for (const json& version : versions) statistics.merge(reader.version(version));
  statistics.left_out_ += reader.whole(reader.field(document, "left_out"), "left_out");
  return statistics;
}

AttentionStatistics read_statistics(const std::string& path) {
  return parse_statistics(files::read(path, "statistics", kMostText), path);
}

}  // namespace gaze
