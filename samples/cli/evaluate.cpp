// SPDX-License-Identifier: MIT
// Exact answers and the pointing game, through Gaze as a host uses it.
#include <gaze/gaze.hpp>
#include <gaze/render/opencv.hpp>
#include <gaze/render/overlay.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

#include <scenes/scenes.hpp>

#include "console.hpp"
#include "samples.hpp"
#include "script.hpp"
#include "stickers.hpp"
#include "tokens.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

constexpr int64_t kBatch = 16;
constexpr float kTolerancePx = 48;  // half a cell of the 960 x 576 photograph

struct Hot {
  std::string text;
  cv::Point2f at_px;
};

/// Keeps where every word's overlay is hottest; writes nothing.
class HotPoints final : public Sink {
 public:
  void consume(const AttentionRecord& record) override {
    std::vector<Hot> words;
    std::string error;
    try {
      for (const Overlay& overlay : compose(record).words)
        words.push_back({overlay.word.text, {static_cast<float>(overlay.hot_x), static_cast<float>(overlay.hot_y)}});
    } catch (const std::exception& caught) {
      error = caught.what();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (error_.empty()) error_ = std::move(error);
    words_[record.request_id] = std::move(words);
  }

  /// Hot points by request id. @throws Refusal when an overlay could not be made.
  std::map<std::string, std::vector<Hot>> take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!error_.empty()) throw Refusal("evaluate: expected an overlay for every answer, got: " + error_);
    return std::exchange(words_, {});
  }

 private:
  std::mutex mutex_;
  std::string error_;
  std::map<std::string, std::vector<Hot>> words_;
};

/// One model under capture. Two of them: a module has one live capture at a time.
class Reader {
 public:
  Reader(const Stickers& stickers, at::Device device, Options options)
      : model_(stickers.model_path, device), device_(device), sink_(std::make_shared<HotPoints>()) {
    options.capture = true;
    options.read_environment = false;  // figures compare only at the same settings
    options.queue_bytes = int64_t{1} << 30;
    options.log = "error";
    options.sink = sink_;
    gaze_ = attach(model_.module(), options);
  }

  /// Answers [batch, n] and the hot points of their words.
  at::Tensor answer(const std::vector<at::Tensor>& photos_hwc, const at::Tensor& inputs_bchw,
                    const at::Tensor& prompts_bt, std::vector<std::vector<Hot>>& hot) {
    std::vector<RequestSpec> specs(photos_hwc.size());
    for (size_t row = 0; row < specs.size(); ++row) {
      specs[row].id = std::to_string(row);
      specs[row].image = photos_hwc[row];
    }
    Request request = gaze_.begin(std::move(specs));
    const at::Tensor ids_bt =
        model_.generate(inputs_bchw.to(device_), prompts_bt.to(device_), kMaxNew).cpu().contiguous();
    for (int64_t row = 0; row < ids_bt.size(0); ++row) {
      const int64_t* ids = ids_bt.const_data_ptr<int64_t>() + row * ids_bt.size(1);
      request.tokens({ids, ids + ids_bt.size(1)}, static_cast<size_t>(row));
    }
    request.finish();
    gaze_.flush(std::chrono::minutes(5));
    auto words = sink_->take();
    hot.clear();
    for (size_t row = 0; row < photos_hwc.size(); ++row) {
      const auto found = words.find(std::to_string(row));
      if (found == words.end()) {
        throw Refusal("evaluate: expected an overlay for every answer, got " + std::to_string(words.size()) + " of " +
                      std::to_string(photos_hwc.size()) + ". GAZE_LOG=info says more.");
      }
      hot.push_back(std::move(found->second));
    }
    return ids_bt;
  }

 private:
  Model model_;
  at::Device device_;
  std::shared_ptr<HotPoints> sink_;
  Gaze gaze_;
};

struct Task {
  scenes::Scene scene;
  at::Tensor photo_hwc;
  bool describe = true;
  std::string prompt;
  std::vector<std::string> truth;
  std::vector<int> evidence;  // per word of the truth: index of its sticker, or -1
};

