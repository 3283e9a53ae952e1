// SPDX-License-Identifier: MIT
#include "loop.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <optional>

#include "console.hpp"

namespace gaze::cli {

using c10::IValue;

/// Of an argument of a decoding step.
enum class Role { Tokens, Encoded, Cache, Position };

namespace {

bool holds(const std::string& name, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const char* word) { return name.find(word) != std::string::npos; });
}

bool is_tensor(const c10::TypePtr& type) { return type->kind() == c10::TypeKind::TensorType; }

/// By name and type; a tensor that its name does not tell was encoded.
Role role_of(const c10::Argument& argument) {
  if (argument.type()->kind() == c10::TypeKind::IntType) return Role::Position;
  if (holds(argument.name(), {"cache", "past", "state"})) return Role::Cache;
  if (!is_tensor(argument.type())) return Role::Cache;
  if (holds(argument.name(), {"token", "ids", "prompt", "target", "tgt"})) return Role::Tokens;
  return Role::Encoded;
}

/// The tensors of what a method returned, in order; a list stays one value.
std::vector<IValue> parts_of(const IValue& value) {
  return value.isTuple() ? value.toTupleRef().elements().vec() : std::vector<IValue>{value};
}

std::string name_of(const c10::Argument& argument) {
  return argument.name() + ": " + argument.type()->annotation_str();
}

}  // namespace

struct Loop::Impl {
  torch::jit::Module module;
  LoopSettings settings;
  std::string encode, decode;            // decode: alone where there is no encode
  std::vector<c10::Argument> arguments;  // of decode
  std::vector<Role> roles;

  [[nodiscard]] bool alone() const { return encode.empty(); }
  [[nodiscard]] const c10::Argument* cache() const {
    const auto found = std::find(roles.begin(), roles.end(), Role::Cache);
    return found == roles.end() ? nullptr : &arguments[static_cast<size_t>(found - roles.begin())];
  }

  void find_methods();
  void find_roles();
  /// Where the decoding begins: [rows, n].
  [[nodiscard]] at::Tensor begin(const std::vector<IValue>& given, int64_t rows, at::Device device) const;
  [[nodiscard]] IValue no_cache() const;
  /// The next ids [rows, 1], and the cache.
  at::Tensor next(const IValue& returned, IValue& cache) const;
};

void Loop::Impl::find_methods() {
  const size_t comma = settings.methods.find(',');
  encode = comma == std::string::npos ? "" : settings.methods.substr(0, comma);
  decode = comma == std::string::npos ? settings.methods : settings.methods.substr(comma + 1);
  for (const std::string& method : {encode, decode}) {
    if (method.empty() && &method != &decode && comma == std::string::npos) continue;
    if (!method.empty() && module.find_method(method)) continue;
    if (method.empty() && alone()) continue;
    throw Refusal("--generate: expected ENCODE,DECODE or one method of the model, got \"" + method +
                  "\". `gaze sites` lists the methods.");
  }
}

void Loop::Impl::find_roles() {
  const auto& schema = module.get_method(decode).function().getSchema().arguments();
  arguments.assign(schema.begin() + 1, schema.end());
  for (const c10::Argument& argument : arguments) roles.push_back(role_of(argument));
  if (std::find(roles.begin(), roles.end(), Role::Tokens) == roles.end()) {
    // No name tells: the first tensor, of a method of its own.
    const auto first = std::find(roles.begin(), roles.end(), Role::Encoded);
    if (first == roles.end() || alone()) {
      throw Refusal("--generate: expected " + decode +
                    " to have an argument for tokens, named tokens or ids, got none. Wrap the model so that it has.");
    }
    *first = Role::Tokens;
  }
  for (const Role role : {Role::Tokens, Role::Cache, Role::Position}) {
    if (std::count(roles.begin(), roles.end(), role) < 2) continue;
    std::string names;
    for (size_t i = 0; i < roles.size(); ++i) {
      if (roles[i] == role) names += (names.empty() ? "" : " and ") + name_of(arguments[i]);
    }
    throw Refusal("--generate: expected " + decode + " to have one argument of each kind, got " + names +
                  ". Wrap the model so that the loop's arguments can be told apart.");
  }
}

IValue Loop::Impl::no_cache() const {
  const c10::Argument& argument = *cache();
  if (argument.default_value()) return *argument.default_value();
  switch (argument.type()->kind()) {
    case c10::TypeKind::OptionalType:
      return {};
    case c10::TypeKind::ListType:
      return c10::impl::GenericList(argument.type()->expectRef<c10::ListType>().getElementType());
    case c10::TypeKind::DictType: {
      const auto& dict = argument.type()->expectRef<c10::DictType>();
      return c10::impl::GenericDict(dict.getKeyType(), dict.getValueType());
    }
    default:
      throw Refusal("--generate: expected a cache that can begin empty, a list, a dict or Optional, got " +
                    name_of(argument) + ". Let " + (alone() ? decode : encode) +
                    " return the first one, or wrap the model.");
  }
}

