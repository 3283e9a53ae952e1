// SPDX-License-Identifier: MIT
#include "codecs/safetensors.hpp"

#include <gaze/render/safetensors.hpp>

#include <array>
#include <bit>
#include <set>

#include "base/files.hpp"
#include "base/json_text.hpp"

namespace gaze {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

const char* dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return "F64";
    case at::kFloat:
      return "F32";
    case at::kHalf:
      return "F16";
    case at::kBFloat16:
      return "BF16";
    case at::kLong:
      return "I64";
    case at::kInt:
      return "I32";
    case at::kShort:
      return "I16";
    case at::kChar:
      return "I8";
    case at::kByte:
      return "U8";
    case at::kBool:
      return "BOOL";
    default:
      return nullptr;
  }
}

}  // namespace

std::string serialise_safetensors(const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                                  const std::map<std::string, std::string>& metadata) {
  JsonText header = JsonText::object();
  for (const auto& [name, text] : metadata) header["__metadata__"][name] = text;
  std::set<std::string_view> names{"__metadata__"};
  std::vector<at::Tensor> contents;
  size_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto refuse = [&name = name](const std::string& text) {
      throw Error("safetensors: tensor '" + name + "': " + text, DropReason::IoError);
    };
    if (name.empty() || !names.insert(name).second) refuse("expected a name of its own.");
    if (!tensor.defined()) refuse("expected a tensor, got an undefined one.");
    const char* dtype = dtype_name(tensor.scalar_type());
    if (dtype == nullptr) {
      refuse("expected a floating, integer or bool type, got " + std::string(c10::toString(tensor.scalar_type())) +
             ".");
    }
    contents.push_back(tensor.detach().cpu().contiguous());
    const size_t end = offset + contents.back().nbytes();
    header[name] = {{"dtype", dtype},
                    {"shape", JsonText::array_of(tensor.sizes())},
                    {"data_offsets", JsonText::array_of(std::array{offset, end})}};
    offset = end;
  }
  std::string text = header.dump(-1);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const auto length = static_cast<uint64_t>(text.size());
  std::string bytes;
  bytes.reserve(sizeof length + text.size() + offset);
  bytes.append(reinterpret_cast<const char*>(&length), sizeof length);
  bytes += text;
  for (const at::Tensor& content : contents) {
    bytes.append(static_cast<const char*>(content.const_data_ptr()), content.nbytes());
  }
  return bytes;
}

void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  files::replace(path, serialise_safetensors(tensors, metadata));
}

}  // namespace gaze
