// SPDX-License-Identifier: MIT
// Vocabularies as tokenizers keep them in files: each form is read, and what is none is refused in a line.
#include "tokens/vocabulary.hpp"

#include <gaze/render/status.hpp>
#include <gaze/render/text.hpp>
#include <gaze/render/words.hpp>

#include <array>

#include "records.hpp"

namespace {

using List = std::vector<std::string>;
using Spelling = gaze::TokenSpelling;
using Bytes = Spelling::Bytes;
using Marks = Spelling::Words;

struct Folder {
  gaze::test::TempDir dir;

  gaze::Vocabulary read(const std::string& name, const std::string& content) const {
    gaze::test::write_bytes(dir / name, content);
    return gaze::read_vocabulary(dir / name);
  }
  // Of a refusal, behind the file's name.
  std::string why(const std::string& name, const std::string& content) const {
    const auto found = gaze::test::refusal([&] { read(name, content); });
    if (!found) return "accepted";
    CATCH_CHECK(found->text == gaze::one_line(found->text));
    const std::string before = "vocabulary '" + (dir / name) + "': ";
    CATCH_REQUIRE_THAT(found->text, Catch::Matchers::StartsWith(before));
    return found->text.substr(before.size());
  }
};

List words(const gaze::Vocabulary& vocabulary, const std::vector<size_t>& ids) {
  List labels, texts;
  for (const size_t id : ids) labels.push_back(vocabulary.texts.at(id));
  for (const gaze::Word& word : gaze::merge_words(labels, &vocabulary.spelling)) texts.push_back(word.text);
  return texts;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(0x80 | (value & 0x7F));
  return bytes + static_cast<char>(value);
}
std::string field(uint64_t number, const std::string& content) {
  return varint(number << 3 | 2) + varint(content.size()) + content;
}
// As SentencePiece writes it: piece, score, type where it is not 1 (normal).
std::string sentence_piece(const std::string& text, uint64_t type = 1) {
  std::string entry = field(1, text) + varint(2 << 3 | 5) + std::string(4, '\x3F');
  if (type != 1) entry += varint(3 << 3) + varint(type);
  return field(1, entry);
}

}  // namespace

CATCH_TEST_CASE("vocabulary: a list, or an object from texts to ids") {
  const Folder folder;
  CATCH_CHECK(folder.read("v.json", R"(["red", "green"])").texts == List{"red", "green"});
  CATCH_CHECK(folder.read("v.json", R"({"size": 2, "words": ["red", "green"]})").texts == List{"red", "green"});
  CATCH_CHECK(folder.read("v.json", R"({"words": ["x"], "tokens": ["red", "green"]})").texts == List{"red", "green"});
  CATCH_CHECK(folder.read("v.json", R"({"tokens": ["red", "green"], "words": ["x"]})").texts == List{"red", "green"});
  CATCH_CHECK(folder.read("v.json", R"({"red": 0, "blue": 2, "green": 1})").texts == List{"red", "green", "blue"});
  CATCH_CHECK(folder.read("v.json", R"({"tokens": 1, "words": 0, "model": 4})").texts ==
              List{"words", "tokens", "#2", "#3", "model"});
  CATCH_CHECK(folder.read("v", R"({"a": 0})").texts == List{"a"});
  const std::string one_of =
      "the file: expected a list of strings, or an object whose field tokens or words is one, or one from texts to "
      "ids, "
      "or a tokenizer.json, got ";
  CATCH_CHECK(folder.why("v.json", "{}") == one_of + "{}.");
  CATCH_CHECK(folder.why("v.json", "[]") == one_of + "[].");
  CATCH_CHECK(folder.why("v.json", "7") == one_of + "7.");
  CATCH_CHECK(folder.why("v.json", R"({"a": 0, "b": "x"})") == one_of + "\"x\" for \"b\".");
  CATCH_CHECK(folder.why("v.json", R"({"a": [0]})") == one_of + "a list for \"a\".");
  CATCH_CHECK(folder.why("v.json", R"({"a": 1.5})") == one_of + "1.5 for \"a\".");
  CATCH_CHECK(folder.why("v.json", R"({"a": 0, "b": 0})") ==
              "expected one text for each id, got \"a\" and \"b\" for 0.");
  CATCH_CHECK(folder.why("v.json", R"({"a": -1})") == "expected ids in 0..2097151, got -1 for \"a\".");
  CATCH_CHECK(folder.why("v.json", R"({"a": 2097152})") == "expected ids in 0..2097151, got 2097152 for \"a\".");
  CATCH_CHECK(folder.why("v.json", R"({"a": 18446744073709551615})") ==
              "expected ids in 0..2097151, got 9223372036854775807 for \"a\".");
  CATCH_CHECK(folder.why("v.json", R"(["a", ["b"]])") == "the file[1]: expected a string, got a list.");
  CATCH_CHECK(folder.why("v.json", R"({"words": ["a", {"b": "c"}]})") == "words[1]: expected a string, got an object.");
  CATCH_CHECK(folder.why("v.json", R"({"words": ["a"], "words": ["b"]})") ==
              "words: expected each field once, got it twice.");
  CATCH_CHECK_THAT(folder.why("v.json", R"(["a", )"), Catch::Matchers::StartsWith("expected JSON, got this: "));
  CATCH_CHECK_THAT(folder.why("v.json", "[\"\xFF\"]"), Catch::Matchers::StartsWith("expected JSON, got this: "));
  CATCH_CHECK_THAT(folder.why("v.json", ""), Catch::Matchers::StartsWith("expected JSON, got this: "));
}

