// SPDX-License-Identifier: MIT
#include "tokens/sentencepiece.hpp"

#include <cstdint>
#include <optional>

namespace gaze {
namespace {

// sentencepiece_model.proto: ModelProto.pieces, SentencePiece.piece and .type.
constexpr uint64_t kPieces = 1, kPiece = 1, kType = 3;
constexpr uint64_t kUnknown = 2, kControl = 3;
constexpr const char* kExpectedModel = "SentencePiece's model, a protobuf message that begins with pieces";

struct ProtoField {
  uint64_t number = 0;
  uint64_t value = 0;           ///< of a varint
  std::string_view bytes = {};  ///< of what has a length
};

/// The fields of one message, one after another.
class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, size_t offset, const VocabularyBuilder& owner)
      : bytes_(bytes), offset_(offset), owner_(owner) {}

  std::optional<ProtoField> next() {
    if (at_ == bytes_.size()) return std::nullopt;
    const uint64_t tag = varint();
    ProtoField field{.number = tag >> 3};
    switch (tag & 7) {
      case 0:
        field.value = varint();
        return field;
      case 1:
        skip(8);
        return field;
      case 2: {
        const uint64_t length = varint();
        if (length > bytes_.size() - at_)
          fail("a field of " + std::to_string(length) + " bytes, and the file ends after " +
               std::to_string(bytes_.size() - at_));
        field.bytes = bytes_.substr(at_, length);
        at_ += length;
        return field;
      }
      case 5:
        skip(4);
        return field;
      default:
        fail("a field of wire type " + std::to_string(tag & 7));
    }
  }

  /// Where the field that was read last ends.
  [[nodiscard]] size_t offset() const { return offset_ + at_; }

 private:
  [[noreturn]] void fail(const std::string& got) const {
    owner_.refuse(kExpectedModel, got + ", at byte " + std::to_string(offset()));
  }

  void skip(size_t bytes) {
    if (bytes > bytes_.size() - at_) fail("a field that is cut off");
    at_ += bytes;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) fail("a number that is cut off");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail("a number of more than 64 bits");
  }

  std::string_view bytes_;
  size_t offset_, at_ = 0;
  const VocabularyBuilder& owner_;
};

}  // namespace

TokenSpelling parse_sentencepiece(std::string_view bytes, VocabularyBuilder& builder) {
  std::set<std::string> special;
  ProtoReader model(bytes, 0, builder);
  while (const std::optional<ProtoField> entry = model.next()) {
    if (entry->number != kPieces) continue;
    std::string text;
    uint64_t type = 0;
    ProtoReader piece(entry->bytes, model.offset() - entry->bytes.size(), builder);
    while (const std::optional<ProtoField> field = piece.next()) {
      if (field->number == kPiece) text = field->bytes;
      if (field->number == kType) type = field->value;
    }
    if (type == kUnknown || type == kControl) special.insert(text);
    builder.append(std::move(text));
  }
  if (builder.size() == 0) builder.refuse(kExpectedModel, "one without any");
  return {.bytes = TokenSpelling::Bytes::Themselves,
          .words = TokenSpelling::Words::Spaces,
          .mark = "\xE2\x96\x81",
          .special = std::move(special)};
}

}  // namespace gaze
