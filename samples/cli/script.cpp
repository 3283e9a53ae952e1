// SPDX-License-Identifier: MIT
#include "script.hpp"

#include <ATen/Context.h>
#include <dlfcn.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
#include <gaze/ops/device.hpp>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>

#include "console.hpp"
#include "saved_values.hpp"

namespace gaze::cli {
namespace {

using c10::IValue;

// Behind the Python-style traceback, where lines of the model's source are indented, stands the error's own first line.
// The last line is not always part of it: an operator without a kernel goes on with a list of all backends.
std::string behind_traceback(const std::string& text) {
  const size_t traceback = text.rfind("Traceback of TorchScript");
  if (traceback == std::string::npos) return text;
  size_t line = text.find('\n', traceback);
  while (line != std::string::npos && line + 1 < text.size()) {
    const size_t end = text.find('\n', line + 1);
    const std::string first_word = text.substr(line + 1, text.find_first_of(" \n", line + 1) - line - 1);
    if (first_word.size() > 1 && first_word.back() == ':') return text.substr(line + 1);
    line = end;
  }
  return text.substr(text.rfind('\n') + 1);
}

// What a torch error says, on one line and without C++ frames.
std::string brief(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  std::string text = torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
  text = text.substr(0, text.find("\nException raised from"));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  text = behind_traceback(text);
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  text = text.substr(0, text.find(" This is an internal miniz error"));  // half a page of guesses
  if (text.size() > 300) text = text.substr(0, 297) + "...";
  if (!text.empty() && text.back() != '.') text += '.';
  return text;
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

Model::Model(const std::string& path, at::Device device) {
  static const std::string kFix =
      "Give a file that torch.jit.save wrote: torch.jit.script(model.eval()).save(\"model.pt\").";
  expect_file(path, "model", kFix);
  try {
    module_ = std::make_unique<torch::jit::Module>(torch::jit::load(path, device));
    module_->eval();
  } catch (const std::exception& error) {
    throw Refusal("model: expected a TorchScript file, got " + path + ", which LibTorch cannot load: " + brief(error) +
                  " " + kFix);
  }
}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

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
                  brief(error));
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

Call::Call(Model& model, const std::string& method, const std::string& inputs_file, at::Device device)
    : impl_(std::make_unique<Impl>()) {
  const auto found = model.module().find_method(method);
  impl_->module = model.module();
  impl_->method = method;
  if (!found) throw Refusal("--method: expected one of " + model.methods() + ", got " + method + ".");

  static const std::string kFix = "Write the arguments with torch.save((image, tokens), \"inputs.pt\").";
  expect_file(inputs_file, "--inputs", kFix);
  IValue content;
  try {
    content = read_saved(inputs_file);
  } catch (const std::exception& error) {
    throw Refusal("--inputs: expected tensors as torch.save writes them, got " + inputs_file +
                  ", which cannot be read: " + brief(error) + " " + kFix);
  }
  std::vector<IValue> in_order;
  std::map<std::string, IValue> by_name;
  if (content.isTuple()) {
    in_order = content.toTupleRef().elements().vec();
  } else if (content.isList()) {
    in_order = content.toListRef().vec();
  } else if (content.isGenericDict()) {
    for (const auto& entry : content.toGenericDict()) {
      if (!entry.key().isString())
        throw Refusal("--inputs: expected a dict from argument names to values, got a key that is no text.");
      by_name[entry.key().toStringRef()] = entry.value();
    }
  } else {
    in_order = {content};
  }

  const auto& schema = found->function().getSchema().arguments();
  const std::string expected = "--inputs: expected the arguments of " + signature(*found) + ", got ";
  if (in_order.size() + 1 > schema.size())
    throw Refusal(expected + std::to_string(in_order.size()) +
                  " values. Remove what is too much, or name another --method.");
  for (size_t i = 1; i < schema.size(); ++i) {
    const c10::Argument& argument = schema[i];
    IValue value;
    if (i <= in_order.size()) {
      value = in_order[i - 1];
    } else if (const auto named = by_name.find(argument.name()); named != by_name.end()) {
      value = named->second;
      by_name.erase(named);
    } else if (argument.default_value()) {
      value = *argument.default_value();
    } else {
      throw Refusal(expected + "nothing for " + argument.name() + ". Add it to the file.");
    }
    value = coerce(value, argument.type(), device);
    if (!value.type()->isSubtypeOf(*argument.type()))
      throw Refusal(expected + "for " + argument.name() + " a " + describe(value) + ". Save a value of that type.");
    impl_->arguments.push_back(std::move(value));
  }
  if (!by_name.empty())
    throw Refusal(expected + "also " + by_name.begin()->first + ". Remove it, or name another --method.");
}
Call::~Call() = default;

void Call::drive(LoopSettings settings) { impl_->loop.emplace(impl_->module, std::move(settings)); }

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
      throw Refusal("--generate: expected the model to run in this loop, got an error from it: " + brief(error) +
                    " Check the sizes in the file given with --inputs, and whether the methods are those of one loop.");
    }
    std::string got;
    for (const IValue& argument : impl_->arguments) got += (got.empty() ? "" : ", ") + describe(argument);
    throw Refusal(impl_->method + ": expected the model to accept these inputs (" + got +
                  "), got an error from it: " + brief(error) + " Check the sizes in the file given with --inputs.");
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

std::string Call::summary() const { return describe(impl_->result); }

}  // namespace gaze::cli