CATCH_TEST_CASE("vocabulary: a list has marks and alphabets that are found in it") {
  const Folder folder;
  CATCH_CHECK(folder.read("v.json", R"(["red", "green"])").spelling.words == Marks::Each);
  CATCH_CHECK(folder.read("v.json", R"(["▁red", "<0x41>"])").spelling.mark == "▁");
  CATCH_CHECK(folder.read("v.json", R"(["[CLS]", "a", "##b", "▁"])").spelling.words == Marks::Prefix);
  CATCH_CHECK(folder.read("v.json", R"(["a</w>", "Ġ</w>", "Ġ"])").spelling.words == Marks::Suffix);
  CATCH_CHECK(folder.read("v.json", R"(["a@@", "b"])").spelling.words == Marks::Joiner);
  // One of many is text.
  std::string many = R"([" a", "b</w>", "##c")";
  for (int i = 0; i < 1000; ++i) many += ",\"w" + std::to_string(i) + "\"";
  CATCH_CHECK(folder.read("v.json", many + "]").spelling.words == Marks::ByLabels);
  const gaze::Vocabulary some = folder.read("v.json", R"(["Ġcaf", "Ã©", "Ġok", "Ã"])");
  CATCH_CHECK(some.spelling.bytes == Bytes::Likely);
  CATCH_CHECK(words(some, {0, 1, 2}) == List{"café", "ok"});
  CATCH_CHECK(words(some, {1}) == List{"é"});
  // All of the alphabet: whatever comes of it.
  std::string alphabet;
  for (int code = 0x21; code <= 0x143; ++code) {
    const bool of_it = code <= 0x7E || (code >= 0xA1 && code != 0xAD);
    if (!of_it) continue;
    alphabet += alphabet.empty() ? "[\"" : ",\"";
    if (code == '"' || code == '\\') alphabet += '\\';
    if (code < 0x80) {
      alphabet += static_cast<char>(code);
    } else {
      alphabet += {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
    }
    alphabet += '"';
  }
  const gaze::Vocabulary all = folder.read("v.json", alphabet + "]");
  CATCH_REQUIRE(all.texts.size() == 256);
  CATCH_CHECK(all.spelling.bytes == Bytes::StandIns);
  CATCH_CHECK(folder.read("v.json", alphabet.substr(0, alphabet.rfind(',')) + "]").spelling.bytes == Bytes::Likely);
}

CATCH_TEST_CASE("vocabulary: one token a line") {
  const Folder folder;
  const gaze::Vocabulary bert = folder.read("vocab.txt", "[PAD]\n[unused0]\r\n\nre\n##trie\n##ver\n{\n");
  CATCH_CHECK(bert.texts == List{"[PAD]", "[unused0]", "", "re", "##trie", "##ver", "{"});
  CATCH_CHECK(words(bert, {0, 3, 4, 5, 6, 2, 1}) == List{"retriever", "{"});
  CATCH_CHECK(folder
                  .read("vocab.txt",
                        "\xEF\xBB\xBF"
                        "a\nb")
                  .texts == List{"a", "b"});
  CATCH_CHECK(folder.read("vocab.txt", "\n").texts == List{""});
  CATCH_CHECK(folder.why("vocab.txt", "") == "expected one token a line, got none.");
  CATCH_CHECK(folder.why("vocab.txt", std::string(2097153, '\n')) ==
              "expected ids in 0..2097151, got 2097152 for \"\".");
}

CATCH_TEST_CASE("vocabulary: SentencePiece's model") {
  const Folder folder;
  const std::string model = sentence_piece("<unk>", 2) + sentence_piece("<s>", 3) + sentence_piece("</s>", 3) +
                            sentence_piece("<0xC3>", 6) + sentence_piece("<0xA9>", 6) + sentence_piece("▁caf") +
                            sentence_piece("<b>", 4) + sentence_piece("") + field(2, "trainer") + varint(9 << 3 | 1) +
                            std::string(8, 'x') + sentence_piece("▁ok");
  const gaze::Vocabulary read = folder.read("tokenizer.model", model);
  CATCH_CHECK(read.texts == List{"<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "▁caf", "<b>", "", "▁ok"});
  CATCH_CHECK(read.spelling.special == std::set<std::string>{"<unk>", "<s>", "</s>"});
  CATCH_CHECK(words(read, {1, 5, 3, 4, 8, 6, 0, 2}) == List{"café", "ok<b>"});
  // Cut anywhere it is refused, or has fewer pieces; it is never read past its end.
  for (size_t size = 0; size < model.size(); ++size) {
    const std::string told = folder.why("tokenizer.model", model.substr(0, size));
    if (told != "accepted")
      CATCH_CHECK_THAT(told, Catch::Matchers::StartsWith(
                                 "expected SentencePiece's model, a protobuf message that begins with pieces, got "));
  }
  CATCH_CHECK(folder.why("t.model", "") ==
              "expected SentencePiece's model, a protobuf message that begins with pieces, got one without any.");
  CATCH_CHECK(
      folder.why("t.model", field(1, "ab")) ==
      "expected SentencePiece's model, a protobuf message that begins with pieces, got a field that is cut off, at "
      "byte 3.");
  CATCH_CHECK_THAT(folder.why("t.model", std::string(12, '\xFF')),
                   Catch::Matchers::Contains("a number of more than 64 bits"));
  CATCH_CHECK_THAT(folder.why("t.model", "\x0A\xFF\xFF\x7F"),
                   Catch::Matchers::Contains("a field of 2097151 bytes, and the file ends after 0"));
  CATCH_CHECK_THAT(folder.why("t.model", "PK\x03\x04"), Catch::Matchers::Contains("got "));
}

CATCH_TEST_CASE("vocabulary: tiktoken's ranks") {
  const Folder folder;
  // "caf", "\xC3", "\xA9", " ok", "<b>", "\x00"
  const std::string ranks = "Y2Fm 0\nww== 1\nqQ== 2\r\nIG9r 3\nPGI+ 5\n\nAA== 6\n";
  for (const char* name : {"x.tiktoken", "tokenizer.model", "vocab"}) {
    const gaze::Vocabulary read = folder.read(name, ranks);
    CATCH_CHECK(read.texts == List{"caf", "\xC3", "\xA9", " ok", "#4", "<b>", std::string(1, '\0')});
    CATCH_CHECK(words(read, {0, 1, 2, 3, 5}) == List{"café", "ok<b>"});
  }
  CATCH_CHECK(folder.why("x.tiktoken", "Y2Fm 0\nY2Fm\n") ==
              "expected lines of a token in base64, a space and its rank, got line 2 \"Y2Fm\".");
  for (const char* line : {"Y2F 0", "Y2Fm -", "Y2Fm 0x", "=2Fm 0", "Y=Fm 0", " 0", "Y2F\xC3 0"})
    CATCH_CHECK_THAT(folder.why("x.tiktoken", "YQ== 1\n" + std::string(line)),
                     Catch::Matchers::StartsWith("expected lines of a token in base64"));
}

CATCH_TEST_CASE("vocabulary: tokenizer.json says what its tokens are") {
  const Folder folder;
  const auto tokenizer = [](const std::string& model, const std::string& more = "") {
    return R"({"version": "1.0", "truncation": null, "padding": {"pad_id": 0}, )" + more + R"("model": )" + model + "}";
  };
  const std::string added = R"("added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "special": true},
    {"id": 5, "content": "<tag>", "special": false}, {"id": 6, "content": "<|0.00|>", "special": false}], )";
  const gaze::Vocabulary gpt2 = folder.read(
      "tokenizer.json", tokenizer(R"({"type": "BPE", "vocab": {"<s>": 0, "Ġcaf": 1, "Ã": 2, "©": 3, "<0x41>": 4},
                                      "merges": [["Ġ", "c"], "Ã ©"]})",
                                  added + R"("decoder": {"type": "ByteLevel"}, )"));
  CATCH_CHECK(gpt2.texts == List{"<s>", "Ġcaf", "Ã", "©", "<0x41>", "<tag>", "<|0.00|>"});
  CATCH_CHECK(gpt2.spelling == Spelling{.bytes = Bytes::StandIns,
                                        .byte_fallback = false,
                                        .words = Marks::Spaces,
                                        .special = std::set<std::string>{"<s>", "<|0.00|>"}});
  CATCH_CHECK(words(gpt2, {0, 6, 1, 2, 3, 5, 4}) == List{"café<tag><0x41>"});
  // The alphabet is told by what splits text as well, and however deep it stands.
  const gaze::Vocabulary clip = folder.read(
      "tokenizer.json",
      tokenizer(
          R"({"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {"a</w>": 0, "caf": 1, "Ã©</w>": 2}})",
          R"("pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]}, )"));
  CATCH_CHECK(clip.spelling ==
              Spelling{.bytes = Bytes::StandIns, .byte_fallback = false, .words = Marks::Suffix, .mark = "</w>"});
  CATCH_CHECK(words(clip, {0, 1, 2}) == List{"a", "café"});
  const gaze::Vocabulary bert = folder.read(
      "tokenizer.json",
      tokenizer(
          R"({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "__", "vocab": {"[UNK]": 0, "re": 1, "__d": 2, "##": 3}})",
          R"("added_tokens": [{"id": 4, "content": "[S]", "special": true}], )"));
  CATCH_CHECK(bert.spelling.mark == "__");
  CATCH_CHECK(bert.spelling.special == std::set<std::string>{"[S]", "[UNK]"});
  CATCH_CHECK(words(bert, {4, 1, 2, 0, 3}) == List{"red", "##"});
  const gaze::Vocabulary unigram = folder.read(
      "tokenizer.json",
      tokenizer(
          R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["▁re", -1.5], ["d", -2], ["▁", -3]]})",
          R"("added_tokens": [{"id": 4, "content": "</s>", "special": true}], "decoder": {"type": "Metaspace", "replacement": "▁"}, )"));
  CATCH_CHECK(unigram.texts == List{"<unk>", "▁re", "d", "▁", "</s>"});
  CATCH_CHECK(unigram.spelling.special == std::set<std::string>{"<unk>", "</s>"});
  CATCH_CHECK(words(unigram, {1, 2, 0, 3, 2, 4}) == List{"red", "d"});
  const gaze::Vocabulary llama = folder.read(
      "tokenizer.json",
      tokenizer(
          R"({"type": "BPE", "byte_fallback": true, "vocab": {"_re": 0, "d": 1, "<0xC3>": 2, "<0xA9>": 3}})",
          R"("decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "_"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}, )"));
  CATCH_CHECK(words(llama, {0, 1, 2, 3, 0}) == List{"redé", "re"});
  const gaze::Vocabulary level =
      folder.read("tokenizer.json", tokenizer(R"({"type": "WordLevel", "vocab": {"red": 0, "seven": 1}})"));
  CATCH_CHECK(words(level, {0, 1}) == List{"red", "seven"});
  CATCH_CHECK(folder.why("tokenizer.json", tokenizer("{}")) == "expected texts and ids in model.vocab, got none.");
  CATCH_CHECK(folder.why("tokenizer.json", tokenizer(R"({"vocab": {"a": "b"}})")) ==
              "expected an id for \"a\" in model.vocab, got \"b\".");
  CATCH_CHECK(folder.why("tokenizer.json", tokenizer(R"({"vocab": {"a": [1]}})")) ==
              "expected an id for \"a\" in model.vocab, got a list.");
  CATCH_CHECK(
      folder.why("tokenizer.json", tokenizer(R"({"vocab": {"a": 0}})", R"("added_tokens": [{"content": "x"}], )")) ==
      "expected ids in 0..2097151, got -1 for \"x\".");
}

