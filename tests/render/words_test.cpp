// SPDX-License-Identifier: MIT
#include <gaze/render/words.hpp>

#include <string_view>

#include "merged_words.hpp"
#include "records.hpp"
#include "tokens/characters.hpp"

namespace {

using gaze::test::List;
using gaze::test::merged;

}  // namespace

CATCH_TEST_CASE("words: without marks every token is a word") {
  CATCH_CHECK(merged({"red", "five", "red"}) == List{"red@0+1", "five@1+1", "red@2+1"});
}

CATCH_TEST_CASE("words: SentencePiece and byte-level marks begin a word") {
  CATCH_CHECK(merged({"\xE2\x96\x81golden", "\xE2\x96\x81re", "trie", "ver", "."}) ==
              List{"golden@0+1", "retriever.@1+4"});
  CATCH_CHECK(merged({"A", "\xC4\xA0gold", "en"}) == List{"A@0+1", "golden@1+2"});
  CATCH_CHECK(merged({" a", " re", "d"}) == List{"a@0+1", "red@1+2"});
}

CATCH_TEST_CASE("words: white space belongs to what follows, else to the word before it") {
  CATCH_CHECK(merged({"\xE2\x96\x81", "dog", "\xE2\x96\x81",
                      "\xE2\x96\x81"
                      "cat"}) == List{"dog@0+2", "cat@2+2"});
  CATCH_CHECK(merged({" a", "\n", " \t", " b", " ", "\xC2\xA0"}) == List{"a@0+1", "b@1+5"});
  CATCH_CHECK(merged({"<s>", " ", "\n", "</s>", "a", " "}) == List{"a@4+2"});
  CATCH_CHECK(merged({"of the ", "m"}) == List{"of the@0+1", "m@1+1"});
  // One that lies inside a token sets nothing apart.
  CATCH_CHECK(merged({" of the", "m"}) == List{"of them@0+2"});
}

CATCH_TEST_CASE("words: WordPiece continues with ##, which is text where words are marked at their beginning") {
  CATCH_CHECK(merged({"re", "##trie", "##ver", "dog"}) == List{"retriever@0+3", "dog@3+1"});
  CATCH_CHECK(merged({"##ver"}) == List{"ver@0+1"});
  CATCH_CHECK(merged({" a", " ##b", "##c"}) == List{"a@0+1", "##b##c@1+2"});
}

CATCH_TEST_CASE("words: special and empty tokens form no word and end one") {
  CATCH_CHECK(merged({"<bos>", " gold", "en", "<|im_end|>", "er", "", "x"}) == List{"golden@1+2", "er@4+1", "x@6+1"});
  CATCH_CHECK(merged({"<", ">", "<>"}) == List{"<@0+1", ">@1+1", "<>@2+1"});
  CATCH_CHECK(merged({"[CLS]", "a", "[x]", "[UNK]", "[unused7]", "[unused]", "[PAD]", "[SEP]", "[MASK]", "[BOS]",
                      "[EOS]"}) == List{"a@1+1", "[x]@2+1", "[unused]@5+1"});
  CATCH_CHECK(merged({"<eos>", ""}).empty());
  CATCH_CHECK(merged({}).empty());
}

namespace {

// GPT-2's printable stand-ins, made from the rule that its authors published.
std::string stand_ins(const std::string& bytes) {
  std::vector<int> code_of(256, 0);
  int more = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const bool kept = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
    code_of[static_cast<size_t>(byte)] = kept ? byte : 256 + more++;
  }
  std::string text;
  for (const unsigned char byte : bytes) {
    const int code = code_of[byte];
    if (code >= 0x80) {
      text += static_cast<char>(0xC0 | code >> 6);
      text += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      text += static_cast<char>(code);
    }
  }
  return text;
}

// Every byte of a text a token.
List bytes_of(const std::string& text) {
  List tokens;
  for (const char byte : text) tokens.emplace_back(1, byte);
  return tokens;
}

}  // namespace

CATCH_TEST_CASE("words: GPT-2's stand-ins are bytes, however tokens cut characters") {
  const std::string texts[] = {" caf", "é", " crème", "\n", " ok"};
  List labels;
  for (const std::string& text : texts) labels.push_back(stand_ins(text));
  CATCH_CHECK(merged(labels) == List{"café@0+2", "crème@2+1", "ok@3+2"});
  // Every byte by itself.
  for (const std::string text : {"café", "香ば聞", "🐕", "Ж", "สวัสดี", "a\tb\x7F"}) {
    List tokens;
    for (const std::string& byte : bytes_of(" " + text)) tokens.push_back(stand_ins(byte));
    std::string joined;
    int64_t next = 0;
    for (const gaze::Word& word : gaze::merge_words(tokens)) {
      CATCH_CHECK(word.first == next);
      next += word.count;
      joined += word.text;
    }
    CATCH_CHECK(next == static_cast<int64_t>(tokens.size()));
    std::string wanted = text;
    std::erase(wanted, '\t');
    CATCH_CHECK(joined == wanted);
  }
  // Without a mark, by what comes of it.
  CATCH_CHECK(merged({stand_ins("今天"), stand_ins("天气")}) == List{"今天@0+1", "天气@1+1"});
  CATCH_CHECK(merged({stand_ins("Привет")}) == List{"Привет@0+1"});
  // An answer may end inside a character.
  CATCH_CHECK(merged({stand_ins(" dog"), stand_ins("\xF0\x9F\x90")}) == List{"dog\xF0\x9F\x90@0+2"});
}

