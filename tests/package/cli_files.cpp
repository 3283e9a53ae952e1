// SPDX-License-Identifier: MIT
// Writes the models and inputs that cli_test.py gives to the program: gaze_cli_files FOLDER [PHOTO] [RECORDINGS]
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gaze/render/audio_file.hpp>
#include <gaze/render/picture.hpp>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>

namespace {

using c10::IValue;
const std::filesystem::path* folder = nullptr;

void save(const std::string& name, const IValue& value) {
  const std::vector<char> bytes = torch::jit::pickle_save(value);
  std::ofstream((*folder / name).string(), std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

IValue tuple(std::vector<IValue> values) { return c10::ivalue::Tuple::create(std::move(values)); }

IValue named(std::vector<std::pair<std::string, IValue>> values) {
  c10::impl::GenericDict dict(c10::StringType::get(), c10::AnyType::get());
  for (auto& [name, value] : values) dict.insert(name, value);
  return dict;
}

void save_module(const std::string& name, const std::string& code) {
  torch::jit::Module module(name);
  module.define(code);
  module.save((*folder / (name + ".pt")).string());
}

void write_speech_inputs() {
  // Two seconds that rise and fall, padded by the model itself.
  const at::Tensor time_s = at::arange(32000, at::kFloat) / 16000;
  const at::Tensor audio_bs = ((time_s * 2764.6).sin() * (time_s * 6.28).sin() * 0.4).unsqueeze(0);
  const at::Tensor prompt_bt = at::full({1, 1}, 1, at::kLong);
  save("speech_inputs.pt", tuple({audio_bs, prompt_bt, int64_t{30}}));
  // The same, padded to the model's window.
  const at::Tensor window_bs = at::cat({audio_bs, at::zeros({1, 96000})}, 1);
  save("speech_padded_inputs.pt", tuple({window_bs, prompt_bt, int64_t{2}}));
}

/// What a user has: recordings as they are, which the model pads or cuts to its window.
void write_recordings(const std::filesystem::path& from) {
  for (const auto& file : std::filesystem::directory_iterator(from)) {
    if (file.path().extension() != ".ogg") continue;
    const at::Tensor audio_bs = gaze::read_audio(file.path().string()).samples_ct.narrow(0, 0, 1);
    save("speech_" + file.path().stem().string() + ".pt",
         tuple({audio_bs, at::full({1, 1}, 1, at::kLong), int64_t{2}}));
  }
}

void write_stickers_inputs(const at::Tensor& image_bchw) {
  const at::Tensor prompt_bt = at::tensor({int64_t{1}, int64_t{3}, int64_t{4}, int64_t{5}, int64_t{11}}).unsqueeze(0);
  const int64_t max_new = 11;
  save("forward.pt", tuple({image_bchw, prompt_bt}));
  save("generate.pt", tuple({image_bchw, prompt_bt, max_new}));
  // "which number is on the red sticker ?"
  const at::Tensor which_bt = at::tensor(at::ArrayRef<int64_t>({1, 6, 7, 8, 9, 4, 14, 10, 12})).unsqueeze(0);
  save("which.pt", tuple({image_bchw, which_bt, max_new}));
  save("generate_named.pt", named({{"max_new", max_new}, {"image", image_bchw}, {"prompt", prompt_bt}}));
  save("encode.pt", image_bchw);
  save("encode_two.pt", at::cat({image_bchw, image_bchw.flip({3})}));
  c10::impl::GenericList nothing(c10::AnyType::get());
  save("decode_step.pt", tuple({prompt_bt, at::full({1, 60, 128}, 0.1), nothing}));
  save("batch.pt",
       tuple({image_bchw.expand({2, 3, 96, 160}).contiguous(), prompt_bt.expand({2, 5}).contiguous(), max_new}));
  save("too_few.pt", tuple({image_bchw}));
  save("too_many.pt", tuple({image_bchw, prompt_bt, max_new, max_new}));
  save("wrong_type.pt", tuple({image_bchw, prompt_bt, prompt_bt}));
  save("wrong_size.pt", tuple({image_bchw.narrow(2, 0, 80).contiguous(), prompt_bt, max_new}));
  save("wrong_name.pt", named({{"image", image_bchw}, {"prompt", prompt_bt}, {"max_now", max_new}}));
}

/// Three tokens are made, and their ids returned in every form that models have for it.
void write_ids_model() {
  save_module("ids", R"(
    def look(self, q, k):
      for i in range(3):
        q = q + 0 * torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), dim=-1), k)
      return torch.tensor([[4, 5, 6]]) + (0 * q.sum()).long()
    def rows(self, q, k):
      return self.look(q, k)
    def one_row(self, q, k):
      return self.look(q, k)[0]
    def small(self, q, k):
      return self.look(q, k).int()
    def with_scores(self, q, k):
      return self.look(q, k), q
    def behind_scores(self, q, k):
      return q, (self.look(q, k), q)
    def numbers(self, q, k) -> List[int]:
      ids: List[int] = self.look(q, k)[0].tolist()
      return ids
    def list_of_rows(self, q, k):
      return [self.look(q, k)[0]]
    def a_tensor_a_token(self, q, k):
      ids = self.look(q, k)
      return [ids[:, :1], ids[:, 1:2], ids[:, 2:]]
    def sequences(self, q, k):
      return {"scores": q, "sequences": self.look(q, k)}
    def nested(self, q, k):
      return {"answer": {"sequences": self.look(q, k)}}
    def behind_its_prompt(self, q, k, prompt):
      return torch.cat([prompt, self.look(q, k)], 1)
    def filled_up(self, q, k):
      return torch.cat([self.look(q, k)[:, :1], torch.tensor([[7, 0]])], 1)
    def no_ids(self, q, k):
      return self.look(q, k) * 0.5
    def two_rows(self, q, k):
      return self.look(q, k).expand(2, 3)
  )");
}

