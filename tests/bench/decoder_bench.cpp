// SPDX-License-Identifier: MIT
// What capture costs a model: one layer of well-known shapes with random weights, many steps with capture on and off.
#include <ATen/ATen.h>
#include <torch/script.h>
#include <gaze/gaze.hpp>
#include <gaze/render/overlay.hpp>

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>

#include "device/frame_pipeline.hpp"
#include "harness.hpp"
#include "maps/side_stream.hpp"

namespace gaze_bench {
namespace {

using torch::jit::Module;

enum class Form { Sdpa, Softmax };

/// How capture is switched on.
struct Mode {
  const char* name;
  void (*set)(gaze::Options& options);
};
const Mode kModes[] = {{"live", [](gaze::Options&) {}},
                       {"deferred", [](gaze::Options& options) { options.deferred_tokens = 32; }}};

class Swallow : public gaze::Sink {
 public:
  void consume(const gaze::AttentionRecord& /*record*/) override {}
};

at::TensorOptions options_of(at::ScalarType type) { return at::TensorOptions().device(settings().device).dtype(type); }

at::Tensor random(at::IntArrayRef sizes, at::ScalarType type, double scale = 1) {
  return at::empty(sizes, options_of(at::kFloat)).uniform_(-scale, scale).to(type);
}

void add_linear(Module& module, const char* name, int64_t out, int64_t in, at::ScalarType type) {
  module.register_parameter(name, random({out, in}, type, 1 / std::sqrt(static_cast<double>(in))), false);
}

void add_norm(Module& module, const char* name, int64_t size, at::ScalarType type) {
  module.register_parameter(name, at::ones({size}, options_of(type)), false);
}

const char* attention_source(Form form) {
  return form == Form::Sdpa ? R"JIT(
def attend(self, q, k, v):
    return torch.scaled_dot_product_attention(q, k, v)
)JIT"
                            : R"JIT(
def attend(self, q, k, v):
    return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)) * q.size(3) ** -0.5, -1), v)
)JIT";
}

/// Projections are [size, size]; `from` is the size of the keys' own input, 0 when the caller projects them.
Module attention(const char* name, int64_t size, int64_t heads, int64_t from, Form form, at::ScalarType type,
                 const char* source) {
  Module module(name);
  module.register_attribute("heads", c10::IntType::get(), heads);
  for (const char* weight : {"q", "out"}) add_linear(module, weight, size, size, type);
  if (from > 0)
    for (const char* weight : {"k", "v"}) add_linear(module, weight, size, from, type);
  module.define(R"JIT(
def split(self, x):
    return x.view(x.size(0), x.size(1), self.heads, -1).transpose(1, 2)

def join(self, x):
    return torch.linear(x.transpose(1, 2).reshape(x.size(0), x.size(2), -1), self.out)
)JIT");
  module.define(attention_source(form));
  module.define(source);
  return module;
}

/// Keys and values of the step are put behind those of the steps before, as decoders do.
constexpr const char* kCached = R"JIT(
def forward(self, x, past_k, past_v) -> Tuple[Tensor, Tensor, Tensor]:
    k = torch.cat([past_k, self.split(torch.linear(x, self.k))], 2)
    v = torch.cat([past_v, self.split(torch.linear(x, self.v))], 2)
    return self.join(self.attend(self.split(torch.linear(x, self.q)), k, v)), k, v
)JIT";

/// Keys and values of the other side were made once, before the first step.
constexpr const char* kPrepared = R"JIT(
def forward(self, x, k, v):
    return self.join(self.attend(self.split(torch.linear(x, self.q)), k, v))
)JIT";

constexpr const char* kProjected = R"JIT(
def forward(self, x, other):
    k = self.split(torch.linear(other, self.k))
    v = self.split(torch.linear(other, self.v))
    return self.join(self.attend(self.split(torch.linear(x, self.q)), k, v))
)JIT";

/// A model's layer, the arguments of its first step, and what of its attention is wanted.
struct Decoder {
  Module module;
  std::vector<c10::IValue> first;
  bool grows = false;  ///< a step returns the cache for the next one as its second and third result
  int64_t steps = 32;
  std::string site;
  gaze::Geometry geometry;
  int64_t prompt_tokens = 0;
  int64_t max_tokens = 256;
};

at::Tensor heads_of(int64_t heads, int64_t keys, int64_t size, at::ScalarType type) {
  return random({1, heads, keys, size}, type);
}

/// LLaVA-1.5-7B's, or of a smoke run small ones.
struct LlavaSizes {
  int64_t size = 4096, heads = 32, hidden = 11008, layers = 32;
};

