// SPDX-License-Identifier: MIT
#include "script.hpp"

#include <ATen/Context.h>
#include <dlfcn.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/headeronly/version.h>
#include <gaze/ops/device.hpp>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>

#include "console.hpp"
#include "file_guess.hpp"
#include "saved_values.hpp"

namespace gaze::cli {
namespace {

using c10::IValue;

// What a torch error says, on one line and without C++ frames.
std::string said_by(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return brief(torch_error != nullptr ? torch_error->what_without_backtrace() : error.what());
}

void expect_file(const std::string& path, const std::string& what, const std::string& fix) {
  std::error_code failed;
  if (std::filesystem::is_regular_file(path, failed)) return;
  const bool exists = std::filesystem::exists(path, failed);
  throw Refusal(what + ": expected a file, got " + path +
                (exists ? ", which is no file. " : ", which does not exist. ") + fix);
}

std::string describe(const IValue& value) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    return tensor.defined() ? c10::str("Tensor ", c10::getDtypeNames(tensor.scalar_type()).first, " ", tensor.sizes())
                            : "undefined Tensor";
  }
  if (value.isList()) return c10::str("list of ", value.toListRef().size());
  return value.type()->repr_str();
}

// pickle_load gives List[Any] and Dict[Any, Any]; a method's schema wants the exact element type.
IValue coerce(const IValue& value, const c10::TypePtr& type, const at::Device device) {
  if (value.isTensor()) return value.toTensor().to(device);
  switch (type->kind()) {
    case c10::TypeKind::OptionalType:
      return value.isNone() ? value : coerce(value, type->expectRef<c10::OptionalType>().getElementType(), device);
    case c10::TypeKind::FloatType:
      return value.isInt() ? IValue(static_cast<double>(value.toInt())) : value;
    case c10::TypeKind::ListType: {
      if (!value.isList() && !value.isTuple()) return value;
      const c10::TypePtr element = type->expectRef<c10::ListType>().getElementType();
      c10::impl::GenericList list(element);
      const c10::ArrayRef<IValue> elements =
          value.isList() ? value.toListRef() : value.toTupleRef().elements().asArrayRef();
      for (const IValue& entry : elements) {
        const IValue exact = coerce(entry, element, device);
        if (!exact.type()->isSubtypeOf(*element)) return value;
        list.push_back(exact);
      }
      return list;
    }
    case c10::TypeKind::TupleType: {
      const auto types = type->expectRef<c10::TupleType>().elements();
      if (!value.isTuple() || value.toTupleRef().elements().size() != types.size()) return value;
      std::vector<IValue> elements;
      for (size_t i = 0; i < types.size(); ++i)
        elements.push_back(coerce(value.toTupleRef().elements()[i], types[i], device));
      return c10::ivalue::Tuple::create(std::move(elements));
    }
    case c10::TypeKind::DictType: {
      if (!value.isGenericDict()) return value;
      const auto& wanted = type->expectRef<c10::DictType>();
      c10::impl::GenericDict dict(wanted.getKeyType(), wanted.getValueType());
      for (const auto& entry : value.toGenericDict()) {
        const IValue exact = coerce(entry.value(), wanted.getValueType(), device);
        if (!entry.key().type()->isSubtypeOf(*wanted.getKeyType()) ||
            !exact.type()->isSubtypeOf(*wanted.getValueType()))
          return value;
        dict.insert(entry.key(), exact);
      }
      return dict;
    }
    default:
      return value;
  }
}

using IdRows = std::vector<std::vector<int64_t>>;

IdRows ids_in(const at::Tensor& tensor) {
  const bool plain = tensor.defined() && tensor.layout() == at::kStrided && !tensor.is_nested();
  if (!plain || !at::isIntegralType(tensor.scalar_type(), /*includeBool=*/false) || tensor.dim() < 1 ||
      tensor.dim() > 2)
    return {};
  const at::Tensor ids_bt = (tensor.dim() == 1 ? tensor.unsqueeze(0) : tensor).cpu().to(at::kLong).contiguous();
  IdRows rows;
  for (int64_t row = 0; row < ids_bt.size(0); ++row) {
    const int64_t* ids = ids_bt.const_data_ptr<int64_t>() + row * ids_bt.size(1);
    rows.emplace_back(ids, ids + ids_bt.size(1));
  }
  return rows;
}

IdRows ids_in(const IValue& value);