void write_tiny_model() {
  save_module("no_attention", R"(
    def forward(self, x):
      return torch.relu(x) + 1
  )");
  save_module("tiny", R"(
    def forward(self, q, k, v):
      weights = torch.softmax(torch.matmul(q, k.transpose(-2, -1)), dim=-1)
      return torch.matmul(weights, v)
  )");
  const at::Tensor q = at::linspace(-1, 1, 4).reshape({1, 1, 1, 4});
  const at::Tensor k = at::linspace(-1, 1, 24).reshape({1, 1, 6, 4});
  save("tiny_inputs.pt", tuple({q, k, k}));
  save("tiny_rows.pt", tuple({at::linspace(-1, 1, 16).reshape({1, 1, 4, 4}), k, k}));
  save("tiny_words.pt", tuple({q.flatten(0, 1), k.flatten(0, 1), k.flatten(0, 1)}));
  save("tiny_queries.pt", tuple({q, k}));
  save("tiny_prompted.pt", tuple({q, k, at::tensor({int64_t{7}, int64_t{1}, int64_t{2}, int64_t{3}}).unsqueeze(0)}));
  save_module("no_kernel", R"(
    def forward(self, q, k, v):
      out = torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)), dim=-1), v)
      return torch.cos(out.to_sparse())
  )");
  save_module("sound", R"(
    def forward(self, wave):
      x = wave.unfold(1, 20, 20)
      return torch.matmul(torch.softmax(torch.matmul(x, x.transpose(1, 2)), dim=-1), x)
  )");
  save("sound_inputs.pt", tuple({at::linspace(-1, 1, 610).unsqueeze(0)}));
  // One row of keys: 12 of a picture, then 20 of a sound.
  save_module("omni", R"(
    def forward(self, image, wave):
      seen = torch.adaptive_avg_pool1d(image.reshape(1, 72, 32), 4).reshape(1, 3, 3, 8, 4).mean(3).flatten(2).transpose(1, 2)
      heard = wave.unfold(1, 50, 50)[:, :, :48].reshape(1, 20, 3, 16).abs().mean(-1)
      keys = torch.cat([seen, heard], 1)
      return torch.matmul(torch.softmax(torch.matmul(keys[:, 5:6] * 8, keys.transpose(1, 2)), dim=-1), keys)
  )");
  const at::Tensor wave = (at::arange(1000, at::kFloat) * 0.5).sin() * at::linspace(0, 1, 1000);
  save("omni_inputs.pt", tuple({at::linspace(0, 1, 3 * 24 * 32).reshape({1, 3, 24, 32}), wave.unsqueeze(0)}));
  save("tiny_nan.pt", tuple({q * std::numeric_limits<double>::quiet_NaN(), k, k}));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: gaze_cli_files FOLDER [PHOTO] [RECORDINGS]\n";
    return 2;
  }
  const std::filesystem::path where = argv[1];
  folder = &where;
  std::filesystem::create_directories(where);
  at::Tensor image_bchw = at::full({1, 3, 96, 160}, 0.1);
  if (argc > 2) {
    const at::Tensor photo_hwc = gaze::decode(gaze::Picture(argv[2]));
    const at::Tensor pixels_bchw = photo_hwc.permute({2, 0, 1}).unsqueeze(0).to(at::kFloat) / 255;
    image_bchw = (at::adaptive_avg_pool2d(pixels_bchw, {96, 160}) - 0.45) / 0.27;
  }
  write_stickers_inputs(image_bchw);
  write_ids_model();
  write_speech_inputs();
  if (argc > 3) write_recordings(argv[3]);
  write_tiny_model();
  return 0;
}
