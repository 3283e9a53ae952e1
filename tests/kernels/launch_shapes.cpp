// SPDX-License-Identifier: MIT
// gaze_launch_shapes [FILE]: what the launchers of the CUDA kernels start for the benchmark's shapes, as JSON, for GPUs
// of several sizes. Nothing runs: launches are recorded. tests/bench/roofline.py reads it.
#include <cuda_runtime.h>

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "kernels.hpp"

namespace {

using namespace gaze::kernels;

/// Memory that nobody reads, aligned as allocations are.
template <typename T>
T* memory() {
  return reinterpret_cast<T*>(std::uintptr_t{1} << 32);
}

AccumulatorRows rows_of(std::int64_t cells) {
  return {memory<float>(),
          memory<float>(),
          memory<float>(),
          memory<float>(),
          memory<std::int32_t>(),
          memory<std::int32_t>(),
          memory<std::int32_t>(),
          cells,
          cells};
}

int draw(std::int64_t height, std::int64_t width) {
  OverlayParams p;
  p.rgb = memory<std::uint8_t>();
  p.out_rgb = memory<std::uint8_t>();
  p.value_yx = memory<float>();
  p.height = p.seen_bottom = height;
  p.width = p.seen_right = width;
  p.rows = p.cols = 24;
  p.scale_x = 24.0 / static_cast<double>(width);
  p.scale_y = 24.0 / static_cast<double>(height);
  return cuda::overlay(p, nullptr);
}

int reduce_rows(std::int64_t heads, std::int64_t queries, std::int64_t keys, HeadReduce by) {
  ReduceParams p;
  p.attn_hqk = memory<void>();
  p.dtype = DType::BF16;
  p.heads = p.all_heads = heads;
  p.queries = queries;
  p.keys = p.stride_q = keys;
  p.stride_h = queries * keys;
  p.stride_k = 1;
  p.by.heads = by;
  p.to = rows_of(keys);
  return cuda::reduce(p, nullptr);
}

struct Attention {
  std::int64_t queries, heads, kv_heads, keys, size;
};

/// @param apart  each token's queries lie in memory of their own, as those of a deferred pass
int attend_rows(const Attention& shape, int layers, std::int64_t batch = 1, bool apart = false) {
  AttendReduceParams p;
  AttendParams& a = p.scores;
  a.q_hqd = memory<void>();
  a.k_hkd = memory<void>();
  a.dtype = DType::BF16;
  a.heads = a.all_heads = shape.heads;
  a.kv_heads = shape.kv_heads;
  a.queries = shape.queries;
  a.keys = shape.keys;
  a.size = a.q_stride_q = a.k_stride_k = shape.size;
  a.q_stride_h = shape.queries * shape.size;
  a.k_stride_h = shape.keys * shape.size;
  a.q_stride_d = a.k_stride_d = 1;
  p.by.heads = HeadReduce::Weighted;
  p.to = rows_of(shape.keys);
  a.q_stride_b = a.heads * a.q_stride_h;
  a.k_stride_b = a.kv_heads * a.k_stride_h;
  const std::vector<const void*> queries(static_cast<std::size_t>(shape.queries), memory<void>());
  if (apart) a.q_t = queries.data();
  const std::vector<AttendReduceParams> calls(static_cast<std::size_t>(layers), p);
  const std::vector<RowOffset> offset_b(static_cast<std::size_t>(batch));
  return cuda::attend_reduce(calls.data(), layers, offset_b.data(), batch, memory<void>(), nullptr);
}

int normalise_maps(std::int64_t tokens, std::int64_t cells) {
  NormaliseParams p;
  p.tokens = tokens;
  p.cells = cells;
  p.percentile = 0.99;
  return cuda::normalise(p, nullptr);
}

struct Shape {
  std::string name;
  std::function<int()> start;
};

std::vector<Shape> shapes() {
  const auto row = [](const char* name, const Attention& shape) {
    return Shape{std::string("one row ") + name, [=] { return attend_rows(shape, 1); }};
  };
  const auto held = [](const char* name, std::int64_t heads, std::int64_t queries, std::int64_t keys, HeadReduce by) {
    return Shape{std::string("reduce ") + name, [=] { return reduce_rows(heads, queries, keys, by); }};
  };
  return {{"overlay 224", [] { return draw(224, 224); }},
          {"overlay 1080p", [] { return draw(1080, 1920); }},
          {"overlay 4K", [] { return draw(2160, 3840); }},
          held("LLaVA 32x640x640, mean", 32, 640, 640, HeadReduce::Mean),
          held("LLaVA 32x640x640, weighted", 32, 640, 640, HeadReduce::Weighted),
          held("Whisper 20x448x1500, mean", 20, 448, 1500, HeadReduce::Mean),
          held("Whisper 20x448x1500, weighted", 20, 448, 1500, HeadReduce::Weighted),
          row("LLaVA 32/32x640x128", {1, 32, 32, 640, 128}),
          row("Whisper 20/20x1500x64", {1, 20, 20, 1500, 64}),
          row("BLIP 16/16x577x64", {1, 16, 16, 577, 64}),
          row("Llama-3.2-V 32/8x6404x128", {1, 32, 8, 6404, 128}),
          {"SDXL 4096 rows 10x77x64",
           [] {
             return attend_rows({4096, 10, 10, 77, 64}, 1);
           }},
          {"flush LLaVA 32 layers x 32 rows",
           [] {
             return attend_rows({32, 32, 32, 640, 128}, 32, 1, true);
           }},
          {"step LLaVA 32 layers",
           [] {
             return attend_rows({1, 32, 32, 640, 128}, 32);
           }},
          {"step LLaVA 32 layers, batch 16",
           [] {
             return attend_rows({1, 32, 32, 640, 128}, 32, 16);
           }},
          {"normalise 256x576", [] { return normalise_maps(256, 576); }}};
}

void write(std::FILE* to, const emulated::Launch& launch, const char* before) {
  std::fprintf(to, "%s   {\"kernel\": \"%s\", \"grid\": [%u, %u, %u], \"threads\": %u, \"shared_bytes\": %zu, ", before,
               launch.kernel.c_str(), launch.grid.x, launch.grid.y, launch.grid.z, launch.block.x, launch.shared_bytes);
  std::fprintf(to, "\"parameter_bytes\": %zu}", launch.parameter_bytes);
}

bool write_all(std::FILE* to) {
  emulated::runtime.records_only = true;
  const char* before_gpu = "{\n";
  for (const int multiprocessors : {132, 108, 58}) {
    emulated::runtime.multiprocessors = multiprocessors;
    std::fprintf(to, "%s \"%d\": {\n", before_gpu, multiprocessors);
    const char* before_shape = "";
    for (const Shape& shape : shapes()) {
      emulated::runtime.launches.clear();
      if (const int error = shape.start()) {
        std::fprintf(stderr, "gaze_launch_shapes: %s: error %d\n", shape.name.c_str(), error);
        return false;
      }
      std::fprintf(to, "%s  \"%s\": [\n", before_shape, shape.name.c_str());
      const char* before = "";
      for (const emulated::Launch& launch : emulated::runtime.launches) {
        write(to, launch, before);
        before = ",\n";
      }
      std::fprintf(to, "]");
      before_shape = ",\n";
    }
    std::fprintf(to, "\n }");
    before_gpu = ",\n";
  }
  std::fprintf(to, "\n}\n");
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::FILE* const to = argc > 1 ? std::fopen(argv[1], "w") : stdout;
  if (to == nullptr) {
    std::fprintf(stderr, "gaze_launch_shapes: cannot write %s\n", argv[1]);
    return 2;
  }
  const bool written = write_all(to);
  return (argc > 1 && std::fclose(to) != 0) || !written ? 1 : 0;
}
