// SPDX-License-Identifier: MIT
// Runs a method under a capture that keeps every head's rows, and measures them.
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/api/module.h>
#include <gaze/hooks/heads.hpp>
#include <gaze/render/cell_keys.hpp>
#include <gaze/render/status.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "capture/head_capture.hpp"
#include "heads/head_stats.hpp"
#include "request/call_frames.hpp"
#include "request/recorder.hpp"
#include "request/request_state.hpp"
#include "torchscript/instrument.hpp"

namespace gaze {
namespace {

/// The module's one live capture, for as long as this lives.
class Attached {
 public:
  Attached(torch::jit::Module& module, const Profile& profile) : model_(instrument(module)) {
    Options options;
    options.read_environment = false;
    Profile all_heads = profile;
    all_heads.heads.reset();
    all_heads.selected_heads.clear();
    all_heads.encoder = false;
    recorder_ = std::make_shared<Recorder>(options, std::move(all_heads), model_);
    if (!model_.claim(recorder_)) {
      throw Error(
          "find_heads: expected a module without a live capture, got one that is attached. Find the heads before "
          "attach.");
    }
    recorder_->active.store(true);
  }
  ~Attached() { model_.release(recorder_.get()); }
  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;

  [[nodiscard]] const Recorder& recorder() const { return *recorder_; }
  [[nodiscard]] std::shared_ptr<RequestState> begin() {
    auto state = std::make_shared<RequestState>(recorder_, std::make_unique<HeadCapture>(recorder_->rules));
    bind_newest(state);
    return state;
  }

 private:
  AttachedModel& model_;
  std::shared_ptr<Recorder> recorder_;
};

/// What one run left.
struct Run {
  std::vector<HeadRows> rows;
  std::vector<std::optional<Geometry>> geometries;  // by batch row
};

Run run(Attached& attached, const std::string& method, const std::function<void()>& calls) {
  const std::shared_ptr<RequestState> state = attached.begin();
  try {
    const at::NoGradGuard no_grad;
    calls();
  } catch (...) {
    state->discard();
    throw;
  }
  state->discard();
  auto& capture = static_cast<HeadCapture&>(state->capture());
  Run made{std::move(capture.kept), {}};
  for (size_t row = 0; row < capture.rows(); ++row)
    made.geometries.push_back(capture.place_of(row).media.front().geometry);
  if (const std::string error = state->error(); !error.empty()) throw Error("find_heads: " + error);
  if (made.rows.empty()) {
    throw Error("find_heads: expected " + method +
                " to reach a site that the profile selects, got none. `gaze sites MODEL.pt` says which methods do.");
  }
  return made;
}

/// Keys of the span to cells, in float64.
class KeysToCells {
 public:
  explicit KeysToCells(const Geometry& geometry) : keys_(cell_keys(geometry)) {}

  [[nodiscard]] CellMap operator()(const float* weight_k) const {
    CellMap map{keys_.rows, keys_.cols, std::vector<double>(static_cast<size_t>(keys_.rows * keys_.cols))};
    const size_t cells = map.weights.size();
    for (size_t i = 0; i < keys_.keys.size(); ++i)
      map.weights[i % cells] += static_cast<double>(weight_k[keys_.keys[i]]);
    for (size_t n = 0; n < keys_.thumbnail_keys.size(); ++n) {
      const auto weight = static_cast<double>(weight_k[keys_.thumbnail_keys[n]]);
      const auto across = static_cast<size_t>(keys_.thumbnail_cols), down = static_cast<size_t>(keys_.thumbnail_rows);
      for (size_t cell = 0; cell < cells; ++cell) {
        const size_t row = cell / static_cast<size_t>(keys_.cols), col = cell % static_cast<size_t>(keys_.cols);
        map.weights[cell] +=
            keys_.row_shares[row * down + n / across] * keys_.col_shares[col * across + n % across] * weight;
      }
    }
    return map;
  }