/// RMS norm, attention over the cache, gated feed-forward; rotary embeddings left out.
Module llava_layer(const std::string& name, const LlavaSizes& sizes, Form form, at::ScalarType type) {
  Module module(name);
  for (const char* norm : {"norm1", "norm2"}) add_norm(module, norm, sizes.size, type);
  for (const char* weight : {"gate", "up"}) add_linear(module, weight, sizes.hidden, sizes.size, type);
  add_linear(module, "down", sizes.size, sizes.hidden, type);
  module.register_module("self_attn",
                         attention("SelfAttention", sizes.size, sizes.heads, sizes.size, form, type, kCached));
  module.define(R"JIT(
def forward(self, x, past_k, past_v) -> Tuple[Tensor, Tensor, Tensor]:
    h, k, v = self.self_attn.forward(torch.rms_norm(x, [x.size(2)], self.norm1), past_k, past_v)
    x = x + h
    n = torch.rms_norm(x, [x.size(2)], self.norm2)
    return x + torch.linear(torch.silu(torch.linear(n, self.gate)) * torch.linear(n, self.up), self.down), k, v
)JIT");
  return module;
}

Decoder llava(Form form, at::ScalarType type) {
  const LlavaSizes sizes;
  Decoder decoder{
      llava_layer("Llama", sizes, form, type), {random({1, 1, sizes.size}, type)}, true, 32, "self_attn", {24, 24}};
  decoder.geometry.first_key = 5;
  for (int i = 0; i < 2; ++i) decoder.first.emplace_back(heads_of(sizes.heads, 624, sizes.size / sizes.heads, type));
  return decoder;
}

/// All layers, each with a cache of its own: a GPU's memory holds them.
Decoder llava_whole(Form form, at::ScalarType type) {
  LlavaSizes sizes;
  if (settings().device.is_cpu()) sizes = {256, 4, 512, 3};
  Module module("Llava");
  std::string source =
      "def forward(self, x, past_k: List[Tensor], past_v: List[Tensor]) -> Tuple[Tensor, List[Tensor], "
      "List[Tensor]]:\n    all_k: List[Tensor] = []\n    all_v: List[Tensor] = []\n";
  c10::List<at::Tensor> caches[2];
  for (int64_t n = 0; n < sizes.layers; ++n) {
    const std::string number = std::to_string(n), name = "layer" + number;
    module.register_module(name, llava_layer(name, sizes, form, type));
    source += "    x, k, v = self." + name + ".forward(x, past_k[" + number + "], past_v[" + number + "])\n";
    source += "    all_k.append(k)\n    all_v.append(v)\n";
    for (c10::List<at::Tensor>& cache : caches)
      cache.push_back(heads_of(sizes.heads, 624, sizes.size / sizes.heads, type));
  }
  module.define(source + "    return x, all_k, all_v\n");
  Decoder decoder{module, {random({1, 1, sizes.size}, type), caches[0], caches[1]}, true, 32, "*.self_attn", {24, 24}};
  decoder.geometry.first_key = 5;
  return decoder;
}

/// Layer norms, self attention over the answer so far, cross attention over `keys`, feed-forward.
Decoder with_memory(int64_t size, int64_t heads, int64_t keys, gaze::Geometry geometry, Form form,
                    at::ScalarType type) {
  Module module("Decoder");
  for (const char* norm : {"norm1", "norm2", "norm3"}) add_norm(module, norm, size, type);
  add_linear(module, "up", 4 * size, size, type);
  add_linear(module, "down", size, 4 * size, type);
  module.register_module("self_attn", attention("SelfAttention", size, heads, size, form, type, kCached));
  module.register_module("cross_attn", attention("CrossAttention", size, heads, 0, form, type, kPrepared));
  module.define(R"JIT(
def forward(self, x, past_k, past_v, k, v) -> Tuple[Tensor, Tensor, Tensor]:
    h, next_k, next_v = self.self_attn.forward(torch.layer_norm(x, [x.size(2)], self.norm1), past_k, past_v)
    x = x + h
    x = x + self.cross_attn.forward(torch.layer_norm(x, [x.size(2)], self.norm2), k, v)
    n = torch.layer_norm(x, [x.size(2)], self.norm3)
    return x + torch.linear(torch.gelu(torch.linear(n, self.up)), self.down), next_k, next_v
)JIT");
  Decoder decoder{module, {random({1, 1, size}, type)}, true, 32, "cross_attn", geometry};
  for (int i = 0; i < 2; ++i) decoder.first.emplace_back(heads_of(heads, 4, size / heads, type));
  for (int i = 0; i < 2; ++i) decoder.first.emplace_back(heads_of(heads, keys, size / heads, type));
  return decoder;
}

