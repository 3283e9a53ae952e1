// SPDX-License-Identifier: MIT
// Which tokens an answer read: planted models, whose attention is put on known tokens of a prompt.
#include <unistd.h>
#include <gaze/render/artifacts.hpp>
#include <gaze/render/sources.hpp>

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>

#include "hooks_test.hpp"
#include "support/devices.hpp"

using hooks_test::MemorySink;

namespace {

constexpr int64_t kWords = 24;           // of the vocabulary
constexpr int64_t kBegin = 1, kSep = 2;  // special ones
constexpr double kSharp = 6;             // score of the token that is asked for

/// Token a asks for token a + 1 among the keys; causal over a cache, with a mask of the keys that are there. A decoder
/// of two layers, of which the second has another sharpness.
torch::jit::Module decoder(bool fused, at::Device device) {
  torch::jit::Module module("Decoder");
  module.register_parameter("embed", at::eye(kWords, device), false);
  at::Tensor ask = at::zeros({kWords, kWords});
  for (int64_t a = 0; a + 1 < kWords; ++a) ask[a][a + 1] = kSharp;
  module.register_parameter("ask", ask.t().contiguous().to(device), false);
  module.register_parameter("key", at::eye(kWords, device), false);
  const std::string attend = fused ? R"JIT(
def attend(self, q, k, hidden):
    return torch.scaled_dot_product_attention(q.unsqueeze(1), k.unsqueeze(1), k.unsqueeze(1), hidden.logical_not().unsqueeze(1), 0.0, False, scale=1.0).squeeze(1)
)JIT"
                                   : R"JIT(
def attend(self, q, k, hidden):
    scores = torch.matmul(q, k.transpose(1, 2)).masked_fill(hidden, float("-inf"))
    return torch.matmul(torch.softmax(scores, -1), k)
)JIT";
  module.define(attend + R"JIT(
def forward(self, ids, past, padding: int, keep: int):
    x = self.embed[ids]
    k = torch.cat([past, torch.linear(x, self.key)], 1)
    length = ids.size(1)
    total = k.size(1)
    hidden = torch.ones([length, total], device=ids.device).triu(total - length + 1).gt(0).unsqueeze(0).repeat(ids.size(0), 1, 1)
    if padding > 0:
        hidden[0, :, :padding] = True
    first = self.attend(torch.linear(x, self.ask), k, hidden)
    second = self.attend(torch.linear(x, self.ask) * 0.5, k, hidden)
    if keep > 0 and total > keep:
        k = k[:, total - keep:]
    return first + second, k
)JIT");
  return module;
}

/// [BOS] 10 11 12 [SEP] 13 14 15 16 [SEP] 9 [SEP]: two passages and a question.
const std::vector<int64_t> kPrompt = {kBegin, 10, 11, 12, kSep, 13, 14, 15, 16, kSep, 9, kSep};
/// What is fed after it: asks for 14, 15, 12 and 11.
const std::vector<int64_t> kFed = {13, 14, 11, 10};

at::Tensor row(const std::vector<int64_t>& ids) { return at::tensor(ids, at::kLong).unsqueeze(0); }

gaze::Text text_of(std::vector<int64_t> ids = kPrompt, int64_t shift = 0) {
  gaze::Text text;
  text.ids = std::move(ids);
  text.sources = {{gaze::SourceKind::Passage, "doc-1", 1 + shift, 4 + shift},
                  {gaze::SourceKind::Passage, "doc-2", 5 + shift, 9 + shift},
                  {gaze::SourceKind::User, "question", 10 + shift, 11 + shift}};
  return text;
}

gaze::Options options(bool text = true) {
  gaze::Options made = hooks_test::options({"*"});
  if (text) made.profile_in_code->text = gaze::TextInput{{{"forward", 0}}, {}, {}};
  std::vector<std::string>& words = made.profile_in_code->vocabulary;
  for (int64_t id = 0; id < kWords; ++id) words.push_back("w" + std::to_string(id));
  words[kBegin] = "<s>";
  words[kSep] = "</s>";
  return made;
}