at::Tensor Loop::Impl::begin(const std::vector<IValue>& given, int64_t rows, at::Device device) const {
  if (!settings.bos.empty()) {
    return at::tensor(settings.bos).to(device).unsqueeze(0).repeat({rows, 1});
  }
  const auto place = static_cast<size_t>(std::find(roles.begin(), roles.end(), Role::Tokens) - roles.begin());
  const bool has = alone() && place < given.size() && given[place].isTensor() && given[place].toTensor().dim() == 2;
  if (!has) {
    throw Refusal("--bos: expected the ids that decoding begins with, got none. Give --bos ID, or several with commas" +
                  std::string(alone() ? ", or save them [batch, tokens] as " + arguments[place].name() + "." : "."));
  }
  return given[place].toTensor().to(at::kLong);
}

at::Tensor Loop::Impl::next(const IValue& returned, IValue& cache_value) const {
  const std::vector<IValue> parts = parts_of(returned);
  const auto first = std::find_if(parts.begin(), parts.end(), [](const IValue& part) { return part.isTensor(); });
  at::Tensor logits = first == parts.end() ? at::Tensor() : first->toTensor();
  if (!logits.defined() || logits.dim() < 2 || logits.dim() > 3 || !logits.is_floating_point()) {
    throw Refusal("--generate: expected " + decode +
                  " to return logits, [batch, tokens, vocabulary] or [batch, vocabulary], alone or first in a tuple; "
                  "got something else. Wrap the model so that it does.");
  }
  if (cache() != nullptr) {
    const auto kept = std::find_if(first + 1, parts.end(), [&](const IValue& part) {
      return part.type()->isSubtypeOf(*cache()->type()) || (part.isList() && !is_tensor(cache()->type()));
    });
    if (kept == parts.end()) {
      throw Refusal("--generate: expected " + decode + " to return its cache behind the logits, got none of the type " +
                    cache()->type()->annotation_str() + ".");
    }
    cache_value = *kept;
  }
  if (logits.dim() == 3) logits = logits.select(1, logits.size(1) - 1);
  return logits.argmax(-1, /*keepdim=*/true);
}

Loop::Loop(const torch::jit::Module& module, LoopSettings settings) : impl_(std::make_unique<Impl>()) {
  impl_->module = module;
  impl_->settings = std::move(settings);
  impl_->find_methods();
  impl_->find_roles();
}
Loop::~Loop() = default;

at::Tensor Loop::run(const std::vector<IValue>& given) {
  Impl& loop = *impl_;
  std::vector<IValue> encoded;
  if (!loop.alone()) encoded = parts_of(loop.module.get_method(loop.encode)(given));
  IValue cache;
  if (loop.cache() != nullptr) {
    // An encoder may return the first cache behind what it encoded.
    const auto made = std::find_if(encoded.begin(), encoded.end(), [&](const IValue& part) {
      return !part.isTensor() && part.type()->isSubtypeOf(*loop.cache()->type());
    });
    cache = made == encoded.end() ? loop.no_cache() : *made;
    if (made != encoded.end()) encoded.erase(made);
  }
  const std::vector<IValue>& sources = loop.alone() ? given : encoded;
  const auto tensor = std::find_if(sources.begin(), sources.end(), [](const IValue& part) { return part.isTensor(); });
  if (tensor == sources.end()) {
    throw Refusal("--generate: expected " + loop.settings.first_method() + " to " + (loop.alone() ? "take" : "return") +
                  " a tensor, got none.");
  }
  const at::Tensor prompt_bt = loop.begin(given, tensor->toTensor().size(0), tensor->toTensor().device());
  at::Tensor all_bt = prompt_bt, step_bt = prompt_bt;
  at::Tensor ended_b = at::full({prompt_bt.size(0), 1}, false, prompt_bt.options().dtype(at::kBool));
  for (int64_t count = 0; count < loop.settings.most; ++count) {
    std::vector<IValue> step;
    size_t source = 0;
    for (size_t i = 0; i < loop.roles.size(); ++i) {
      switch (loop.roles[i]) {
        case Role::Tokens:
          step.emplace_back(step_bt);
          break;
        case Role::Cache:
          step.push_back(cache);
          break;
        case Role::Position:
          step.emplace_back(all_bt.size(1) - step_bt.size(1));
          break;
        case Role::Encoded:
          if (loop.alone()) {
            step.push_back(given[i]);
          } else if (source < encoded.size()) {
            step.push_back(encoded[source++]);
          } else {
            throw Refusal("--generate: expected " + loop.encode + " to return what " + loop.decode + " takes as " +
                          name_of(loop.arguments[i]) + ", got " + std::to_string(encoded.size()) + " values.");
          }
      }
    }
    at::Tensor next_b = loop.next(loop.module.get_method(loop.decode)(std::move(step)), cache);
    if (loop.settings.eos >= 0) {
      next_b = at::where(ended_b, at::full_like(next_b, loop.settings.eos), next_b);
      ended_b = ended_b.logical_or(next_b == loop.settings.eos);
    }
    all_bt = at::cat({all_bt, next_b}, 1);
    step_bt = loop.cache() != nullptr ? next_b : all_bt;
    if (ended_b.all().item<bool>()) break;
  }
  return all_bt.narrow(1, prompt_bt.size(1), all_bt.size(1) - prompt_bt.size(1)).cpu().contiguous();
}

}  // namespace gaze::cli
