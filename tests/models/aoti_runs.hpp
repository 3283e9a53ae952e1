// SPDX-License-Identifier: MIT
// What the hosts of packages have in common.
#pragma once

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/script.h>
#include <gaze/gaze.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using Package = torch::inductor::AOTIModelPackageLoader;
using Runs = std::vector<std::vector<at::Tensor>>;

inline void check(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error("expected " + what);
}

inline Runs runs_of(const torch::jit::Module& held, const char* name) {
  Runs runs;
  for (const c10::IValue& each : held.attr(name).toListRef()) runs.push_back(each.toTensorVector());
  return runs;
}

inline std::vector<std::string> texts_of(const torch::jit::Module& held, const char* name) {
  std::vector<std::string> texts;
  for (const c10::IValue& each : held.attr(name).toListRef()) texts.push_back(each.toStringRef());
  return texts;
}

inline std::string bytes(const std::vector<at::Tensor>& tensors) {
  std::string all;
  for (const at::Tensor& each : tensors) {
    const at::Tensor whole = each.contiguous();
    all.append(static_cast<const char*>(whole.const_data_ptr()), whole.nbytes());
  }
  return all;
}

inline std::string run(Package& package, const Runs& inputs) {
  std::string all;
  for (const auto& each : inputs) all += bytes(package.run(each));
  return all;
}

struct Kept : gaze::Sink {
  void consume(const gaze::AttentionRecord& record) override { records.push_back(record); }
  std::vector<gaze::AttentionRecord> records;
};

inline gaze::Options options(const std::shared_ptr<gaze::Sink>& sink, const char* profile) {
  gaze::Options made;
  made.capture = true;
  made.read_environment = false;
  made.sink = sink;
  made.log = "off";
  made.profile_in_code = gaze::parse_profile(profile);
  return made;
}
