// SPDX-License-Identifier: MIT
#include "pickle_stream.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>

namespace gaze::cli {
namespace {

using namespace std::string_view_literals;

constexpr unsigned char kGlobal = 'c', kEmptyTuple = ')', kReduce = 'R', kNewObject = 0x81, kBuild = 'b', kStop = '.';

struct PickleOp {
  unsigned char code;
  std::string_view whole;
  std::string_view text;  // of a global: "module\nname\n"

  [[nodiscard]] bool puts() const { return code == 'q' || code == 'r'; }
  [[nodiscard]] bool gets() const { return code == 'h' || code == 'j'; }
  [[nodiscard]] uint32_t memo() const {
    uint32_t index = 0;
    std::memcpy(&index, whole.data() + 1, whole.size() - 1);
    return index;
  }
  [[nodiscard]] std::string name() const {
    const size_t line = text.find('\n');
    return std::string(text.substr(0, line)) + "." + std::string(text.substr(line + 1, text.size() - line - 2));
  }
};

/// How many bytes say how long the operand is, and how many the operand has beside; nullopt: no opcode of protocol 2.
struct Operand {
  size_t length_bytes, fixed_bytes;
};
std::optional<Operand> operand_of(unsigned char code) {
  constexpr std::string_view kBare =
      "N\x88\x89)]}(tld\x85\x86\x87"
      "aseuRb\x81Q.0"sv;
  if (kBare.find(static_cast<char>(code)) != std::string_view::npos) return Operand{0, 0};
  switch (code) {
    case 0x80:
    case 'K':
    case 'q':
    case 'h':
      return Operand{0, 1};
    case 'M':
      return Operand{0, 2};
    case 'J':
    case 'r':
    case 'j':
      return Operand{0, 4};
    case 'G':
      return Operand{0, 8};
    case 0x8a:
    case 'U':
    case 'C':
      return Operand{1, 0};
    case 'X':
    case 'T':
    case 'B':
    case 0x8b:
      return Operand{4, 0};
    default:
      return std::nullopt;
  }
}

/// Takes the first instruction off; nullopt when there is none, or it is cut.
std::optional<PickleOp> take_op(std::string_view& bytes) {
  if (bytes.empty()) return std::nullopt;
  PickleOp op{static_cast<unsigned char>(bytes[0]), {}, {}};
  size_t size = 1;
  if (op.code == kGlobal) {
    const size_t first = bytes.find('\n');
    const size_t second = first == std::string_view::npos ? first : bytes.find('\n', first + 1);
    if (second == std::string_view::npos) return std::nullopt;
    op.text = bytes.substr(1, second);
    size = second + 1;
  } else {
    const std::optional<Operand> operand = operand_of(op.code);
    if (!operand || bytes.size() < 1 + operand->length_bytes) return std::nullopt;
    uint32_t length = 0;
    std::memcpy(&length, bytes.data() + 1, operand->length_bytes);
    size += operand->length_bytes + operand->fixed_bytes + length;
  }
  if (size > bytes.size()) return std::nullopt;
  op.whole = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return op;
}

/// Empty when any of it is none of protocol 2.
std::vector<PickleOp> ops_of(std::string_view pickle) {
  std::vector<PickleOp> ops;
  while (const auto op = take_op(pickle)) {
    ops.push_back(*op);
    if (op->code == kStop) return ops;
  }
  return {};
}

/// Memo entries that hold the class of ordered dicts.
class OrderedDicts {
 public:
  /// @return how many instructions from `at` on make an empty one; 0: they do not
  size_t made_at(const std::vector<PickleOp>& ops, size_t at) {
    const bool is_class = ops[at].code == kGlobal && ops[at].name() == "collections.OrderedDict";
    if (!is_class && !(ops[at].gets() && classes_.contains(ops[at].memo()))) return 0;
    const size_t puts = is_class && at + 1 < ops.size() && ops[at + 1].puts() ? 1 : 0;
    if (puts == 1) classes_.insert(ops[at + 1].memo());
    const size_t next = at + 1 + puts;
    const bool made = next + 1 < ops.size() && ops[next].code == kEmptyTuple && ops[next + 1].code == kReduce;
    return made ? puts + 3 : 0;
  }

  /// What else is remembered takes the entry.
  void see(const PickleOp& op) {
    if (op.puts()) classes_.erase(op.memo());
  }

 private:
  std::set<uint32_t> classes_;
};

/// How many instructions at the front make an object of transformers that the rest fills; 0: they do not. What they
/// remember keeps its place.
size_t processor_object(const std::vector<PickleOp>& ops, std::string& instead) {
  size_t at = !ops.empty() && ops[0].code == 0x80 ? 1 : 0;
  if (ops.size() < at + 5 || ops[at].code != kGlobal || !ops[at].text.starts_with("transformers.")) return 0;
  if (ops[ops.size() - 2].code != kBuild) return 0;
  instead = std::string(at == 1 ? ops[0].whole : ""sv) + "]";
  ++at;
  if (ops[at].puts()) instead += ops[at++].whole;
  if (ops[at].code != kEmptyTuple || ops[at + 1].code != kNewObject) return 0;
  at += 2;
  if (at < ops.size() && ops[at].puts()) instead += ops[at++].whole;
  return at;
}

}  // namespace

std::vector<std::string> named_in(std::string_view pickle) {
  std::vector<std::string> names;
  while (const auto op = take_op(pickle)) {
    if (op->code == kStop) break;
    if (op->code == kGlobal && std::find(names.begin(), names.end(), op->name()) == names.end())
      names.push_back(op->name());
  }
  return names;
}

std::string foreign_class(std::string_view pickle) {
  for (const std::string& name : named_in(pickle)) {
    const bool known = name.starts_with("torch._utils._rebuild_tensor_v2") ||
                       name == "torch._utils._rebuild_parameter" ||
                       (name.starts_with("torch.") && name.ends_with("Storage")) || name == "collections.OrderedDict" ||
                       name.starts_with("torch.jit._pickle.");
    if (!known) return name;
  }
  return {};
}

PlainPickle as_plain(std::string_view pickle) {
  PlainPickle plain;
  const std::vector<PickleOp> ops = ops_of(pickle);
  OrderedDicts ordered;
  size_t at = processor_object(ops, plain.bytes);
  plain.wrapped = at > 0;
  if (!plain.wrapped) plain.bytes.clear();
  while (at < ops.size()) {
    if (const size_t count = ordered.made_at(ops, at); count > 0) {
      plain.bytes += '}';
      if (ops[at + 1].puts()) plain.bytes += ops[at + 1].whole;
      at += count;
    } else if (plain.wrapped && at + 2 == ops.size()) {
      plain.bytes += 'a';  // the state goes into the list, as into the object
      ++at;
    } else {
      ordered.see(ops[at]);
      plain.bytes += ops[at++].whole;
    }
  }
  if (ops.empty()) plain.bytes = pickle;  // refused, with its reason, by who reads it
  return plain;
}

}  // namespace gaze::cli