/// Even scenes are described, odd ones asked about one colour, as samples/models/stickers/evaluate.py does it.
Task make_task(const scenes::Composer& composer, uint64_t first_seed, int64_t index) {
  Task task;
  const uint64_t seed = first_seed + static_cast<uint64_t>(index);
  task.scene = composer.compose(seed, scenes::Split::held_out, 2, scenes::kMaxStickers);
  task.photo_hwc = picture(task.scene.rgb, ChannelOrder::Rgb).tensor;
  task.describe = index % 2 == 0;
  if (task.describe) {
    task.prompt = "describe the stickers :";
    for (size_t i = 0; i < task.scene.stickers.size(); ++i) {
      task.truth.push_back(task.scene.stickers[i].colour_name());
      task.truth.push_back(task.scene.stickers[i].digit_name());
      task.evidence.insert(task.evidence.end(), 2, static_cast<int>(i));
    }
    return task;
  }
  const int colour = scenes::colour_to_ask(task.scene, seed);
  task.prompt =
      std::string("which number is on the ") + scenes::kColourNames[static_cast<size_t>(colour)] + " sticker ?";
  const auto& stickers = task.scene.stickers;
  const auto found =
      std::find_if(stickers.begin(), stickers.end(), [&](const scenes::Sticker& s) { return s.colour == colour; });
  task.truth.push_back(found == stickers.end() ? "none" : found->digit_name());
  task.evidence.push_back(found == stickers.end() ? -1 : static_cast<int>(found - stickers.begin()));
  return task;
}

struct Share {
  int64_t hits = 0, all = 0;
  void add(bool hit) {
    hits += hit ? 1 : 0;
    ++all;
  }
  [[nodiscard]] nlohmann::json json() const {
    if (all == 0) return nullptr;
    return std::round(1e4 * static_cast<double>(hits) / static_cast<double>(all)) / 1e4;
  }
  [[nodiscard]] std::string text() const {
    char line[64];
    std::snprintf(line, sizeof line, "%6.1f %%  %lld of %lld",
                  all == 0 ? 0.0 : 100.0 * static_cast<double>(hits) / static_cast<double>(all),
                  static_cast<long long>(hits), static_cast<long long>(all));
    return line;
  }
};

struct Figures {
  Share describe, which, pointing, pointing_other, raw;
  int64_t words_excluded = 0;
};

void score(const Task& task, const std::vector<std::string>& answer, const std::vector<Hot>& hot,
           const std::vector<Hot>& raw_hot, Figures& figures) {
  (task.describe ? figures.describe : figures.which).add(answer == task.truth);
  for (size_t t = 0; t < answer.size(); ++t) {
    if (t >= task.truth.size() || answer[t] != task.truth[t]) {
      ++figures.words_excluded;  // a wrong word has no sticker it should point at
      continue;
    }
    if (task.evidence[t] < 0) continue;
    const scenes::Sticker& sticker = task.scene.stickers[static_cast<size_t>(task.evidence[t])];
    const auto on_sticker = [&](const std::vector<Hot>& words) {
      return t < words.size() && words[t].text == answer[t] && std::isfinite(words[t].at_px.x) &&
             scenes::on_sticker(sticker, words[t].at_px, kTolerancePx);
    };
    const bool colour = task.describe && t % 2 == 0;
    (colour ? figures.pointing_other : figures.pointing).add(on_sticker(hot));
    if (!colour) figures.raw.add(on_sticker(raw_hot));
  }
}

