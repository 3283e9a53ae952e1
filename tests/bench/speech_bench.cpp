// SPDX-License-Identifier: MIT
// What word times and a sound's bundle cost, beside the decoding they follow and the second pass that others need.
#include <torch/csrc/jit/serialization/import.h>
#include <torch/script.h>

#include <ATen/ATen.h>
#include <gaze/render/bundle.hpp>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "folder.hpp"
#include "harness.hpp"
#include "sound/alignment.hpp"

namespace gaze_bench {
namespace {

constexpr int64_t kRate = 16000;

/// Words one after the other, each attending to its own stretch of the keys, of which it leaves no more than `most`.
struct Attention {
  Attention(int64_t tokens, int64_t keys, int64_t most) {
    at::manual_seed(1);
    map_tk = at::rand({tokens, keys}).mul_(1e-4);
    const int64_t length = std::clamp<int64_t>(keys / tokens, 1, most);
    for (int64_t t = 0; t < tokens; ++t) {
      map_tk[t].narrow(0, t * keys / tokens, length).add_(0.9 / static_cast<double>(length));
      words.push_back({.text = "word", .first = t, .count = 1});
    }
  }
  at::Tensor map_tk;
  std::vector<gaze::Word> words;
};

Way alignment(int64_t tokens, int64_t keys) {
  const auto attention = std::make_shared<Attention>(tokens, keys, keys);
  return {"alignment", [attention, tokens, keys, spans = std::vector<gaze::WordSpan>()]() mutable {
            spans = gaze::align_words(attention->map_tk.const_data_ptr<float>(), tokens, keys, attention->words);
          }};
}

std::string check_alignment(int64_t tokens, int64_t keys) {
  const Attention attention(tokens, keys, keys);
  const auto spans = gaze::align_words(attention.map_tk.const_data_ptr<float>(), tokens, keys, attention.words);
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t off = spans[static_cast<size_t>(t)].first - t * keys / tokens;
    if (std::abs(off) > 2) return "word " + std::to_string(t) + " is off by " + std::to_string(off) + " keys";
  }
  return "";
}

/// The sample model: greedy decoding of one answer, the encoder's work left out.
Way sample_decoding(int64_t tokens) {
  const auto model =
      std::make_shared<torch::jit::Module>(torch::jit::load(GAZE_BENCH_SOURCE "/samples/models/speech/speech.pt"));
  const at::Tensor memory = model->run_method("encode", at::randn({1, 5 * kRate}) * 0.1).toTensor();
  return {"decoding", [=] {
            const at::NoGradGuard no_grad;
            c10::IValue cache = c10::List<at::Tensor>();
            at::Tensor token = at::full({1, 1}, 1, at::kLong);
            for (int64_t t = 0; t < tokens; ++t) {
              const auto step = model->run_method("decode_step", token, memory, cache).toTuple();
              token = step->elements()[0].toTensor().argmax(-1, true);
              cache = step->elements()[1];
            }
          }};
}

/// One decoder layer of Whisper-large over a whole answer with its weights written out: a 32nd of a second pass.
Way second_pass(int64_t tokens, int64_t keys) {
  constexpr int64_t kWidth = 1280, kHeads = 20, kSize = 64;
  const auto weight = [](int64_t out, int64_t in) { return at::randn({out, in}) * 0.02; };
  const at::Tensor square[6] = {weight(kWidth, kWidth), weight(kWidth, kWidth), weight(kWidth, kWidth),
                                weight(kWidth, kWidth), weight(kWidth, kWidth), weight(kWidth, kWidth)};
  return {"a layer of a second pass",
          [=, up = weight(4 * kWidth, kWidth), down = weight(kWidth, 4 * kWidth), x_td = at::randn({tokens, kWidth}),
           k_hkd = at::randn({kHeads, keys, kSize}), v_hkd = at::randn({kHeads, keys, kSize})] {
            const auto heads = [&](const at::Tensor& y_td) { return y_td.view({-1, kHeads, kSize}).transpose(0, 1); };
            const auto attend = [&](const at::Tensor& q_htd, const at::Tensor& keys_hkd, const at::Tensor& values_hkd) {
              return q_htd.matmul(keys_hkd.transpose(1, 2))
                  .mul(0.125)
                  .softmax(-1)
                  .matmul(values_hkd)
                  .transpose(0, 1)
                  .reshape({-1, kWidth});
            };
            const at::Tensor self =
                attend(heads(x_td.matmul(square[0])), heads(x_td.matmul(square[1])), heads(x_td.matmul(square[2])))
                    .matmul(square[3]);
            const at::Tensor cross = attend(heads(self.matmul(square[4])), k_hkd, v_hkd).matmul(square[5]);
            at::gelu(cross.matmul(up.t())).matmul(down.t());
          }};
}

Subject sample_subject() {
  constexpr int64_t kTokens = 14, kKeys = 250;
  Subject subject;
  subject.ours = alignment(kTokens, kKeys);
  subject.peers.push_back(sample_decoding(kTokens));
  subject.check = [] { return check_alignment(kTokens, kKeys); };
  subject.gates = {{Gate::Kind::ShareOfPeer, 0.02}};
  return subject;
}

Subject whisper_subject() {
  constexpr int64_t kTokens = 224, kKeys = 1500;
  Subject subject;
  subject.ours = alignment(kTokens, kKeys);
  subject.peers.push_back(second_pass(kTokens, kKeys));
  subject.check = [] { return check_alignment(kTokens, kKeys); };
  return subject;
}

#ifdef GAZE_WITH_OPENCV
/// 30 s, of which each word lasts 0.4 at most.
Subject bundle_subject(int64_t words) {
  constexpr int64_t kSeconds = 30, kKeys = 1500;
  auto record = std::make_shared<gaze::AttentionRecord>();
  const Attention attention(words, kKeys, 20);
  record->request_id = "bench";
  gaze::MediumMap& map = record->maps.emplace_back();
  map.map_tk = attention.map_tk / attention.map_tk.sum(1, true);
  map.mass_t = at::ones({words});
  map.visible_t = at::full({words}, static_cast<double>(kKeys));
  map.flags_t = at::zeros({words}, at::kInt);
  record->keys = kKeys;
  for (int64_t w = 0; w < words; ++w) record->labels.push_back("word" + std::to_string(w));
  gaze::SoundMedium medium;
  medium.geometry.rows = 1;
  medium.geometry.cols = kKeys;
  medium.geometry.time = gaze::Timeline{.seconds_per_key = 0.02};
  const at::Tensor time_s = at::arange(kSeconds * kRate, at::kFloat) / kRate;
  medium.sound.samples = at::sin(time_s * 2764.6) * at::sin(time_s * 3) * 0.4 + at::randn_like(time_s) * 0.01;
  medium.sound.sample_rate_hz = kRate;
  map.medium = std::move(medium);

  const auto folder = std::make_shared<Folder>();
  gaze::BundleOptions options;
  options.out_dir = folder->path;
  const auto sink = std::make_shared<gaze::BundleSink>(options);
  Subject subject;
  subject.ours = {"bundle", [=] { sink->consume(*record); }};
  if (words == 8) {
    subject.peers.push_back({"the limit", {}, {}, {60, 60, 60, 60, 60, 60, 60}});
    subject.gates = {{Gate::Kind::ShareOfPeer, 1}};
  }
  subject.check = [=]() -> std::string {
    sink->consume(*record);
    for (const auto& bundle : std::filesystem::directory_iterator(folder->path)) {
      if (bundle.is_directory() && !std::filesystem::exists(bundle.path() / "report.html")) return "no report.html";
    }
    return "";
  };
  return subject;
}
#endif

}  // namespace

void add_speech_lines() {
  add("word times of 14 tokens x 250 keys, to decoding of the sample", 1, [] { return sample_subject(); });
  add("word times of 224 tokens x 1500 keys, to a layer of a second pass of Whisper-large", 1,
      [] { return whisper_subject(); });
#ifdef GAZE_WITH_OPENCV
  for (const int64_t words : {8, 75}) {
    add("bundle of 30 s and " + std::to_string(words) + " words, drawn and written", 1,
        [words] { return bundle_subject(words); });
  }
#endif
}

}  // namespace gaze_bench
