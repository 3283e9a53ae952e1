// SPDX-License-Identifier: MIT
#include "saved_values.hpp"

#include <ATen/core/Tensor.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/unpickler.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "pickle_stream.hpp"

namespace gaze::cli {
namespace {

constexpr int64_t kMaxDepth = 64;
constexpr int64_t kMaxValues = 1000000;

[[noreturn]] void refuse(const std::string& what) { throw std::runtime_error(what); }

/// Goes through the pickle as LibTorch will, without making anything: LibTorch trusts that operands are there, and
/// recurses into what is nested, to the end of the stack. What values hold each other is a graph here.
class PickleCheck {
 public:
  explicit PickleCheck(std::string_view bytes) : bytes_(bytes) {}

  void run() {
    while (step(static_cast<unsigned char>(take(1)[0]))) {
    }
    if (stack_.size() != 1 || !marks_.empty()) refuse("its pickle does not end in one value");
    measure(stack_.front());
  }

 private:
  struct Node {
    std::vector<size_t> holds;
    int64_t leaves = 0;
    int64_t depth = 0;  // 0: not known; -1: being measured
    int64_t values = 0;
  };
  static constexpr size_t kLeaf = 0;

  std::string_view take(size_t count) {
    if (count > bytes_.size() - at_) refuse("its pickle ends in the middle");
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  uint64_t number(size_t bytes) {
    uint64_t value = 0;
    std::memcpy(&value, take(bytes).data(), bytes);
    return value;
  }
  void line() {
    while (take(1)[0] != '\n') {
    }
  }

  void need(size_t count) {
    if (stack_.size() - (marks_.empty() ? 0 : marks_.back()) < count) refuse("its pickle lacks operands");
  }
  void hold(size_t holder, size_t value) {
    if (holder == kLeaf) return;  // not a container: LibTorch refuses
    if (value == kLeaf) {
      ++nodes_[holder].leaves;
    } else {
      nodes_[holder].holds.push_back(value);
    }
  }
  void push_container() {
    nodes_.emplace_back();
    stack_.push_back(nodes_.size() - 1);
  }
  /// Replaces the topmost values by one that holds them.
  void gather(size_t count) {
    need(count);
    const std::vector<size_t> values(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    push_container();
    for (const size_t value : values) hold(stack_.back(), value);
  }
  /// The topmost values go into the one below them.
  void put_in(size_t count) {
    for (size_t i = 0; i < count; ++i) hold(stack_[stack_.size() - count - 1], stack_[stack_.size() - 1 - i]);
    stack_.resize(stack_.size() - count);
  }
  /// How many values lie above the latest mark, which is taken away; `below`: how many must lie under it.
  size_t unmark(size_t below, size_t multiple) {
    if (marks_.empty()) refuse("its pickle lacks a mark");
    const size_t count = stack_.size() - marks_.back();
    marks_.pop_back();
    if (count % multiple != 0) refuse("its pickle has a key without a value");
    need(count + below);
    return count;
  }
  void remember(size_t index) {
    need(1);
    if (index > memo_.size()) refuse("its pickle remembers values out of order");
    if (index == memo_.size()) memo_.push_back(stack_.back());
    memo_[index] = stack_.back();
  }
  void recall(size_t index) {
    if (index >= memo_.size()) refuse("its pickle recalls a value it never had");
    stack_.push_back(memo_[index]);
  }

  /// The opcodes of protocol 2 that LibTorch knows. False at the end.
  bool step(unsigned char opcode) {
    switch (opcode) {
      case 0x80:  // protocol
        take(1);
        return true;
      case 'c':  // global
        line();
        line();
        stack_.push_back(kLeaf);
        return true;
      case 'N':
      case 0x88:
      case 0x89:
        stack_.push_back(kLeaf);
        return true;
      case 'K':
      case 'M':
      case 'J':
      case 'G':
        take(opcode == 'K' ? 1 : opcode == 'M' ? 2 : opcode == 'J' ? 4 : 8);
        stack_.push_back(kLeaf);
        return true;
      case 0x8a:
        take(number(1));
        stack_.push_back(kLeaf);
        return true;
      case 'X':
        take(number(4));
        stack_.push_back(kLeaf);
        return true;
      case ')':
      case ']':
      case '}':
        push_container();
        return true;
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case 't':
      case 'l':
        gather(unmark(0, 1));
        return true;
      case 'd':
        gather(unmark(0, 2));
        return true;
      case 0x85:
      case 0x86:
      case 0x87:
        gather(opcode - size_t{0x84});
        return true;
      case 'a':
        need(2);
        put_in(1);
        return true;
      case 's':
        need(3);
        put_in(2);
        return true;
      case 'e':
        put_in(unmark(1, 1));
        return true;
      case 'u':
        put_in(unmark(1, 2));
        return true;
      case 'R':
      case 'b':
        gather(2);
        return true;
      case 0x81:  // LibTorch calls nothing here, and only takes the arguments away
        need(2);
        stack_.pop_back();
        return true;
      case 'Q':
        gather(1);
        return true;
      case 'q':
        remember(number(1));
        return true;
      case 'r':
        remember(number(4));
        return true;
      case 'h':
        recall(number(1));
        return true;
      case 'j':
        recall(number(4));
        return true;
      case '.':
        return false;
      default:
        refuse("its pickle has an opcode, " + std::to_string(opcode) + ", that LibTorch does not read");
    }
  }

  /// How deep `root` is, and how many values it comes to where one is held by several. Without recursion.
  void measure(size_t root) {
    std::vector<std::pair<size_t, size_t>> path{{root, 0}};  // a value, and which of those it holds is next
    while (!path.empty()) {
      const size_t index = path.back().first;
      Node& node = nodes_[index];
      if (path.back().second < node.holds.size()) {
        const size_t next = node.holds[path.back().second++];
        if (nodes_[next].depth < 0) refuse("a value in it holds itself");
        if (nodes_[next].depth > 0) continue;
        if (static_cast<int64_t>(path.size()) > kMaxDepth) refuse_depth();
        node.depth = -1;
        path.emplace_back(next, 0);
        continue;
      }
      node.depth = 1;
      node.values = 1 + node.leaves;
      for (const size_t held : node.holds) {
        node.depth = std::max(node.depth, nodes_[held].depth + 1);
        node.values += nodes_[held].values;
        if (node.values > kMaxValues) refuse("it comes to more than " + std::to_string(kMaxValues) + " values");
      }
      if (node.depth > kMaxDepth) refuse_depth();
      path.pop_back();
    }
  }
  [[noreturn]] static void refuse_depth() {
    refuse("its values are nested more than " + std::to_string(kMaxDepth) + " deep");
  }

  std::string_view bytes_;
  size_t at_ = 0;
  std::vector<size_t> stack_, marks_, memo_;
  std::vector<Node> nodes_{1};  // the first is every value that holds none
};

/// A type's text is read by recursion as well.
c10::TypePtr parse_type(const std::string& text) {
  if (text.size() > 1000) refuse("it names a type of " + std::to_string(text.size()) + " characters");
  return torch::jit::Unpickler::defaultTypeParser(text);
}

/// @param held_bytes  that the file really has of a storage, by its address
void check_tensor(const at::Tensor& tensor, const std::map<const void*, size_t>& held_bytes) {
  if (!tensor.defined()) return;
  if (tensor.layout() != at::kStrided || tensor.is_quantized() || !tensor.device().is_cpu())
    refuse("a tensor in it is not dense, or is quantized");
  const auto held = held_bytes.find(tensor.storage().data());
  const size_t bytes = held == held_bytes.end() ? 0 : std::min(held->second, tensor.storage().nbytes());
  int64_t count = 1;
  int64_t last = tensor.storage_offset();
  bool fits = last >= 0;
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) {
    const int64_t size = tensor.size(axis);
    const int64_t stride = tensor.stride(axis);
    int64_t reach = 0;
    fits = fits && size >= 0 && stride >= 0 && !__builtin_mul_overflow(count, size, &count) &&
           !__builtin_mul_overflow(std::max<int64_t>(size - 1, 0), stride, &reach) &&
           !__builtin_add_overflow(last, reach, &last);
  }
  fits = fits && (count == 0 || static_cast<uint64_t>(last) < bytes / tensor.itemsize());
  if (!fits) {
    refuse(c10::str("a tensor of ", tensor.sizes(), " and strides ", tensor.strides(), " from element ",
                    tensor.storage_offset(), " on does not lie within the ", bytes, " bytes it is stored in"));
  }
}

}  // namespace

namespace {

/// What a processor's object held: its dict of tensors, beside what else it kept.
c10::IValue data_of(const c10::IValue& content) {
  const auto list = content.isList() ? content.toListRef() : c10::ArrayRef<c10::IValue>();
  if (list.size() == 1 && list[0].isGenericDict()) {
    for (const auto& entry : list[0].toGenericDict()) {
      if (entry.key().isString() && entry.key().toStringRef() == "data" && entry.value().isGenericDict())
        return entry.value();
    }
  }
  refuse("it is an object without a dict of data");
}

c10::IValue unpickle(std::string_view bytes, caffe2::serialize::PyTorchStreamReader& reader) {
  PickleCheck(bytes).run();
  size_t at = 0;
  const auto read = [&](char* to, size_t count) {
    const size_t some = std::min(count, bytes.size() - at);
    std::memcpy(to, bytes.data() + at, some);
    at += some;
    return some;
  };
  std::map<const void*, size_t> held_bytes;
  const auto read_record = [&](const std::string& name) {
    auto [data, count] = reader.getRecord("data/" + name);
    held_bytes[data.get()] = count;
    return std::move(data);
  };
  torch::jit::Unpickler unpickler(read, nullptr, nullptr, read_record, at::Device(at::kCPU), false, parse_type);
  c10::IValue content = unpickler.parse_ivalue();
  content.visit([&](const c10::IValue& value) {
    if (value.isTensor()) check_tensor(value.toTensor(), held_bytes);
    return false;
  });
  return content;
}

}  // namespace

c10::IValue read_saved(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  caffe2::serialize::PyTorchStreamReader reader(&file);
  const auto [pickle, size] = reader.getRecord("data.pkl");
  const PlainPickle plain = as_plain({static_cast<const char*>(pickle.get()), size});
  const c10::IValue content = unpickle(plain.bytes, reader);
  return plain.wrapped ? data_of(content) : content;
}

}  // namespace gaze::cli