// Of one row as numbers, of a row in each element, or of a row as one tensor for each token.
IdRows ids_in_list(c10::ArrayRef<IValue> list) {
  IdRows rows;
  std::vector<int64_t> single;
  for (const IValue& element : list) {
    const bool one =
        element.isInt() || (element.isTensor() && element.toTensor().defined() && element.toTensor().numel() == 1 &&
                            at::isIntegralType(element.toTensor().scalar_type(), false));
    if (one) single.push_back(element.isInt() ? element.toInt() : element.toTensor().item<int64_t>());
    IdRows inner = element.isInt() ? IdRows() : ids_in(element);
    if (inner.size() != 1) inner.clear();
    std::move(inner.begin(), inner.end(), std::back_inserter(rows));
  }
  if (!list.empty() && single.size() == list.size()) return {std::move(single)};
  return rows.size() == list.size() ? rows : IdRows();
}

IdRows ids_in(const IValue& value) {
  if (value.isTensor()) return ids_in(value.toTensor());
  if (value.isList()) return ids_in_list(value.toListRef());
  if (value.isTuple()) {
    for (const IValue& element : value.toTupleRef().elements()) {
      if (IdRows rows = ids_in(element); !rows.empty()) return rows;
    }
  } else if (value.isGenericDict()) {
    const auto dict = value.toGenericDict();
    for (const auto& entry : dict) {
      if (entry.key().isString() && entry.key().toStringRef() == "sequences") return ids_in(entry.value());
    }
    for (const auto& entry : dict) {
      if (!entry.value().isGenericDict()) continue;
      if (IdRows rows = ids_in(entry.value()); !rows.empty()) return rows;
    }
  }
  return {};
}

std::string signature(const torch::jit::Method& method) {
  std::string text;
  const auto& arguments = method.function().getSchema().arguments();
  for (size_t i = 1; i < arguments.size(); ++i) {
    text += (i == 1 ? "" : ", ") + arguments[i].name() + ": " + arguments[i].type()->annotation_str();
  }
  return method.name() + "(" + text + ")";
}

}  // namespace

at::Device parse_device(const std::string& text) {
  std::optional<at::Device> device;
  try {
    device.emplace(text);
  } catch (const std::exception&) {  // said below
  }
  if (!device || (!device->is_cpu() && !device->is_cuda()))
    throw Refusal("--device: expected cpu, cuda or cuda:N, got \"" + text + "\".");
  if (device->is_cuda()) {
    // Loaded when it is asked for: the program starts in half the time without, and runs where CUDA's libraries are
    // missing.
    const char* const missing = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr ? nullptr : dlerror();
    const bool found =
        missing == nullptr && at::hasCUDA() && device->index() < at::detail::getCUDAHooks().deviceCount();
    if (!found) {
      throw Refusal("--device: expected a device LibTorch finds here, got " + text +
                    ", and it finds no such CUDA device" +
                    (missing != nullptr ? std::string(" (") + missing + ")" : "") + ". Use --device cpu.");
    }
    if (const std::string problem = ops::missing_for(*device); !problem.empty())
      throw Refusal("--device: expected a build with the CUDA part, got " + text +
                    ", and it cannot be loaded: " + problem + ". Build with -DGAZE_CUDA=ON, or use --device cpu.");
  }
  return *device;
}