 private:
  CellKeys keys_;
};

/// Sums of one head over everything.
struct Sums {
  double share = 0, spatial_entropy = 0, entropy = 0, change = 0;
  int64_t rows = 0, answers = 0;  // answers: of two rows or more
  std::vector<CellMap> means;     // of every sample
};

/// Adds one sample: the maps of a head's rows. @return its own figures
SampleFigures add_sample(Sums& sums, const std::vector<CellMap>& maps) {
  SampleFigures own;
  CellMap mean{maps.front().rows, maps.front().cols, std::vector<double>(maps.front().weights.size())};
  const auto count = static_cast<double>(maps.size());
  for (const CellMap& map : maps) {
    for (size_t i = 0; i < mean.weights.size(); ++i) {
      own.share += map.weights[i];
      mean.weights[i] += map.weights[i] / count;
    }
    own.spatial_entropy += spatial_entropy(map);
    own.entropy += cell_entropy(map);
  }
  sums.share += own.share;
  sums.spatial_entropy += own.spatial_entropy;
  sums.entropy += own.entropy;
  sums.rows += static_cast<int64_t>(maps.size());
  if (maps.size() > 1) {
    sums.change += change_of(maps);
    ++sums.answers;
  }
  sums.means.push_back(std::move(mean));
  return {own.share / count, own.spatial_entropy / count, own.entropy / count};
}

/// Change between the samples of the first one's grid: for answers of one row.
double change_between(const std::vector<CellMap>& means) {
  std::vector<CellMap> alike;
  for (const CellMap& map : means) {
    if (map.rows == means.front().rows && map.cols == means.front().cols) alike.push_back(map);
  }
  return change_of(alike);
}

at::Tensor tensor_of(const CellMap& map) {
  return at::tensor(map.weights, at::kDouble).to(at::kFloat).view({map.rows, map.cols});
}

using HeadOfSite = std::pair<int64_t, int64_t>;  // site, head

void refuse_other_heads(const std::map<HeadOfSite, Sums>& heads, int64_t samples) {
  for (const auto& [of, sums] : heads) {
    if (static_cast<int64_t>(sums.means.size()) == samples) continue;
    throw Error(
        "find_heads: expected every input to reach the same sites and heads, got one that does not. Measure "
        "such inputs by themselves.");
  }
}

}  // namespace

HeadsResult find_heads(torch::jit::Module& module, const std::string& method, const Profile& profile,
                       const std::vector<std::vector<c10::IValue>>& inputs, const HeadsOptions& options) {
  if (options.top < 1 || options.top > 64)
    throw Error("find_heads: top: expected 1 to 64, got " + std::to_string(options.top) + ".");
  if (inputs.empty()) throw Error("find_heads: inputs: expected the arguments of at least one run, got none.");
  if (!profile.geometry) {
    throw Error(
        "find_heads: profile: expected a geometry, which says what the picture's keys are, got none. `gaze probe` "
        "measures one.");
  }
  if (profile.through) {
    throw Error(
        "find_heads: profile: expected heads that look at the picture's own keys, got through, which puts latents "
        "between. Name the sites between in sites.match, and leave through out.");
  }
  if (!module.find_method(method)) {
    throw Error("find_heads: method: expected a method of the module, got \"" + method + "\".");
  }
  HeadsResult result;
  result.method = method;
  std::map<HeadOfSite, Sums> heads;
  std::vector<std::map<HeadOfSite, SampleFigures>> samples;
  {
    Attached attached(module, profile);
    const auto begun = std::chrono::steady_clock::now();
    for (size_t n = 0; n < inputs.size(); ++n) {
      const Run made =
          run(attached, method, [&] { options.drive ? options.drive(n) : void(module.get_method(method)(inputs[n])); });
      for (size_t b = 0; b < made.geometries.size(); ++b) {
        const KeysToCells to_cells(*made.geometries[b]);
        std::map<HeadOfSite, std::vector<CellMap>> maps;
        for (const HeadRows& rows : made.rows) {
          if (rows.batch != static_cast<int64_t>(b)) continue;
          const float* weight = rows.map_hts.const_data_ptr<float>();
          for (int64_t row = 0; row < rows.map_hts.size(0) * rows.map_hts.size(1); ++row) {
            maps[{rows.site, row / rows.map_hts.size(1)}].push_back(to_cells(weight + row * rows.map_hts.size(2)));
          }
        }
        auto& figures = samples.emplace_back();
        for (const auto& [of, maps_of] : maps) {
          figures[of] = add_sample(heads[of], maps_of);
          if (std::isfinite(figures[of].share)) continue;
          throw Error("find_heads: expected finite weights, got others at " + attached.recorder().sites[of.first].name +
                      ", head " + std::to_string(of.second) + ", input " + std::to_string(n) + ".");
        }
      }
      result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
      if (options.progress)
        options.progress(static_cast<int64_t>(n) + 1, static_cast<int64_t>(inputs.size()), result.seconds);
    }
    for (const auto& [of, sums] : heads) {
      MeasuredHead& head = result.heads.emplace_back();
      head.site = attached.recorder().sites[of.first].name;
      head.head = of.second;
    }
  }
  result.samples = static_cast<int64_t>(samples.size());
  refuse_other_heads(heads, result.samples);
  std::vector<std::vector<SampleFigures>> figures(samples.size());
  size_t at = 0;
  for (const auto& [of, sums] : heads) {
    MeasuredHead& head = result.heads[at++];
    const auto rows = static_cast<double>(sums.rows);
    head.share = sums.share / rows;
    head.spatial_entropy = sums.spatial_entropy / rows;
    head.entropy = sums.entropy / rows;
    head.change = sums.answers > 0 ? sums.change / static_cast<double>(sums.answers) : change_between(sums.means);
    for (const CellMap& map : sums.means) head.maps_yx.push_back(tensor_of(map));
    for (size_t n = 0; n < samples.size(); ++n) figures[n].push_back(samples[n].at(of));
    result.rows = std::max(result.rows, sums.rows);
  }
  if (result.rows < 2) {
    throw Error(
        "find_heads: inputs: expected two rows to compare, of one answer or of several, got one. Give more inputs, or "
        "a "
        "method that generates.");
  }
  choose_heads(result, figures, options.top);
  return result;
}

std::vector<SiteHeads> selected_heads(const HeadsResult& result) {
  std::vector<SiteHeads> selected;
  for (const MeasuredHead& head : result.heads) {
    if (!head.chosen) continue;
    const auto of_site = [&](const SiteHeads& each) { return each.site == head.site; };
    const auto found = std::find_if(selected.begin(), selected.end(), of_site);
    SiteHeads& site = found != selected.end() ? *found : selected.emplace_back(SiteHeads{head.site, {}});
    site.heads.push_back(head.head);
  }
  if (selected.empty()) {
    throw Error(
        "find_heads: expected a head that points at parts of the picture, got none: each has little attention on it, "
        "is "
        "diffuse, or always shows the same map. Give more inputs, or match other sites.");
  }
  for (SiteHeads& site : selected) std::sort(site.heads.begin(), site.heads.end());
  return selected;
}

}  // namespace gaze