CATCH_TEST_CASE("words: what is text already is not taken for stand-ins") {
  CATCH_CHECK(merged({"Ġcafé"}) == List{"café@0+1"});
  CATCH_CHECK(merged({"Ġcafé", "Ġnoir", "Ċ"}) == List{"café@0+1", "noir@1+2"});
  CATCH_CHECK(merged({"NESCAFÉ®"}) == List{"NESCAFÉ®@0+1"});
  CATCH_CHECK(merged({"PÓŁ", "NOC"}) == List{"PÓŁ@0+1", "NOC@1+1"});
  CATCH_CHECK(merged({"Ġ日本", "é"}) == List{"日本@0+1", "é@1+1"});
  CATCH_CHECK(merged({" Ã©"}) == List{"Ã©@0+1"});
}

CATCH_TEST_CASE("words: <0xNN> is a byte") {
  CATCH_CHECK(merged({"▁dog", "<0xF0>", "<0x9F>", "<0x90>", "<0x95>", "▁ok"}) == List{"dog🐕@0+5", "ok@5+1"});
  CATCH_CHECK(merged({"<0xE9>", "<0xA6>", "<0x99>", "<0xe8>", "<0x81>", "<0x9e>"}) == List{"香@0+3", "聞@3+3"});
  CATCH_CHECK(merged({"▁a", "<0x0A>", "▁b"}) == List{"a@0+1", "b@1+2"});
  CATCH_CHECK(merged({"▁a", "<0xG0>", "<0x0>", "<0x000>"}) == List{"a@0+1"});
}

CATCH_TEST_CASE("words: pieces of one character belong to one word") {
  const std::string a = "香", b = "聞";
  CATCH_CHECK(merged({a.substr(0, 2), a.substr(2), "ば", b.substr(0, 1), b.substr(1)}) ==
              List{"香@0+2", "ば@2+1", "聞@3+2"});
  CATCH_CHECK(merged({" \xC3", "\xA6ldre"}) == List{"ældre@0+2"});
  CATCH_CHECK(merged(bytes_of("🐕é")) == List{"🐕@0+4", "é@4+2"});
  // What a reader sees as one: a mark behind its letter, a skin tone, joined pictures, a flag.
  CATCH_CHECK(merged({"e", "\xCC\x81", "👍", "🏽", "👩", "\xE2\x80\x8D", "🚀", "🇩", "🇪", "🇫", "🇷", "न", "ि"}) ==
              List{"e\xCC\x81@0+2", "👍🏽@2+2", "👩\xE2\x80\x8D🚀@4+3", "🇩🇪@7+2", "🇫🇷@9+2", "नि@11+2"});
  // Bytes that are no character are not lost.
  CATCH_CHECK(merged({"\xFF", "\x80", "a"}) == List{"\xFF@0+1", "\x80@1+1", "a@2+1"});
}

CATCH_TEST_CASE("words: in scripts without spaces tokens that are words begin one, with and without ICU") {
  CATCH_CHECK(merged({"▁", "今天", "天气", "很好", "。"}) == List{"今天@0+2", "天气@2+1", "很好@3+1", "。@4+1"});
  CATCH_CHECK(merged({"▁我", "iP", "hone", "，", "ok", "ay"}) == List{"我@0+1", "iPhone@1+2", "，@3+1", "okay@4+2"});
  CATCH_CHECK(merged({"▁안녕", "하세요"}) == List{"안녕하세요@0+2"});
}