void load_op_library(const std::string& path) {
  // A name without a folder would be looked for among the system's libraries alone.
  std::error_code failed;
  const std::string file = std::filesystem::absolute(path, failed).string();
  expect_file(file, "--op-library", "Give the library that registers the model's operators.");
  if (dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return;
  const char* const problem = dlerror();
  throw Refusal("--op-library: expected a library that registers operators, got " + path +
                ", which cannot be loaded: " + (problem != nullptr ? problem : "unknown") +
                ". Build it against this LibTorch (" TORCH_VERSION ").");
}

namespace {

constexpr const char* kSaveModel = "Save it with torch.jit.script(model.eval()).save(\"model.pt\").";

/// The word behind `mark`, up to a blank or a full stop at its end; empty: the text has no such mark.
std::string word_behind(const std::string& text, std::string_view mark) {
  const size_t at = text.find(mark);
  if (at == std::string::npos) return {};
  const size_t begin = at + mark.size();
  std::string word = text.substr(begin, text.find_first_of(" \n,", begin) - begin);
  while (!word.empty() && (word.back() == '.' || word.back() == ':')) word.pop_back();
  return word;
}

[[noreturn]] void refuse_operator(const std::string& path, const std::string& name) {
  if (name.starts_with("aten::") || name.starts_with("prim::")) {
    throw Refusal("model: expected operators of LibTorch " TORCH_VERSION ", got " + path + ", which calls " + name +
                  ". It was saved by another release: save it again with torch.jit.save of " TORCH_VERSION ".");
  }
  const std::string known =
      name.starts_with("torchvision::") ? " (torchvision's is the _C.so in the folder of its Python package)" : "";
  throw Refusal("model: expected operators of LibTorch or of a loaded library, got " + path + ", which calls " + name +
                ". Load the library that registers it" + known +
                ": --op-library FILE.so. An operator that only Python registers has none; write it with torch's own "
                "before torch.jit.script.");
}

/// Why LibTorch does not load a file that is TorchScript.
[[noreturn]] void refuse_program(const std::string& path, const std::exception& error) {
  const std::string whole = error.what();
  if (is_optimised(path)) {
    throw Refusal("model: expected a file that LibTorch can load again, got " + path +
                  ", which was saved after torch.jit.optimize_for_inference. Save the model before it: "
                  "torch.jit.script(model.eval()).save(\"model.pt\"), and optimise after loading.");
  }
  if (const std::string name = word_behind(whole, "Unknown builtin op: "); !name.empty()) refuse_operator(path, name);
  if (const std::string name = word_behind(whole, "__torch__.torch.classes."); !name.empty())
    refuse_operator(path, "the class torch.classes." + name);
  if (const std::string version = word_behind(whole, "Attempted to read a PyTorch file with version ");
      !version.empty()) {
    throw Refusal("model: expected a file of torch " TORCH_VERSION " or older, got " + path + ", whose format is " +
                  version + ". Save it with torch.jit.save of that release.");
  }
  throw Refusal(
      "model: expected a TorchScript file, got " + path + ", which LibTorch cannot load: " + said_by(error) +
      " It may be damaged: copy it again, or save it again: torch.jit.script(model.eval()).save(\"model.pt\").");
}

}  // namespace

Model::Model(const std::string& path, at::Device device) {
  std::error_code failed;
  if (!std::filesystem::is_directory(path, failed)) expect_file(path, "model", kSaveModel);
  const FileGuess guess = guess_file(path);
  const std::string got = "model: expected a TorchScript file, got " + path + ", which ";
  if (!guess.model.empty()) throw Refusal(got + "is " + guess.what + ". " + guess.model);
  try {
    module_ = std::make_unique<torch::jit::Module>(torch::jit::load(path, device));
    module_->eval();
  } catch (const std::exception& error) {
    if (guess.what == kTorchScriptFile) refuse_program(path, error);
    throw Refusal(got + (guess.what.empty() ? "LibTorch cannot load: " + said_by(error) : "is " + guess.what + ".") +
                  " " + kSaveModel);
  }
}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

std::vector<std::string> Model::method_names() const {
  std::vector<std::string> names;
  for (const auto& method : module_->get_methods()) {
    if (!method.name().starts_with("__")) names.push_back(method.name());
  }
  return names;
}

std::string Model::methods() const {
  std::string text;
  for (const auto& method : module_->get_methods()) {
    if (!method.name().starts_with("__")) text += (text.empty() ? "" : ", ") + signature(method);
  }
  return text.empty() ? "none" : text;
}

at::Tensor Model::generate(const at::Tensor& images_bchw, const at::Tensor& prompt_bt, int64_t max_new) {
  const at::NoGradGuard no_grad;
  try {
    return module_->get_method("generate")({images_bchw, prompt_bt, max_new}).toTensor();
  } catch (const std::exception& error) {
    throw Refusal("model: expected a stickers model with generate(image, prompt, max_new), got one that fails: " +
                  said_by(error));
  }
}

void Model::forward(const at::Tensor& input, const at::Tensor& tokens_bt) {
  const at::NoGradGuard no_grad;
  try {
    module_->get_method("forward")({input, tokens_bt});
  } catch (const std::exception& error) {
    throw Refusal("model: expected a sample model with forward(input, tokens), got one that fails: " + said_by(error));
  }
}

struct Call::Impl {
  torch::jit::Module module;
  std::string method;
  std::vector<IValue> arguments;
  std::optional<Loop> loop;
  IValue result;
  std::vector<at::Tensor> remembered;
  [[nodiscard]] std::vector<at::Tensor> tensors_of_result() const {
    std::vector<at::Tensor> tensors;
    result.visit([&](const IValue& value) {
      if (value.isTensor() && value.toTensor().defined()) tensors.push_back(value.toTensor().cpu().contiguous());
      return value.isTensor();
    });
    return tensors;
  }
};

namespace {

IValue read_inputs(const std::string& file) {
  static const std::string kSave = "Write the arguments with torch.save((image, tokens), \"inputs.pt\").";
  expect_file(file, "--inputs", kSave);
  try {
    return read_saved(file);
  } catch (const std::exception& error) {
    const FileGuess guess = guess_file(file);
    const std::string got = "--inputs: expected tensors as torch.save writes them, got " + file + ", which ";
    if (!guess.inputs.empty() && guess.what != kSavedValues)
      throw Refusal(got + "is " + guess.what + ". " + guess.inputs);
    throw Refusal(got + "cannot be read: " + said_by(error) + " " + kSave);
  }
}

/// Arguments as a file has them.
struct Given {
  std::vector<IValue> in_order;
  std::map<std::string, IValue> by_name;
};

Given arguments_in(const IValue& content) {
  Given given;
  if (content.isTuple()) {
    given.in_order = content.toTupleRef().elements().vec();
  } else if (content.isList()) {
    given.in_order = content.toListRef().vec();
  } else if (content.isGenericDict()) {
    for (const auto& entry : content.toGenericDict()) {
      if (!entry.key().isString())
        throw Refusal(
            "--inputs: expected a dict from argument names to values, got a key that is no text. Save names: "
            "torch.save({\"image\": image}, \"inputs.pt\").");
      given.by_name[entry.key().toStringRef()] = entry.value();
    }
  } else {
    given.in_order = {content};
  }
  return given;
}

std::vector<std::string> names_of(const std::vector<c10::Argument>& schema) {
  std::vector<std::string> names;
  for (size_t i = 1; i < schema.size(); ++i) names.push_back(schema[i].name());
  return names;
}

}  // namespace

namespace {

torch::jit::Method method_of(Model& model, const std::string& method) {
  const auto found = model.module().find_method(method);
  if (found) return *found;
  const std::string meant = nearest(method, model.method_names());
  throw Refusal("--method: expected one of " + model.methods() + ", got " + method + "." +
                (meant.empty() ? "" : " Did you mean " + meant + "?"));
}

}  // namespace

Call::Call(Model& model, const std::string& method, const at::Tensor& prompt_bt) : impl_(std::make_unique<Impl>()) {
  const torch::jit::Method found = method_of(model, method);
  impl_->module = model.module();
  impl_->method = method;
  const auto& schema = found.function().getSchema().arguments();
  const auto is_tensor = [](const c10::Argument& argument) {
    return argument.type()->kind() == c10::TypeKind::TensorType;
  };
  if (std::count_if(schema.begin() + 1, schema.end(), is_tensor) != 1)
    throw Refusal("--inputs: expected a file, for " + signature(found) +
                  " takes more than the prompt's ids that --text has; got none. Save its arguments with torch.save.");
  for (size_t i = 1; i < schema.size(); ++i)
    impl_->arguments.push_back(is_tensor(schema[i]) ? IValue(prompt_bt) : IValue());
}

Call::Call(Model& model, const std::string& method, const std::string& inputs_file, at::Device device)
    : impl_(std::make_unique<Impl>()) {
  const torch::jit::Method found = method_of(model, method);
  impl_->module = model.module();
  impl_->method = method;
  Given given = arguments_in(read_inputs(inputs_file));
  const auto& schema = found.function().getSchema().arguments();
  const std::string expected = "--inputs: expected the arguments of " + signature(found) + ", got ";
  if (given.in_order.size() + 1 > schema.size())
    throw Refusal(expected + std::to_string(given.in_order.size()) +
                  " values. Remove what is too much, or name another --method.");
  for (size_t i = 1; i < schema.size(); ++i) {
    const c10::Argument& argument = schema[i];
    IValue value;
    if (i <= given.in_order.size()) {
      value = given.in_order[i - 1];
    } else if (const auto named = given.by_name.find(argument.name()); named != given.by_name.end()) {
      value = named->second;
      given.by_name.erase(named);
    } else if (argument.default_value()) {
      value = *argument.default_value();
    } else {
      std::string all;
      for (const auto& [name, _] : given.by_name) all += (all.empty() ? " (the file has " : ", ") + name;
      throw Refusal(expected + "nothing for " + argument.name() + (all.empty() ? "" : all + ")") +
                    ". Add it to the file.");
    }
    value = coerce(value, argument.type(), device);
    if (!value.type()->isSubtypeOf(*argument.type()))
      throw Refusal(expected + "for " + argument.name() + " a " + describe(value) + ". Save a value of that type.");
    impl_->arguments.push_back(std::move(value));
  }
  if (!given.by_name.empty()) {
    const std::string& name = given.by_name.begin()->first;
    const std::string meant = nearest(name, names_of(schema));
    throw Refusal(expected + "also " + name + ". " + (meant.empty() ? "" : "Did you mean " + meant + "? ") +
                  "Remove it, or name another --method.");
  }
}
Call::~Call() = default;

void Call::drive(LoopSettings settings) { impl_->loop.emplace(impl_->module, std::move(settings)); }

namespace {

bool is_half(const IValue& value) {
  return value.isTensor() && value.toTensor().defined() &&
         (value.toTensor().scalar_type() == at::kHalf || value.toTensor().scalar_type() == at::kBFloat16);
}

/// What in the inputs the error of a model points at.
std::string what_to_check(const std::exception& error, const std::vector<IValue>& arguments) {
  const std::string text = error.what();
  const auto says = [&](const char* word) { return text.find(word) != std::string::npos; };
  if (says("same device") || says("is on cpu") || says("on cuda"))
    return "The model holds tensors of the device it was traced on: trace it on the one given with --device.";
  if (says("Half") || says("BFloat16")) {
    if (!says("should be the same") && !says("expected") && says("not implemented for"))
      return "The processor has no half precision for that: save the model as model.float(), or use --device cuda.";
    return std::any_of(arguments.begin(), arguments.end(), is_half)
               ? "The inputs are in half precision and the model is not: save tensor.float()."
               : "The model is in half precision and the inputs are not: save tensor.half(), or the model as "
                 "model.float().";
  }
  if (says("dtype") || says("scalar type") || says("should be the same"))
    return "Check the types in the file given with --inputs.";
  if (says("index out of range"))
    return "Check the ids in the file given with --inputs: one of them is beyond the model's vocabulary.";
  return "Check the sizes in the file given with --inputs.";
}

}  // namespace

void Call::run() {
  const at::NoGradGuard no_grad;
  try {
    if (impl_->loop) {
      impl_->result = impl_->loop->run(impl_->arguments);
      return;
    }
    // Looked up every time: attaching to a module that ran gives it other functions.
    impl_->result = impl_->module.get_method(impl_->method)(impl_->arguments);
  } catch (const Refusal&) {
    throw;
  } catch (const std::exception& error) {
    if (impl_->loop) {
      throw Refusal("--generate: expected the model to run in this loop, got an error from it: " + said_by(error) +
                    " Check the sizes in the file given with --inputs, and whether the methods are those of one loop.");
    }
    std::string got;
    for (const IValue& argument : impl_->arguments) got += (got.empty() ? "" : ", ") + describe(argument);
    throw Refusal(impl_->method + ": expected the model to accept these inputs (" + got +
                  "), got an error from it: " + said_by(error) + " " + what_to_check(error, impl_->arguments));
  }
}

void Call::remember() {
  impl_->remembered.clear();
  for (const at::Tensor& tensor : impl_->tensors_of_result()) impl_->remembered.push_back(tensor.clone());
}

bool Call::as_remembered() const {
  const std::vector<at::Tensor> now = impl_->tensors_of_result();
  return std::equal(now.begin(), now.end(), impl_->remembered.begin(), impl_->remembered.end(),
                    [](const at::Tensor& a, const at::Tensor& b) {
                      return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
                             (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
                    });
}

const std::vector<IValue>& Call::arguments() const { return impl_->arguments; }

at::Tensor Call::tensor_argument(int64_t index) const {
  if (index < 0 || index >= static_cast<int64_t>(impl_->arguments.size())) return {};
  const IValue& argument = impl_->arguments[static_cast<size_t>(index)];
  return argument.isTensor() ? argument.toTensor() : at::Tensor();
}

std::vector<std::vector<int64_t>> Call::token_ids() const { return ids_in(impl_->result); }

size_t Call::prompt_in_front(size_t row, const std::vector<int64_t>& ids) const {
  size_t most = 0;
  for (size_t i = 0; i < impl_->arguments.size(); ++i) {
    const at::Tensor argument = tensor_argument(static_cast<int64_t>(i));
    if (!argument.defined() || argument.dim() < 1 || argument.dim() > 2 || argument.numel() == 0) continue;
    if (!at::isIntegralType(argument.scalar_type(), /*includeBool=*/false)) continue;
    const at::Tensor rows = argument.to(at::kCPU, at::kLong).contiguous().view({-1, argument.size(-1)});
    const auto of_row = std::min(row, static_cast<size_t>(rows.size(0)) - 1);
    const auto size = static_cast<size_t>(rows.size(1));
    const int64_t* prompt = rows.const_data_ptr<int64_t>() + of_row * size;
    if (size < ids.size() && std::equal(prompt, prompt + size, ids.begin())) most = std::max(most, size);
  }
  return most;
}

void Call::replace(int64_t index, const at::Tensor& tensor) {
  impl_->arguments.at(static_cast<size_t>(index)) = tensor;
}

std::string Call::summary() const { return describe(impl_->result); }

}  // namespace gaze::cli