Decoder whisper(Form form, at::ScalarType type) { return with_memory(1280, 20, 1500, {1, 1500}, form, type); }

Decoder blip(Form form, at::ScalarType type) {
  gaze::Geometry geometry{24, 24};
  geometry.leading = 1;
  return with_memory(768, 12, 577, geometry, form, type);
}

/// A transformer block of the UNet at 64 x 64: every query of one denoising step over the 77 words of the prompt.
Decoder sdxl(Form form, at::ScalarType type) {
  constexpr int64_t kSize = 640, kHeads = 10, kWords = 77, kWordSize = 2048;
  const int64_t queries = settings().smoke ? 256 : 4096;
  Module module("Block");
  for (const char* norm : {"norm1", "norm2", "norm3"}) add_norm(module, norm, kSize, type);
  add_linear(module, "gate", 4 * kSize, kSize, type);
  add_linear(module, "up", 4 * kSize, kSize, type);
  add_linear(module, "down", kSize, 4 * kSize, type);
  module.register_module("attn1", attention("SelfAttention", kSize, kHeads, kSize, Form::Sdpa, type, kProjected));
  module.register_module("attn2", attention("CrossAttention", kSize, kHeads, kWordSize, form, type, kProjected));
  module.define(R"JIT(
def forward(self, x, words):
    n = torch.layer_norm(x, [x.size(2)], self.norm1)
    x = x + self.attn1.forward(n, n)
    x = x + self.attn2.forward(torch.layer_norm(x, [x.size(2)], self.norm2), words)
    n = torch.layer_norm(x, [x.size(2)], self.norm3)
    return x + torch.linear(torch.linear(n, self.up) * torch.gelu(torch.linear(n, self.gate)), self.down)
)JIT");
  Decoder decoder{module,  {random({1, queries, kSize}, type), random({1, kWords, kWordSize}, type)},
                  false,   1,
                  "attn2", {1, kWords}};
  decoder.prompt_tokens = 1;
  decoder.max_tokens = queries;
  return decoder;
}

/// All steps of one answer. @return the last one's result
at::Tensor answer(Decoder& decoder) {
  const at::NoGradGuard no_grad;
  std::vector<c10::IValue> arguments = decoder.first;
  at::Tensor out;
  for (int64_t step = 0; step < decoder.steps; ++step) {
    const c10::IValue result = decoder.module.forward(arguments);
    if (!decoder.grows) {
      out = result.toTensor();
      continue;
    }
    const auto& elements = result.toTupleRef().elements();
    out = elements[0].toTensor();
    arguments[1] = elements[1];
    arguments[2] = elements[2];
  }
  synchronise();
  return out;
}

/// A model with capture on, and its request.
struct Captured {
  Decoder decoder;
  gaze::Gaze gaze = {};
  gaze::Picture picture = {};

  at::Tensor answer() {
    gaze::RequestSpec spec;
    spec.geometry = decoder.geometry;
    spec.image = picture;
    spec.prompt_tokens = decoder.prompt_tokens;
    gaze::Request request = gaze.begin(std::move(spec));
    at::Tensor out = gaze_bench::answer(decoder);
    request.finish();
    return out;
  }
};

gaze::Options capturing(const Decoder& decoder, std::shared_ptr<gaze::Sink> sink) {
  gaze::Options options;
  options.capture = true;
  options.read_environment = false;
  options.sink = std::move(sink);
  options.max_tokens = decoder.max_tokens;
  gaze::Profile profile;
  profile.sites = {decoder.site};
  options.profile_in_code = profile;
  return options;
}

/// Both read the same memory: where weights happen to lie changes a step by more than capture does.
void share_weights(Module& with, const Module& without) {
  auto theirs = without.parameters().begin();
  for (at::Tensor mine : with.parameters()) mine.set_data(*theirs++);
}

/// What a step with capture may take, times one without; 0: no gate.
struct StepGates {
  double live = 0, deferred = 0;
};