/// The mean of both layers' softmax, by the book: rows of tokens over all keys that there ever were.
at::Tensor expected(const std::vector<int64_t>& ids, int64_t prompt, int64_t padding = 0, int64_t keep = 0) {
  const auto total = static_cast<int64_t>(ids.size()), tokens = total - prompt + 1;
  at::Tensor map_tk = at::zeros({tokens, total}, at::kDouble);
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t position = prompt - 1 + t;
    // A cache of `keep` keys holds those before the position, which sees itself as well.
    const int64_t first = keep > 0 && t > 0 ? std::max<int64_t>(padding, position - keep) : padding;
    for (const double sharp : {kSharp, kSharp / 2}) {
      at::Tensor score_k = at::full({total}, -std::numeric_limits<double>::infinity(), at::kDouble);
      for (int64_t k = first; k <= position; ++k)
        score_k[k] = ids[static_cast<size_t>(k)] == ids[static_cast<size_t>(position)] + 1 ? sharp : 0.0;
      map_tk[t] += score_k.softmax(0) / 2;
    }
  }
  return map_tk;
}

std::vector<int64_t> with_fed(std::vector<int64_t> ids, size_t fed = kFed.size()) {
  ids.insert(ids.end(), kFed.begin(), kFed.begin() + static_cast<std::ptrdiff_t>(fed));
  return ids;
}

struct Run {
  bool fused = false;
  int64_t deferred = 0;
  int64_t keep = 0;                 ///< keys of the cache
  std::vector<size_t> pieces = {};  ///< lengths of the prompt's calls
  bool host_text = true;            ///< else the ids are those of the model's own input
  at::Device device = at::kCPU;
};

gaze::AttentionRecord answered(const Run& run) {
  torch::jit::Module module = decoder(run.fused, run.device);
  gaze::Options made = options();
  made.deferred_tokens = run.deferred;
  gaze::RequestSpec spec;
  spec.text = text_of();
  if (!run.host_text) spec.text.ids.clear();
  return hooks_test::captured(
             module, made,
             [&](gaze::Request& request) {
               at::Tensor cache = at::zeros({1, 0, kWords}, run.device);
               const auto call = [&](const at::Tensor& ids) {
                 cache = module.forward({ids.to(run.device), cache, 0, run.keep}).toTupleRef().elements()[1].toTensor();
               };
               size_t at = 0;
               for (const size_t piece : run.pieces.empty() ? std::vector<size_t>{kPrompt.size()} : run.pieces) {
                 call(row({kPrompt.begin() + static_cast<std::ptrdiff_t>(at),
                           kPrompt.begin() + static_cast<std::ptrdiff_t>(at + piece)}));
                 at += piece;
               }
               for (const int64_t id : kFed) call(row({id}));
               std::vector<int64_t> said = kFed;
               said.push_back(12);
               request.tokens(said);
             },
             {spec})
      .only();
}

const gaze::TextMedium& text_in(const gaze::AttentionRecord& record, size_t map = 0) {
  CATCH_REQUIRE(record.error == "");
  CATCH_REQUIRE(record.maps.size() > map);
  const auto* text = std::get_if<gaze::TextMedium>(&record.maps[map].medium);
  CATCH_REQUIRE(text != nullptr);
  return *text;
}

}  // namespace