void run_batch(const std::vector<Task>& tasks, const Stickers& stickers, Reader& as_shipped, Reader& raw,
               Figures& figures) {
  std::vector<at::Tensor> photos_hwc;
  for (const Task& task : tasks) photos_hwc.push_back(task.photo_hwc);
  std::vector<at::Tensor> prompts;
  for (const Task& task : tasks) prompts.push_back(row_of(stickers.prompt_ids(task.prompt)));
  const at::Tensor inputs_bchw = stickers.inputs(photos_hwc);
  const at::Tensor prompts_bt = stack_rows(prompts);
  std::vector<std::vector<Hot>> hot, raw_hot;
  const at::Tensor ids_bt = as_shipped.answer(photos_hwc, inputs_bchw, prompts_bt, hot);
  raw.answer(photos_hwc, inputs_bchw, prompts_bt, raw_hot);
  for (size_t row = 0; row < tasks.size(); ++row)
    score(tasks[row], stickers.words(ids_bt[static_cast<int64_t>(row)]), hot[row], raw_hot[row], figures);
}

}  // namespace

int evaluate(const EvaluateArguments& arguments) {
  const std::string samples = samples_dir();
  const at::Device device = parse_device(arguments.device);
  const Stickers stickers =
      open_stickers(arguments.model.empty() ? samples + "/models/stickers/stickers_sdpa.pt" : arguments.model);
  const scenes::Composer composer(samples + "/data");

  Options defaults;
  defaults.profile_in_code = stickers.profile;
  Options mean = defaults;
  mean.profile_in_code->heads = ops::HeadReduce::Mean;
  mean.profile_in_code->layers = ops::LayerReduce::Mean;
  mean.profile_in_code->selected_heads.clear();
  mean.profile_in_code->first_layer = 0;
  mean.profile_in_code->last_layer = -1;
  mean.style.normalise.subtract_sinks = false;
  Reader as_shipped(stickers, device, defaults);
  Reader raw(stickers, device, mean);

  Figures figures;
  Progress progress("evaluate", "scenes");
  std::vector<Task> describe, which;  // prompts of one batch have one length
  for (int64_t i = 0; i < arguments.scenes; ++i) {
    std::vector<Task>& batch = i % 2 == 0 ? describe : which;
    batch.push_back(make_task(composer, arguments.seed, i));
    if (static_cast<int64_t>(batch.size()) == kBatch) {
      run_batch(batch, stickers, as_shipped, raw, figures);
      batch.clear();
    }
    progress.show(i + 1, arguments.scenes);
  }
  for (const std::vector<Task>* rest : {&describe, &which}) {
    if (!rest->empty()) run_batch(*rest, stickers, as_shipped, raw, figures);
  }

  const Share exact{figures.describe.hits + figures.which.hits, figures.describe.all + figures.which.all};
  if (arguments.json) {
    const nlohmann::ordered_json json = {{"scenes", arguments.scenes},
                                         {"seed", arguments.seed},
                                         {"exact", exact.json()},
                                         {"exact_describe", figures.describe.json()},
                                         {"exact_which", figures.which.json()},
                                         {"words", figures.pointing.all},
                                         {"words_other", figures.pointing_other.all},
                                         {"words_excluded", figures.words_excluded},
                                         {"pointing", figures.pointing.json()},
                                         {"pointing_other", figures.pointing_other.json()},
                                         {"pointing_raw_mean", figures.raw.json()}};
    std::printf("%s\n", json.dump(1).c_str());
    return 0;
  }
  std::printf("%lld scenes from seed %llu, %s\n\n", static_cast<long long>(arguments.scenes),
              static_cast<unsigned long long>(arguments.seed), printable(stickers.model_path).c_str());
  std::printf("exact answers                 %s\n", exact.text().c_str());
  std::printf("  describe                    %s\n", figures.describe.text().c_str());
  std::printf("  which                       %s\n", figures.which.text().c_str());
  std::printf("pointing, digits and answers  %s\n", figures.pointing.text().c_str());
  std::printf("  raw mean of heads, layers   %s\n", figures.raw.text().c_str());
  std::printf("pointing, colour words        %s\n", figures.pointing_other.text().c_str());
  std::printf("\n%lld wrong words have no sticker to point at and are left out.\n",
              static_cast<long long>(figures.words_excluded));
  return 0;
}

}  // namespace gaze::cli