CATCH_TEST_CASE("vocabulary: tokens added beside it") {
  const Folder folder;
  gaze::test::write_bytes(folder.dir / "added_tokens.json", R"({"<pad>": 3, "<i>": 2, "note": 5})");
  const List all = {"▁a", "b", "<i>", "<pad>", "#4", "note"};
  CATCH_CHECK(folder.read("vocab.json", R"({"▁a": 0, "b": 1})").texts == all);
  CATCH_CHECK(folder.read("vocab.txt", "▁a\nb\n").texts == all);
  const gaze::Vocabulary model = folder.read("t.model", sentence_piece("▁a") + sentence_piece("b"));
  CATCH_CHECK(model.texts == all);
  CATCH_CHECK(model.spelling.special == std::set<std::string>{"<i>", "<pad>"});
  // What is complete by itself.
  CATCH_CHECK(folder.read("list.json", R"(["a"])").texts == List{"a"});
  CATCH_CHECK(folder.read("x.tiktoken", "YQ== 0\n").texts == List{"a"});
  CATCH_CHECK(folder.read("tokenizer.json", R"({"model": {"vocab": {"a": 0}}})").texts == List{"a"});
  CATCH_CHECK(folder.read("added_tokens.json", R"({"a": 0})").texts == List{"a"});
  const auto beside = gaze::test::refusal([&] { folder.read("vocab.json", R"({"x": 0, "b": 1})"); });
  CATCH_REQUIRE(beside);
  CATCH_CHECK(beside->text == "vocabulary '" + (folder.dir / "added_tokens.json") +
                                  "': expected one text for each id, got \"x\" and \"a\" for 0.");
}

CATCH_TEST_CASE("vocabulary: what is not needed is not kept, and depth is bounded") {
  const Folder folder;
  std::string merges;
  for (int i = 0; i < 200'000; ++i) merges += "[\"a\", \"b\"],";
  CATCH_CHECK(folder.read("tokenizer.json", R"({"model": {"vocab": {"a": 0}, "merges": [)" + merges + "[]]}}").texts ==
              List{"a"});
  for (const char* unit : {"[", "{\"a\":", "{\"model\":", "{\"model\":{\"vocab\":[", "{\"words\":["}) {
    std::string text;
    for (int i = 0; i < 100'000; ++i) text += unit;
    CATCH_CHECK_THAT(folder.why("v.json", text),
                     Catch::Matchers::StartsWith("expected lists and objects at most 32 deep"));
  }
}