Subject decoder_subject(Decoder (*make)(Form, at::ScalarType), Form form, at::ScalarType type, const Mode& mode,
                        const StepGates& gates) {
  const auto on = std::make_shared<Captured>();
  const auto off = std::make_shared<Decoder>();
  // Made twice: copies of a module share their type, which is what taps are placed in.
  for (Decoder* decoder : {&on->decoder, off.get()}) {
    at::manual_seed(1);
    *decoder = make(form, type);
    if (settings().smoke) decoder->steps = 1;
  }
  share_weights(on->decoder.module, off->module);
  on->decoder.first = off->first;
  gaze::Options options = capturing(on->decoder, std::make_shared<Swallow>());
  mode.set(options);
  on->gaze = gaze::attach(on->decoder.module, options);

  Subject subject;
  // The worker gets its record before the next run, as it would from a server between two answers.
  const auto settle = [on] { on->gaze.flush(); };
  subject.ours = {"capture on", [on] { on->answer(); }, settle, {}, on->decoder.steps, true};
  subject.peers = {{"capture off", [off] { answer(*off); }, settle, {}, off->steps, true}};
  subject.seconds = form == Form::Sdpa ? 40 : 10;
  subject.check = [on, off]() -> std::string {
    // The profiling executor replaces the graph after the first runs: compare what it settles on.
    for (int warm = 0; warm < 2; ++warm) {
      on->answer();
      answer(*off);
    }
    const at::Tensor with = on->answer().to(at::kCPU).contiguous();
    const at::Tensor without = answer(*off).to(at::kCPU).contiguous();
    on->gaze.flush();
    const gaze::Stats stats = on->gaze.stats();
    if (std::memcmp(with.data_ptr(), without.data_ptr(), with.nbytes()) != 0) return "capture changed the output";
    if (stats.written != 3) return "expected 3 records, got " + std::to_string(stats.written);
    return "";
  };
  const double at_most = &mode == &kModes[0] ? gates.live : gates.deferred;
  if (form == Form::Sdpa && at_most > 0) subject.gates = {{Gate::Kind::ShareOfPeer, at_most, 0, /*on_median=*/true}};
  return subject;
}

/// What a request costs the thread that opens it, beside the calls of its model: one layer of few keys.
Subject request_subject() {
  const auto on = std::make_shared<Captured>();
  const auto off = std::make_shared<Decoder>();
  for (Decoder* decoder : {&on->decoder, off.get()}) {
    Module module("Few");
    module.define(R"JIT(
def forward(self, q, k):
    return torch.scaled_dot_product_attention(q, k, k)
)JIT");
    *decoder = {module, {random({1, 2, 1, 8}, at::kFloat), random({1, 2, 16, 8}, at::kFloat)}, false, 1, "*", {4, 4}};
  }
  on->gaze = gaze::attach(on->decoder.module, capturing(on->decoder, std::make_shared<Swallow>()));
  Subject subject;
  subject.ours = {"a request", [on] { on->answer(); }, [on] { on->gaze.flush(); }, {}, 1, true};
  subject.peers = {{"its call alone", [off] { answer(*off); }, {}, {}, 1, true}};
  subject.seconds = 2;
  return subject;
}

/// Draws the picture of every token, brings the frames back and drops them: what a bundle takes of the device, without
/// the encoder and the disk.
class DrawAndDrop : public gaze::Sink {
 public:
  void consume(const gaze::AttentionRecord& record) override {
    const auto ring = gaze::FrameRing::of(record.device());
    const gaze::SideStream side(ring->stream(), record);
    const gaze::Composition drawn = gaze::compose(record);
    gaze::FramePipeline frames(*ring);
    const auto bring_back = [&](const gaze::Overlay& overlay) {
      const at::Tensor& from_hwc = overlay.rgb_hwc;
      frames.add(
          from_hwc.size(0), from_hwc.size(1), [&](at::Tensor& rgb_hwc) { rgb_hwc.copy_(from_hwc); },
          [](const at::Tensor&) {});
    };
    bring_back(drawn.summary);
    for (const gaze::Overlay& word : drawn.words) bring_back(word);
    frames.finish();
  }
};