CATCH_TEST_CASE("text: rows over all keys are those of eager attention, prompt and answer, however they are fed") {
  for (const at::Device device : gaze::test::devices()) {
    for (const bool fused : {false, true}) {
      for (const int64_t deferred : {0, 3}) {
        for (const std::vector<size_t>& pieces : {std::vector<size_t>{}, std::vector<size_t>{5, 4, 3}}) {
          for (const bool host_text : {true, false}) {
            CATCH_CAPTURE(device, fused, deferred, pieces, host_text);
            const gaze::AttentionRecord record = answered(
                {.fused = fused, .deferred = deferred, .pieces = pieces, .host_text = host_text, .device = device});
            const gaze::TextMedium& text = text_in(record);
            CATCH_CHECK(text.answer_key == static_cast<int64_t>(kPrompt.size()));
            const at::Tensor want = expected(with_fed(kPrompt), static_cast<int64_t>(kPrompt.size()));
            CATCH_CHECK(hooks_test::worst(record.maps[0].map_tk, want) < 1e-6);
            if (!host_text) CATCH_CHECK(at::equal(text.ids_k.cpu(), at::tensor(kPrompt, at::kLong)));
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("text: the passage that was read has the mass, and sinks are told apart") {
  const gaze::AnswerSources found = gaze::answer_sources(answered({}));
  CATCH_REQUIRE(found.words.size() == 5);
  CATCH_REQUIRE(found.sources.size() >= 3);
  CATCH_CHECK(found.sources[0].id == "doc-1");
  CATCH_CHECK(found.sources[1].id == "doc-2");
  CATCH_CHECK(found.sources[2].kind == "user");
  // The rows of </s>, 13, 14, 11 and 10, which ask for nothing, 14, 15, 12 and 11.
  const std::vector<size_t> largest = {1, 1, 0, 0};
  for (size_t w = 1; w < found.words.size(); ++w) {
    const std::vector<double>& mass = found.mass_ws[w];
    CATCH_CAPTURE(w, mass);
    CATCH_CHECK(std::max_element(mass.begin(), mass.begin() + 3) - mass.begin() ==
                static_cast<std::ptrdiff_t>(largest[w - 1]));
    double all = 0;
    for (const double share : mass) all += share;
    CATCH_CHECK(std::abs(all - 1) < 1e-5);
  }
  std::vector<std::string> kinds;
  for (const gaze::AnswerSource& source : found.sources) kinds.push_back(source.kind + "/" + source.id);
  CATCH_CHECK(kinds == std::vector<std::string>{"passage/doc-1", "passage/doc-2", "user/question", "sink/first token",
                                                "sink/separators", "own words/"});
}

CATCH_TEST_CASE("text: of a sliding window each key keeps its place, and what slid out has no weight") {
  for (const bool fused : {false, true}) {
    for (const int64_t deferred : {0, 3}) {
      CATCH_CAPTURE(fused, deferred);
      const gaze::AttentionRecord record = answered({.fused = fused, .deferred = deferred, .keep = 7});
      CATCH_CHECK(text_in(record).answer_key == static_cast<int64_t>(kPrompt.size()));
      const at::Tensor want = expected(with_fed(kPrompt), static_cast<int64_t>(kPrompt.size()), 0, 7);
      CATCH_CHECK(hooks_test::worst(record.maps[0].map_tk, want) < 1e-6);
    }
  }
  // Pieces of any length.
  const gaze::AttentionRecord pieces = answered({.keep = 3, .pieces = {2, 3, 5, 2}});
  CATCH_CHECK(hooks_test::worst(pieces.maps[0].map_tk.slice(0, 1),
                                expected(with_fed(kPrompt), static_cast<int64_t>(kPrompt.size()), 0, 3).slice(0, 1)) <
              1e-6);
  // A prompt that fits and an answer that does not.
  const gaze::AttentionRecord record = answered({.keep = 13});
  CATCH_CHECK(hooks_test::worst(record.maps[0].map_tk,
                                expected(with_fed(kPrompt), static_cast<int64_t>(kPrompt.size()), 0, 13)) < 1e-6);
}

CATCH_TEST_CASE("text: an answer that is computed anew for every token has the same rows") {
  torch::jit::Module module = decoder(false, at::kCPU);
  gaze::RequestSpec spec;
  spec.text = text_of();
  const gaze::AttentionRecord record =
      hooks_test::captured(module, options(),
                           [&](gaze::Request&) {
                             for (size_t fed = 0; fed <= kFed.size(); ++fed)
                               module.forward({row(with_fed(kPrompt, fed)), at::zeros({1, 0, kWords}), 0, 0});
                           },
                           {spec})
          .only();
  CATCH_CHECK(text_in(record).answer_key == static_cast<int64_t>(kPrompt.size()));
  const at::Tensor want = expected(with_fed(kPrompt), static_cast<int64_t>(kPrompt.size()));
  CATCH_CHECK(hooks_test::worst(record.maps[0].map_tk, want) < 1e-6);
}

CATCH_TEST_CASE("text: of a padded batch each row has its own text") {
  torch::jit::Module module = decoder(false, at::kCPU);
  // The first row's prompt is shorter by three, and padded at its left.
  const std::vector<int64_t> padded = {0, 0, 0, kBegin, 10, 11, kSep, 13, 14, kSep, 9, kSep};
  std::vector<gaze::RequestSpec> specs(2);
  specs[0].text.ids = padded;
  specs[0].text.sources = {{gaze::SourceKind::Passage, "short", 4, 6}, {gaze::SourceKind::Passage, "other", 7, 9}};
  specs[1].text = text_of();
  const std::vector<gaze::AttentionRecord> records =
      hooks_test::captured(
          module, options(),
          [&](gaze::Request& request) {
            at::Tensor cache = at::zeros({2, 0, kWords});
            const auto call = [&](const at::Tensor& ids) {
              cache = module.forward({ids, cache, 3, 0}).toTupleRef().elements()[1].toTensor();
            };
            call(at::cat({row(padded), row(kPrompt)}));
            call(at::tensor({9, 13}, at::kLong).unsqueeze(1));
            request.tokens({9, 10}, 0);
            request.tokens({13, 14}, 1);
          },
          specs)
          .records;
  CATCH_REQUIRE(records.size() == 2);
  const std::vector<int64_t> first = [&] {
    std::vector<int64_t> ids = padded;
    ids.push_back(9);
    return ids;
  }();
  CATCH_CHECK(hooks_test::worst(records[0].maps[0].map_tk, expected(first, 12, 3)) < 1e-6);
  CATCH_CHECK(hooks_test::worst(records[1].maps[0].map_tk, expected(with_fed(kPrompt, 1), 12)) < 1e-6);
  const gaze::AnswerSources found = gaze::answer_sources(records[0]);
  CATCH_CHECK(found.mass_ws[1][0] > 0.5);  // 9 asks for 10
}

CATCH_TEST_CASE("text: ids of another row of the batch are told, and the model's own are shown") {
  torch::jit::Module module = decoder(false, at::kCPU);
  gaze::RequestSpec spec;
  spec.text = text_of();
  std::swap(spec.text.ids[5], spec.text.ids[7]);
  const gaze::AttentionRecord record =
      hooks_test::captured(module, options(),
                           [&](gaze::Request& request) {
                             module.forward({row(kPrompt), at::zeros({1, 0, kWords}), 0, 0});
                             request.tokens({13});
                           },
                           {spec})
          .only();
  const gaze::TextMedium& text = text_in(record);
  CATCH_CHECK(at::equal(text.ids_k, at::tensor(kPrompt, at::kLong)));
  std::map<std::string, std::string> files;
  class Memory : public gaze::Artifacts {
   public:
    explicit Memory(std::map<std::string, std::string>& to) : to_(to) {}

   private:
    void take(const std::string& name, std::string_view bytes) override { to_.emplace(name, bytes); }
    std::map<std::string, std::string>& to_;
  } memory(files);
  gaze::RenderOptions numbers;
  numbers.delivery = gaze::Delivery::Map;
  gaze::render(record, numbers, memory);
  CATCH_CHECK(files.at("sources.json").find("got other ids from token 5 on") != std::string::npos);
}

CATCH_TEST_CASE("text: behind a prefix that was cached earlier tokens have their own keys") {
  torch::jit::Module module = decoder(false, at::kCPU);
  const std::vector<int64_t> prefix = {kBegin, 20, 21};
  for (const bool host_text : {true, false}) {
    gaze::RequestSpec spec;
    spec.text = text_of();
    if (!host_text) spec.text.ids.clear();
    const at::Tensor filled =
        module.forward({row(prefix), at::zeros({1, 0, kWords}), 0, 0}).toTupleRef().elements()[1].toTensor();
    const gaze::AttentionRecord record =
        hooks_test::captured(module, options(),
                             [&](gaze::Request& request) {
                               at::Tensor cache = filled;
                               for (const at::Tensor& ids : {row(kPrompt), row({13}), row({14})})
                                 cache = module.forward({ids, cache, 0, 0}).toTupleRef().elements()[1].toTensor();
                               request.tokens({13, 14, 15});
                             },
                             {spec})
            .only();
    CATCH_CHECK(text_in(record).prompt_key == 3);
    CATCH_CHECK(text_in(record).answer_key == 15);
    const gaze::AnswerSources found = gaze::answer_sources(record);
    CATCH_CHECK(found.sources[1].id == "doc-2");
    CATCH_CHECK(found.mass_ws[1][1] > 0.5);  // 13 asks for 14
  }
}

CATCH_TEST_CASE("text: of a cache of fixed size the answer's keys are those behind the prompt's") {
  torch::jit::Module module("Fixed");
  at::Tensor ask = at::zeros({kWords, kWords});
  for (int64_t a = 0; a + 1 < kWords; ++a) ask[a + 1][a] = kSharp;
  module.register_parameter("embed", at::eye(kWords), false);
  module.register_parameter("ask", ask, false);
  module.register_parameter("key", at::eye(kWords), false);
  module.define(R"JIT(
def forward(self, ids, cache, at: int):
    x = self.embed[ids]
    end = at + ids.size(1)
    k = torch.cat([cache[:, :at], torch.linear(x, self.key), cache[:, end:]], 1)
    there = torch.arange(k.size(1)).unsqueeze(0) <= torch.arange(at, end).unsqueeze(1)
    scores = torch.matmul(torch.linear(x, self.ask), k.transpose(1, 2)).masked_fill(there.logical_not(), float("-inf"))
    return torch.matmul(torch.softmax(scores, -1), k), k
)JIT");
  for (const size_t steps : {size_t{0}, size_t{3}}) {
    gaze::RequestSpec spec;
    spec.text = text_of();
    const gaze::AttentionRecord record =
        hooks_test::captured(module, options(),
                             [&](gaze::Request& request) {
                               at::Tensor cache = at::zeros({1, 40, kWords});
                               int64_t at = 0;
                               const auto call = [&](const at::Tensor& ids) {
                                 cache = module.forward({ids, cache, at}).toTupleRef().elements()[1].toTensor();
                                 at += ids.size(1);
                               };
                               call(row(kPrompt));
                               for (size_t step = 0; step < steps; ++step) call(row({kFed[step]}));
                               std::vector<int64_t> said(kFed.begin(),
                                                         kFed.begin() + static_cast<std::ptrdiff_t>(steps));
                               said.push_back(12);
                               request.tokens(said);
                             },
                             {spec})
            .only();
    CATCH_CAPTURE(steps);
    CATCH_CHECK(text_in(record).answer_key == 12);
    CATCH_CHECK(record.maps[0]
                    .map_tk.narrow(1, 12 + static_cast<int64_t>(steps), 28 - static_cast<int64_t>(steps))
                    .eq(0)
                    .all()
                    .item<bool>());
    const gaze::AnswerSources found = gaze::answer_sources(record);
    CATCH_CHECK(found.sources[0].id == "doc-1");
    if (steps > 0) CATCH_CHECK(found.mass_ws[1][1] > 0.5);  // 13 asks for 14
  }
}

CATCH_TEST_CASE("text: a request may have a text where the profile says nothing of any") {
  torch::jit::Module module = decoder(false, at::kCPU);
  gaze::RequestSpec spec;
  spec.text = text_of();
  const auto folder = std::filesystem::temp_directory_path() / ("gaze-text-" + std::to_string(getpid()));
  gaze::Options made = options(/*text=*/false);
  made.sink = nullptr;
  made.out_dir = folder.string();
  made.delivery = gaze::Delivery::Map;
  gaze::Gaze gaze = gaze::attach(module, made);
  gaze::Request request = gaze.begin(spec);
  at::Tensor cache = at::zeros({1, 0, kWords});
  for (const at::Tensor& ids : {row(kPrompt), row({13})})
    cache = module.forward({ids, cache, 0, 0}).toTupleRef().elements()[1].toTensor();
  request.tokens({13, 14});
  request.finish();
  CATCH_REQUIRE(gaze.flush());
  CATCH_CHECK(gaze.stats().written == 1);
  size_t found = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    found += entry.path().filename() == "sources.json" ? 1 : 0;
  CATCH_CHECK(found == 1);
  std::filesystem::remove_all(folder);
}

CATCH_TEST_CASE("text: beams take their rows with them") {
  torch::jit::Module module = decoder(false, at::kCPU);
  std::vector<gaze::RequestSpec> specs(2);
  specs[0].text = specs[1].text = text_of();
  const std::vector<gaze::AttentionRecord> records =
      hooks_test::captured(
          module, options(),
          [&](gaze::Request& request) {
            at::Tensor cache = at::zeros({2, 0, kWords});
            const auto call = [&](const at::Tensor& ids) {
              cache = module.forward({ids, cache, 0, 0}).toTupleRef().elements()[1].toTensor();
            };
            call(row(kPrompt).repeat({2, 1}));
            call(at::tensor({13, 10}, at::kLong).unsqueeze(1));
            request.reorder({1, 1});
            cache = cache.index_select(0, at::tensor({1, 1}, at::kLong));
            call(at::tensor({14, 11}, at::kLong).unsqueeze(1));
          },
          specs)
          .records;
  CATCH_REQUIRE(records.size() == 2);
  for (size_t beam = 0; beam < 2; ++beam) {
    std::vector<int64_t> ids = kPrompt;
    ids.push_back(10);
    ids.push_back(beam == 0 ? 14 : 11);
    CATCH_CHECK(hooks_test::worst(records[beam].maps[0].map_tk, expected(ids, 12)) < 1e-6);
  }
}

CATCH_TEST_CASE("text: two passes of one token that nobody spoke of are refused, not drawn a key late") {
  torch::jit::Module module = decoder(false, at::kCPU);
  const gaze::AttentionRecord record = hooks_test::captured(module, options(), [&](gaze::Request&) {
                                         at::Tensor cache = at::zeros({1, 0, kWords}), other = cache;
                                         const auto call = [&](const at::Tensor& ids, at::Tensor& of) {
                                           of = module.forward({ids, of, 0, 0}).toTupleRef().elements()[1].toTensor();
                                         };
                                         for (const at::Tensor& ids : {row(kPrompt), row({13}), row({14}), row({11})}) {
                                           call(ids, cache);
                                           call(ids, other);
                                         }
                                       }).only();
  CATCH_CHECK(record.error.find("several passes") != std::string::npos);
}

CATCH_TEST_CASE("text: beside a picture both are captured, and the picture's keys are no words") {
  // Keys: <s>, a picture of 2 x 3 cells, 10 11 </s>; the picture's keys have fillers among the ids, or one, or none.
  torch::jit::Module module = decoder(false, at::kCPU);
  const std::vector<int64_t> fed_ids = {kBegin, 20, 20, 20, 20, 20, 20, 10, 11, kSep};
  for (const std::vector<int64_t>& ids :
       {fed_ids, std::vector<int64_t>{kBegin, 20, 10, 11, kSep}, std::vector<int64_t>{kBegin, 10, 11, kSep}}) {
    CATCH_CAPTURE(ids);
    gaze::Options made = options();
    gaze::Geometry grid;
    grid.rows = 2;
    grid.cols = 3;
    grid.first_key = 1;
    made.profile_in_code->geometry = grid;
    gaze::RequestSpec spec;
    spec.image.tensor = at::zeros({3, 20, 30});
    spec.text.ids = ids;
    const auto end = static_cast<int64_t>(ids.size());
    spec.text.sources = {{gaze::SourceKind::User, "question", end - 3, end - 1}};
    const gaze::AttentionRecord record =
        hooks_test::captured(module, made,
                             [&](gaze::Request& request) {
                               at::Tensor cache = at::zeros({1, 0, kWords});
                               for (const at::Tensor& each : {row(fed_ids), row({9}), row({19})})
                                 cache = module.forward({each, cache, 0, 0}).toTupleRef().elements()[1].toTensor();
                               request.tokens({9, 19, 3});
                             },
                             {spec})
            .only();
    CATCH_REQUIRE(record.error == "");
    CATCH_REQUIRE(record.maps.size() == 2);
    CATCH_CHECK(std::holds_alternative<gaze::PictureMedium>(record.maps[0].medium));
    const std::vector<int64_t> all = [&] {
      std::vector<int64_t> fed = fed_ids;
      fed.insert(fed.end(), {9, 19});
      return fed;
    }();
    CATCH_CHECK(text_in(record, 1).answer_key == 10);
    CATCH_CHECK(hooks_test::worst(record.maps[1].map_tk, expected(all, 10)) < 1e-6);
    const gaze::AnswerSources found = gaze::answer_sources(record);
    CATCH_REQUIRE(found.sources.size() >= 2);
    CATCH_CHECK(found.sources[0].id == "question");
    CATCH_CHECK(found.mass_ws[1][0] > 0.5);  // 9 asks for 10
    const auto picture = std::find_if(found.sources.begin(), found.sources.end(),
                                      [](const gaze::AnswerSource& source) { return source.kind == "picture"; });
    CATCH_REQUIRE(picture != found.sources.end());
    CATCH_CHECK(found.mass_ws[2][static_cast<size_t>(picture - found.sources.begin())] > 0.5);  // 19 asks for 20
  }
}

namespace {

/// An encoder whose positions are the words themselves, and a decoder with both kinds of attention over a cache.
torch::jit::Module encoder_decoder() {
  torch::jit::Module module("EncoderDecoder");
  at::Tensor ask = at::zeros({kWords, kWords});
  for (int64_t a = 0; a + 1 < kWords; ++a) ask[a + 1][a] = kSharp;
  module.register_parameter("embed", at::eye(kWords), false);
  module.register_parameter("ask", ask, false);
  module.register_parameter("key", at::eye(kWords), false);
  module.register_parameter("other", at::eye(kWords) * 2, false);
  module.define(R"JIT(
def encode(self, ids):
    return self.embed[ids].reshape([1, -1, self.embed.size(1)])

def decode(self, ids, memory, past):
    x = self.embed[ids]
    k = torch.cat([past, torch.linear(x, self.key)], 1)
    hidden = torch.ones([ids.size(1), k.size(1)]).triu(k.size(1) - ids.size(1) + 1).gt(0)
    own = torch.softmax(torch.matmul(torch.linear(x, self.ask), k.transpose(1, 2)).masked_fill(hidden, float("-inf")), -1)
    y = x + 0.0 * torch.matmul(own, k)
    keys = torch.linear(memory, self.other)
    cross = torch.softmax(torch.matmul(torch.linear(y, self.ask), keys.transpose(1, 2)), -1)
    return torch.matmul(cross, keys), k
)JIT");
  return module;
}

/// The sites of `decode`: self-attention, then cross-attention.
std::vector<std::string> sites_of(torch::jit::Module module) {
  std::vector<std::string> names;
  for (const gaze::Site& site : gaze::find_sites(module).sites) names.push_back(site.name);
  return names;
}

}  // namespace

CATCH_TEST_CASE("text: an encoder with a passage in each row of its batch makes one text for its decoder") {
  torch::jit::Module module = encoder_decoder();
  const std::vector<std::string> names = sites_of(module);
  CATCH_REQUIRE(names.size() == 2);
  gaze::Options made = options();
  made.profile_in_code->sites = {names[1]};
  made.profile_in_code->text = gaze::TextInput{{{"encode", 0}}, {}, {}};
  gaze::RequestSpec spec;
  spec.text.sources = {{gaze::SourceKind::Passage, "a", 0, 5}, {gaze::SourceKind::Passage, "b", 5, 10}};
  const at::Tensor ids = at::tensor({10, 11, 12, 2, 0, 13, 14, 15, 16, 2}, at::kLong).view({2, 5});
  const gaze::AttentionRecord record =
      hooks_test::captured(
          module, made,
          [&](gaze::Request& request) {
            const at::Tensor memory = module.get_method("encode")({ids}).toTensor();
            at::Tensor past = at::zeros({1, 0, kWords});
            for (const int64_t id : {1, 13, 10, 14}) {
              past = module.get_method("decode")({row({id}), memory, past}).toTupleRef().elements()[1].toTensor();
            }
            request.tokens({13, 10, 14, 2});
          },
          {spec})
          .only();
  const gaze::TextMedium& text = text_in(record);
  CATCH_CHECK(text.answer_key == -1);
  CATCH_CHECK(at::equal(text.ids_k, ids.flatten()));
  at::Tensor want = at::zeros({4, 10}, at::kDouble);
  const std::vector<int64_t> fed = {1, 13, 10, 14};
  for (size_t t = 0; t < fed.size(); ++t) {
    want[static_cast<int64_t>(t)] = (ids.flatten() == fed[t] + 1).to(at::kDouble).mul(2 * kSharp).softmax(0);
  }
  CATCH_CHECK(hooks_test::worst(record.maps[0].map_tk, want) < 1e-6);
  const gaze::AnswerSources found = gaze::answer_sources(record);
  CATCH_REQUIRE(found.mass_ws.size() == 3);  // </s> ends the answer
  CATCH_CHECK(found.mass_ws[1][1] > 0.9);    // 13 asks for 14, of the second passage
  CATCH_CHECK(found.mass_ws[2][0] > 0.9);    // 10 asks for 11
}

CATCH_TEST_CASE("text: beside a picture that other sites look at, its own sites look at the prompt") {
  torch::jit::Module module = encoder_decoder();
  const std::vector<std::string> names = sites_of(module);
  gaze::Options made = options();
  made.profile_in_code->sites = {names[1]};
  made.profile_in_code->text = gaze::TextInput{{{"decode", 0}}, {names[0]}, {}};
  gaze::Geometry grid;
  grid.rows = 2;
  grid.cols = 3;
  made.profile_in_code->geometry = grid;
  gaze::RequestSpec spec;
  spec.image.tensor = at::zeros({3, 20, 30});
  const std::vector<int64_t> prompt = {kBegin, 10, 11, 12}, fed = {9, 10};
  const auto run = [&](gaze::Options under) {
    return hooks_test::captured(
               module, std::move(under),
               [&](gaze::Request& request) {
                 const at::Tensor memory = module.get_method("encode")({row({3, 4, 5, 6, 7, 8})}).toTensor();
                 at::Tensor past = at::zeros({1, 0, kWords});
                 for (const at::Tensor& ids : {row(prompt), row({9}), row({10})})
                   past = module.get_method("decode")({ids, memory, past}).toTupleRef().elements()[1].toTensor();
                 request.tokens({9, 10, 5});
               },
               {spec})
        .only();
  };
  const gaze::AttentionRecord record = run(made);
  CATCH_REQUIRE(record.error == "");
  CATCH_REQUIRE(record.maps.size() == 2);
  CATCH_CHECK(record.maps[0].map_tk.size(1) == 6);
  CATCH_CHECK(text_in(record, 1).answer_key == 4);
  CATCH_CHECK(text_in(record, 1).between.empty());
  CATCH_CHECK(at::equal(text_in(record, 1).ids_k, at::tensor(prompt, at::kLong)));
  at::Tensor want = at::zeros({3, 6}, at::kDouble);
  const std::vector<int64_t> all = {kBegin, 10, 11, 12, 9, 10};
  for (int64_t t = 0; t < 3; ++t) {
    at::Tensor score_k = at::full({6}, -std::numeric_limits<double>::infinity(), at::kDouble);
    for (int64_t k = 0; k <= 3 + t; ++k)
      score_k[k] = all[static_cast<size_t>(k)] == all[static_cast<size_t>(3 + t)] + 1 ? kSharp : 0.0;
    want[t] = score_k.softmax(0);
  }
  CATCH_CHECK(hooks_test::worst(record.maps[1].map_tk, want) < 1e-6);
  // A text that cannot be had takes nothing from the picture.
  made.profile_in_code->text->sites = {names[0], names[1]};
  const gaze::AttentionRecord mixed = run(made);
  CATCH_CHECK(mixed.error == "");
  CATCH_REQUIRE(mixed.maps.size() == 1);
  CATCH_CHECK(at::equal(mixed.maps[0].map_tk, record.maps[0].map_tk));
  CATCH_REQUIRE(mixed.notes.size() == 1);
  CATCH_CHECK(mixed.notes[0].find("The text is left out. text: expected sites whose keys are the same tokens") == 0);
}

CATCH_TEST_CASE("text: sites of several kinds, rollout, and rows beyond the budget are refused with the reason") {
  torch::jit::Module module = encoder_decoder();
  gaze::RequestSpec spec;
  spec.text.ids = {kBegin};
  const auto error = [&](const gaze::Options& under) {
    return hooks_test::captured(
               module, under,
               [&](gaze::Request&) {
                 const at::Tensor memory = module.get_method("encode")({row({3, 4, 5})}).toTensor();
                 at::Tensor past = at::zeros({1, 0, kWords});
                 for (const int64_t id : {1, 9})
                   past = module.get_method("decode")({row({id}), memory, past}).toTupleRef().elements()[1].toTensor();
               },
               {spec})
        .only()
        .error;
  };
  gaze::Options made = options();
  made.profile_in_code->text = gaze::TextInput{};
  CATCH_CHECK(error(made).find("text: expected sites whose keys are the same tokens") == 0);
  made.profile_in_code->sites = {sites_of(module)[0]};
  CATCH_CHECK(error(made) == "");
  made.queue_bytes = 1000;
  CATCH_CHECK(error(made).find("Raise GAZE_QUEUE_BYTES") != std::string::npos);
  made.profile_in_code->layers = gaze::ops::LayerReduce::Rollout;
  CATCH_CHECK_THROWS_WITH(gaze::attach(module, made), Catch::Matchers::StartsWith("layers: expected mean, max, last"));
}

CATCH_TEST_CASE("text: answers that nobody opened have the prompts that the model was given") {
  torch::jit::Module module = decoder(false, at::kCPU);
  const auto sink = std::make_shared<MemorySink>();
  gaze::Options made = options();
  made.sink = sink;
  gaze::Gaze gaze = gaze::attach(module, made);
  for (const std::vector<int64_t>& prompt : {kPrompt, std::vector<int64_t>{kBegin, 10, 11, kSep}}) {
    at::Tensor cache = at::zeros({1, 0, kWords});
    for (const at::Tensor& ids : {row(prompt), row({9}), row({10})})
      cache = module.forward({ids, cache, 0, 0}).toTupleRef().elements()[1].toTensor();
  }
  CATCH_REQUIRE(gaze.flush());
  const std::vector<gaze::AttentionRecord> records = sink->records();
  CATCH_REQUIRE(records.size() == 2);
  CATCH_CHECK(at::equal(text_in(records[0]).ids_k, at::tensor(kPrompt, at::kLong)));
  CATCH_CHECK(text_in(records[1]).ids_k.size(0) == 4);
  CATCH_CHECK(text_in(records[1]).answer_key == 4);
}