CATCH_TEST_CASE("words: in scripts without spaces that no dictionary knows each token begins one") {
  // Javanese, Balinese, Tai Tham, Tai Le, New Tai Lue, Tai Viet, Yi; Javanese beside Thai.
  const List scripts[] = {{"ꦧꦱ", "ꦗ", "ꦮ"}, {"ᬩᬲ", "ᬩᬮᬶ"}, {"ᨣᩴ", "ᨾᩮ", "ᨦ"},   {"ᥖᥭ", "ᥘᥫ"},
                          {"ᦟᦲ", "ᦺᦑ"},     {"ꪼꪕ", "ꪒꪾ"},  {"ꆈ", "ꌠ", "ꉙ"}, {"ꦧ", "ไ", "ꦧ"}};
  for (List labels : scripts) {
    List wanted;
    for (size_t i = 0; i < labels.size(); ++i) wanted.push_back(labels[i] + "@" + std::to_string(i) + "+1");
    CATCH_CHECK(merged(labels) == wanted);
    CATCH_CHECK(gaze::test::rule_of(labels).name == "marks");
    labels[0].insert(0, "▁");
    CATCH_CHECK(merged(labels) == wanted);
  }
}

CATCH_TEST_CASE("words: where the text has no space, none is told") {
  const auto text = [](const List& labels) {
    std::string out;
    for (const gaze::Word& word : gaze::merge_words(labels)) out += (word.joined ? "" : "|") + word.text;
    return out;
  };
  CATCH_CHECK(text({"▁", "今天", "天气", "▁很好", "。", "ok", "▁ok"}) == "|今天天气|很好。ok|ok");
  CATCH_CHECK(text({"今", "天", "red", "five"}) == "|今天|red|five");
  CATCH_CHECK(text({"▁สวัส", "ดี", "<s>", "ดี"}) == "|สวัสดี|ดี");
}

CATCH_TEST_CASE("words: ends of words are marked too") {
  CATCH_CHECK(merged({"a</w>", "pho", "to</w>", "of</w>", "<3</w>", "<|endoftext|>", "c"}) ==
              List{"a@0+1", "photo@1+2", "of@3+1", "<3@4+1", "c@6+1"});
  CATCH_CHECK(merged({"re@@", "trie@@", "ver", "dog"}) == List{"retriever@0+3", "dog@3+1"});
  CATCH_CHECK(merged({"re@@", "<s>", "ver"}) == List{"re@0+1", "ver@2+1"});
  CATCH_CHECK(merged({"@@", "</w>"}) == List{"@@@0+1"});
}

CATCH_TEST_CASE("words: what a vocabulary says goes before what the labels look like") {
  using Spelling = gaze::TokenSpelling;
  const auto told = [](const List& labels, const Spelling& spelling) { return merged(labels, &spelling); };
  // No label is marked, and yet words are.
  Spelling bytes{.bytes = Spelling::Bytes::StandIns, .words = Spelling::Words::Spaces};
  CATCH_CHECK(told({"Red", "dish", stand_ins("\xC3"), stand_ins("\xA9")}, bytes) == List{"Reddishé@0+4"});
  CATCH_CHECK(told({"caf", "Ã©"}, bytes) == List{"café@0+2"});
  // A character that stands for no byte: the token is text.
  CATCH_CHECK(told({"a b", "日本"}, bytes) == List{"a b@0+1", "日本@1+1"});
  bytes.special = {{"<s>"}};
  CATCH_CHECK(told({"<s>", "<b>", "Ġx"}, bytes) == List{"<b>@1+1", "x@2+1"});
  const Spelling piece{.bytes = Spelling::Bytes::Themselves, .words = Spelling::Words::Prefix, .mark = "##"};
  CATCH_CHECK(told({" a", "##b", "▁", "Ġ"}, piece) == List{"ab@0+2", "▁@2+1", "Ġ@3+1"});
  const Spelling other{.bytes = Spelling::Bytes::Themselves, .words = Spelling::Words::Spaces, .mark = "_"};
  CATCH_CHECK(told({"_a", "b", "_c", "▁"}, other) == List{"ab@0+2", "c▁@2+2"});
  const Spelling each{.words = Spelling::Words::Each};
  CATCH_CHECK(told({"a", "b", "\xE9\xA6", "\x99"}, each) == List{"a@0+1", "b@1+1", "香@2+2"});
}

CATCH_TEST_CASE("words: punctuation is what is written and not said") {
  // Of other scripts: inverted marks, guillemets, dash, ellipsis, Armenian, Arabic, Devanagari, Han, fullwidth.
  constexpr std::u32string_view kUnsaid =
      U".,!?:;\"'()[]{}-_\u00BF\u00AB\u2014\u2026\u0589\u060C\u06D4\u0964\u3001\u3002\uFF0C\uFF1F";
  for (const char32_t code : kUnsaid) CATCH_CHECK(gaze::punctuation(code));
  // Read out by their names, or no punctuation at all.
  constexpr std::u32string_view kSaid =
      U"%&@#*/\\+=$~aZ09 \n\u00E9\u0660\u0905\u4E00\u3042\u20AC\u2212\uFF05\uFF21\U0001F600\U0010FFFF";
  for (const char32_t code : kSaid) CATCH_CHECK_FALSE(gaze::punctuation(code));
}