#ifdef GAZE_WITH_OPENCV
/// Bundles in a folder, which goes with it.
class Folder : public gaze::BundleSink {
 public:
  Folder() : Folder(std::filesystem::temp_directory_path() / ("gaze_bench-" + std::to_string(::getpid()))) {}
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() override {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

 private:
  explicit Folder(const std::filesystem::path& path) : BundleSink(options_for(path)), path_(path) {}
  static gaze::BundleOptions options_for(const std::filesystem::path& path) {
    gaze::BundleOptions options;
    options.out_dir = path.string();
    return options;
  }
  const std::filesystem::path path_;
};
#endif

/// Ends the line where a record was lost: a step beside nothing is no figure.
void expect_all_written(const gaze::Gaze& gaze) {
  const gaze::Stats stats = gaze.stats();
  if (stats.lost() != 0) throw std::runtime_error(std::to_string(stats.lost()) + " answers were not drawn");
}

/// Steps of one answer while the sink has the answer before, against those steps while it does not.
Subject beside_subject(Decoder (*make)(Form, at::ScalarType), at::ScalarType type, const char* name,
                       std::shared_ptr<gaze::Sink> sink) {
  const auto drawn = std::make_shared<Captured>();
  const auto alone = std::make_shared<Captured>();
  for (Captured* captured : {drawn.get(), alone.get()}) {
    at::manual_seed(1);
    captured->decoder = make(Form::Sdpa, type);
    if (settings().smoke) captured->decoder.steps = 1;
    captured->picture = at::randint(256, {1080, 1920, 3}, options_of(at::kByte));
  }
  share_weights(alone->decoder.module, drawn->decoder.module);
  alone->decoder.first = drawn->decoder.first;
  drawn->gaze = gaze::attach(drawn->decoder.module, capturing(drawn->decoder, std::move(sink)));
  alone->gaze = gaze::attach(alone->decoder.module, capturing(alone->decoder, std::make_shared<Swallow>()));

  const auto way = [](const char* title, const std::shared_ptr<Captured>& captured) {
    // What is timed begins as the worker gets the record of the answer before.
    const auto hand_over = [captured] {
      captured->gaze.flush();
      expect_all_written(captured->gaze);
      captured->answer();
    };
    return Way{title, [captured] { captured->answer(); }, hand_over, {}, captured->decoder.steps, true};
  };
  Subject subject;
  subject.ours = way(name, drawn);
  subject.peers = {way("capture alone", alone)};
  subject.seconds = 40;
  subject.check = [drawn]() -> std::string {
    drawn->answer();
    drawn->gaze.flush();
    const gaze::Stats stats = drawn->gaze.stats();
    return stats.written == 1 ? "" : "expected 1 answer drawn, got " + std::to_string(stats.written);
  };
  return subject;
}

Subject drawn_subject(Decoder (*make)(Form, at::ScalarType), at::ScalarType type) {
  Subject subject = beside_subject(make, type, "drawn beside it", std::make_shared<DrawAndDrop>());
  // A processor draws with what the model would have had.
  if (!settings().device.is_cpu()) subject.gates = {{Gate::Kind::ShareOfPeer, 1.01}};
  return subject;
}

}  // namespace

void add_decoder_lines() {
  struct Model {
    const char* name;
    Decoder (*make)(Form, at::ScalarType);
    StepGates on_cpu = {}, elsewhere = {};  // what arithmetic leaves: docs/performance.md
  };
  const bool cpu = settings().device.is_cpu();
  std::vector<Model> models = {{"LLaVA-1.5-7B layer, 640 keys", llava, {1.03, 1.01}},
                               {"Whisper-large layer, 1500 keys", whisper, {1.08, 1.03}},
                               {"BLIP-large layer, 577 keys", blip, {1.08, 1.03}},
                               {"SDXL block, 4096 queries x 77 keys", sdxl}};
  // The processor's line only shows that it runs.
  if (!cpu || settings().smoke) models.push_back({"LLaVA-1.5-7B, 32 layers, 640 keys", llava_whole, {}, {1.03, 1.005}});
  for (const int threads : thread_counts()) {
    add("begin, one row and finish, on the host's thread", threads, [] { return request_subject(); });
    for (const Model& model : models) {
      for (const auto form : {Form::Sdpa, Form::Softmax}) {
        for (const auto type : {at::kBFloat16, at::kFloat}) {
          if (type == at::kFloat && !settings().device.is_cpu()) continue;
          for (const Mode& mode : kModes) {
            const std::string title = std::string("step ") + (type == at::kFloat ? "fp32, " : "bf16, ") + model.name +
                                      ", " + (form == Form::Sdpa ? "SDPA, " : "softmax, ") + mode.name;
            const StepGates gates = cpu ? model.on_cpu : model.elsewhere;
            add(title, threads, [=, &mode] { return decoder_subject(model.make, form, type, mode, gates); });
          }
        }
      }
      if (model.make == sdxl) continue;  // 4096 pictures an answer
      const auto type = settings().device.is_cpu() ? at::kFloat : at::kBFloat16;
      add(std::string("step, ") + model.name + ", live, beside drawing", threads,
          [=] { return drawn_subject(model.make, type); });
#ifdef GAZE_WITH_OPENCV
      add(std::string("step, ") + model.name + ", live, beside bundles", threads,
          [=] { return beside_subject(model.make, type, "written beside it", std::make_shared<Folder>()); });
#endif
    }
  }
}

}  // namespace gaze_bench
