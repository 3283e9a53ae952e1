// SPDX-License-Identifier: MIT
// Words of scripts without spaces: against sentences cut by hand, and against ICU itself on the whole
// text.
#include <sys/resource.h>
#include <unicode/ubrk.h>
#include <unicode/ustring.h>

#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <thread>

#include "merged_words.hpp"
#include "records.hpp"
#include "texts.hpp"
#include "tokens/characters.hpp"

namespace {

using gaze::test::barred;
using gaze::test::characters_of;
using gaze::test::List;
using gaze::test::merged;
using gaze::test::repeated;
using gaze::test::rule_of;

std::string joined_text(const List& parts) {
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

// Sentences of common words, cut by hand.
const List kSentences[] = {{"สวัสดี", "ชาว", "โลก"},
                           {"ยินดี", "ต้อนรับ"},
                           {"ข้าว", "ผัด", "หมู"},  // Thai
                           {"ພາສາ", "ລາວ"},
                           {"ສະບາຍດີ", "ຊາວໂລກ"},  // Lao
                           {"សួស្តី", "ពិភពលោក"},
                           {"ភាសាខ្មែរ"},     // Khmer
                           {"မင်္ဂလာ", "ပါ"},  // Burmese
                           {"私", "は", "学生", "です"},
                           {"カタカナ"},  // Japanese
                           {"今天", "天气", "很好"},
                           {"中华", "人民", "共和国", "万岁"},  // Chinese
                           {"今天", "。", "天气", "！"}};

/// Where ICU breaks a text, in its bytes; ICU converts it too.
std::set<size_t> breaks_by_icu(const std::string& text) {
  UErrorCode status = U_ZERO_ERROR;
  std::vector<UChar> units(text.size() + 1);
  int32_t count = 0;
  u_strFromUTF8WithSub(units.data(), static_cast<int32_t>(units.size()), &count, text.data(),
                       static_cast<int32_t>(text.size()), 0xFFFD, nullptr, &status);
  CATCH_REQUIRE(U_SUCCESS(status));
  const std::unique_ptr<UBreakIterator, decltype(&ubrk_close)> words(
      ubrk_open(UBRK_WORD, "", units.data(), count, &status), &ubrk_close);
  CATCH_REQUIRE(U_SUCCESS(status));
  std::set<size_t> breaks = {0};
  for (int32_t at = 0, next = ubrk_next(words.get()); next != UBRK_DONE; at = next, next = ubrk_next(words.get())) {
    int32_t bytes = 0;
    u_strToUTF8(nullptr, 0, &bytes, units.data() + at, next - at, &status);
    status = U_ZERO_ERROR;
    breaks.insert(*breaks.rbegin() + static_cast<size_t>(bytes));
  }
  return breaks;
}

uint32_t code_at(const std::string& text, size_t at) {
  int32_t offset = static_cast<int32_t>(at);
  UChar32 code = 0;
  U8_NEXT_OR_FFFD(text.data(), offset, static_cast<int32_t>(text.size()), code);
  return static_cast<uint32_t>(code);
}

/// A text of characters and words of scripts without spaces.
std::string random_text(std::mt19937& random, bool mixed) {
  constexpr std::pair<uint32_t, uint32_t> kLetters[] = {{0x4E00, 0x55FF}, {0x3042, 0x3093}, {0x30A2, 0x30F3},
                                                        {0xE01, 0xE2E},   {0xE94, 0xE97},   {0x1780, 0x17A2},
                                                        {0x1000, 0x1021}, {0x3001, 0x3002}, {0x20000, 0x2001F}};
  const List between = {"abc", "7", "Ж", "🐕", "👩\xE2\x80\x8D🚀", "\xCC\x81", "안녕", "\xFF", "\xE4\xB8", "é"};
  std::string text;
  const size_t script = random() % std::size(kLetters);
  for (size_t i = 1 + random() % 12; i > 0; --i) {
    if (mixed && random() % 4 == 0) text += between[random() % between.size()];
    const List& sentence = kSentences[random() % std::size(kSentences)];
    if (random() % 2 == 0) {
      text += sentence[random() % sentence.size()];
      continue;
    }
    const auto [first, last] = kLetters[mixed ? random() % std::size(kLetters) : script];
    const auto code = static_cast<UChar32>(first + random() % (last - first + 1));
    char bytes[U8_MAX_LENGTH];
    int32_t size = 0;
    U8_APPEND_UNSAFE(bytes, size, code);
    text.append(bytes, static_cast<size_t>(size));
  }
  return text;
}

/// Cut at any bytes: a token's start is a cut.
List randomly_cut(std::mt19937& random, const std::string& text) {
  List tokens;
  const size_t longest = 1 + random() % 12;
  for (size_t at = 0; at < text.size();) {
    const size_t length = 1 + random() % longest;
    tokens.push_back(text.substr(at, length));
    at += length;
  }
  return tokens;
}

/// First tokens of the words that `tokens`, none of them white space, must make; by ICU's breaks of the whole text.
std::vector<int64_t> expected_starts(const List& tokens) {
  const std::string text = joined_text(tokens);
  const std::set<size_t> breaks = breaks_by_icu(text);
  std::vector<int64_t> starts;
  size_t at = 0;
  for (size_t i = 0; i < tokens.size(); at += tokens[i++].size()) {
    if (i == 0 || (breaks.count(at) > 0 && (text[at] & 0xC0) != 0x80 && !gaze::extends(code_at(text, at))))
      starts.push_back(static_cast<int64_t>(i));
  }
  return starts;
}

void check_all_taken(const List& tokens, const std::vector<gaze::Word>& words) {
  int64_t next = 0;
  std::string said;
  for (const gaze::Word& word : words) {
    CATCH_REQUIRE(word.first == next);
    CATCH_REQUIRE(word.count > 0);
    next += word.count;
    said += word.text;
  }
  CATCH_REQUIRE(next == static_cast<int64_t>(tokens.size()));
  CATCH_REQUIRE(said == joined_text(tokens));
}

}  // namespace

CATCH_TEST_CASE("words by ICU: sentences are cut into their words, whatever the tokens") {
  for (const List& sentence : kSentences) {
    CATCH_INFO(joined_text(sentence));
    std::string wanted;
    for (const std::string& word : sentence) wanted += (wanted.empty() ? "" : "|") + word;
    CATCH_CHECK(barred(sentence) == wanted);
    List characters = characters_of(joined_text(sentence));
    CATCH_CHECK(barred(characters) == wanted);  // without marks
    characters[0].insert(0, "▁");
    CATCH_CHECK(barred(characters) == wanted);
    List bytes;
    for (const char byte : joined_text(sentence)) bytes.emplace_back(1, byte);
    CATCH_CHECK(barred(bytes) == wanted);
    CATCH_CHECK(barred({joined_text(sentence)}) == joined_text(sentence));  // one token is one word
  }
  List mixed = characters_of("ไทยabc今天🐕學生");
  mixed[0].insert(0, "▁");
  CATCH_CHECK(barred(mixed) == "ไทย|abc|今天|🐕|學生");
}

CATCH_TEST_CASE("words by ICU: every token is whole, and joins the words that it is part of") {
  CATCH_CHECK(merged({"▁", "今天", "天气", "很好", "。"}) == List{"今天@0+2", "天气@2+1", "很好@3+1", "。@4+1"});
  CATCH_CHECK(merged({"▁สวัส", "ดี", "ครับ"}) == List{"สวัสดี@0+2", "ครับ@2+1"});
  // 天气|很好: the second token ends inside the word that the third goes on with.
  CATCH_CHECK(merged({"今天", "天气很", "好"}) == List{"今天@0+1", "天气很好@1+2"});
  CATCH_CHECK(merged({"今天天", "气很", "好"}) == List{"今天天气很好@0+3"});
  // Two words in a token are one.
  CATCH_CHECK(merged({"今天天气", "很好"}) == List{"今天天气@0+1", "很好@1+1"});
  // What is special ends a word, and no word is looked up beyond it.
  CATCH_CHECK(merged({"สวัส", "<s>", "ดี"}) == List{"สวัส@0+1", "ดี@2+1"});
  CATCH_CHECK(merged({"สวัส", "", "ดี", "ชา", "ว"}) == List{"สวัส@0+1", "ดี@2+1", "ชาว@3+2"});
  CATCH_CHECK(merged({"今", " ", "天"}) == List{"今@0+1", "天@1+2"});
  // Other scripts begin words beside them, and characters stay whole.
  CATCH_CHECK(merged({"▁我", "有", "iP", "hone", "，", "ok", "ay"}) ==
              List{"我有@0+2", "iPhone@2+2", "，@4+1", "okay@5+2"});
  CATCH_CHECK(merged({"ไท", "ย", "a", "bc"}, nullptr).front() == "ไทย@0+2");
  CATCH_CHECK(merged({"今", "\xF0\x9F", "\x90\x95", "天"}) == List{"今@0+1", "🐕@1+2", "天@3+1"});
  CATCH_CHECK(merged({"\xFF", "今", "天", "\xE4\xB8"}) == List{"\xFF@0+1", "今天@1+2", "\xE4\xB8@3+1"});
}

CATCH_TEST_CASE("words by ICU: what the tokenizer says of words stands") {
  using Spelling = gaze::TokenSpelling;
  const Spelling each{.words = Spelling::Words::Each};
  CATCH_CHECK(merged({"今", "天", "天", "气"}, &each) == List{"今@0+1", "天@1+1", "天@2+1", "气@3+1"});
  const Spelling piece{.bytes = Spelling::Bytes::Themselves, .words = Spelling::Words::Prefix, .mark = "##"};
  CATCH_CHECK(merged({"今", "天", "です", "##か"}, &piece) == List{"今@0+1", "天@1+1", "ですか@2+2"});
  // But sentences that it continues to their end are looked up.
  CATCH_CHECK(merged({"สวัส", "##ดี", "##ชาว", "##โล", "##ก"}, &piece) == List{"สวัสดี@0+2", "ชาว@2+1", "โลก@3+2"});
  const Spelling spaces{.bytes = Spelling::Bytes::Themselves, .words = Spelling::Words::Spaces};
  CATCH_CHECK(merged({"今", "天", "天", "气"}, &spaces) == List{"今天@0+2", "天气@2+2"});
}

CATCH_TEST_CASE("words by ICU: the rule is named where it decided") {
  for (const List& labels : {List{"今", "天"}, List{"▁สวัส", "ดี"}, List{"a", "<s>", "ภา", "ษา"}}) {
    CATCH_CHECK_THAT(rule_of(labels).name, Catch::Matchers::StartsWith("ICU "));
    CATCH_CHECK(rule_of(labels).note.empty());
  }
  const List spaced[] = {{},          {"今天"},    {"▁red", "▁fi", "ve"}, {"▁при", "вет"}, {"▁안녕", "하세요"},
                         {"今", "a"}, {"שָׁ", "לוֹם"}};
  for (const List& labels : spaced) CATCH_CHECK(rule_of(labels).name == "marks");
}

CATCH_TEST_CASE("words by ICU: 1000 random texts have the words that ICU finds itself") {
  std::mt19937 random(7);  // NOLINT: the same texts each time
  size_t inside = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string text = random_text(random, /*mixed=*/false);
    for (const List& tokens : {characters_of(text), randomly_cut(random, text)}) {
      CATCH_INFO(text);
      const std::vector<gaze::Word> words = gaze::merge_words(tokens);
      check_all_taken(tokens, words);
      std::vector<int64_t> starts;
      for (const gaze::Word& word : words) starts.push_back(word.first);
      CATCH_CHECK(starts == expected_starts(tokens));
      inside += tokens.size() - words.size();
    }
  }
  CATCH_CHECK(inside > 1000);
}

CATCH_TEST_CASE("words by ICU: mixed texts and any bytes, however cut, lose no token") {
  std::mt19937 random(8);  // NOLINT
  for (int i = 0; i < 1000; ++i) {
    const std::string text = random_text(random, /*mixed=*/true);
    const List tokens = randomly_cut(random, text);
    CATCH_INFO(text);
    const std::vector<gaze::Word> words = gaze::merge_words(tokens);
    check_all_taken(tokens, words);
    // None begins where ICU sees the middle of a word of these scripts.
    const std::set<size_t> breaks = breaks_by_icu(text);
    size_t at = 0;
    for (size_t t = 0, w = 0; t < tokens.size(); at += tokens[t++].size()) {
      if (w == words.size() || words[w].first != static_cast<int64_t>(t)) continue;
      ++w;
      if (t == 0) continue;
      CATCH_CHECK((text[at] & 0xC0) != 0x80);
      size_t before = at - 1;
      while (before > 0 && (text[before] & 0xC0) == 0x80) --before;
      const bool spaceless = gaze::spacing(code_at(text, before)) != gaze::Spacing::Spaces &&
                             gaze::spacing(code_at(text, at)) != gaze::Spacing::Spaces;
      if (spaceless && text.find('\xFF') == std::string::npos && text.find("\xE4\xB8") == std::string::npos)
        CATCH_CHECK(breaks.count(at) == 1);
    }
    std::string bytes(random() % 64, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % 3 == 0 ? random() : 0xE0 + random() % 8);
    (void)gaze::merge_words(randomly_cut(random, bytes));
  }
}

CATCH_TEST_CASE("words by ICU: one sentence cut at every two places") {
  const List sentence = {"私", "は", "学生", "です"};
  const std::string text = joined_text(sentence);
  for (size_t first = 1; first < text.size(); ++first) {
    for (size_t second = first + 1; second < text.size(); ++second) {
      const List tokens = {text.substr(0, first), text.substr(first, second - first), text.substr(second)};
      const std::vector<gaze::Word> words = gaze::merge_words(tokens);
      check_all_taken(tokens, words);
      std::vector<int64_t> starts;
      for (const gaze::Word& word : words) starts.push_back(word.first);
      CATCH_CHECK(starts == expected_starts(tokens));
    }
  }
}

CATCH_TEST_CASE("words by ICU: 100,000 characters") {
  for (const char* unit : {"今天天气很好", "สวัสดีชาวโลก", "ភាសាខ្មែរ", "ひらがなカタカナ"}) {
    const List tokens = characters_of(repeated(unit, 300'000));
    const std::vector<gaze::Word> words = gaze::merge_words(tokens);
    check_all_taken(tokens, words);
    CATCH_CHECK(words.size() == expected_starts(tokens).size());
  }
}

CATCH_TEST_CASE("words by ICU: a text of more than 1 MiB is told by tokens, and why is said") {
  List tokens = {"▁今", repeated("天", 1 << 20), "气", "<s>", "สวัส", "ดี"};
  CATCH_CHECK(merged(tokens).size() == 5);  // by one rule all of it
  CATCH_CHECK(rule_of(tokens).name == "tokens");
  CATCH_CHECK_THAT(rule_of(tokens).note, Catch::Matchers::Contains("expected at most 1048576 bytes of text, got "));
}

CATCH_TEST_CASE("words by ICU: threads have the same words") {
  const List tokens = characters_of(repeated("今天天气很好สวัสดีชาวโลก", 3000));
  const List wanted = merged(tokens);
  std::vector<List> found(4);
  std::vector<std::thread> threads;
  for (List& each : found) threads.emplace_back([&] { each = merged(tokens); });
  for (std::thread& thread : threads) thread.join();
  for (const List& each : found) CATCH_CHECK(each == wanted);
}

CATCH_TEST_CASE("words by ICU: where its memory cannot be had tokens tell words") {
#ifdef __SANITIZE_ADDRESS__
  GAZE_SKIP("the sanitizer ends a process that has no memory");
#endif
  const List tokens = {"今天", repeated("天气", 1'040'000), "很好"};  // 68 MB: more than malloc keeps for any thread
  CATCH_REQUIRE_THAT(rule_of(tokens).name, Catch::Matchers::StartsWith("ICU "));
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  CATCH_REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  const rlimit tight{static_cast<rlim_t>(pages) * 4096 + (rlim_t{32} << 20), before.rlim_max};
  CATCH_REQUIRE(setrlimit(RLIMIT_AS, &tight) == 0);
  const gaze::WordRule rule = rule_of(tokens);
  CATCH_REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  CATCH_CHECK(rule.name == "tokens");
  CATCH_CHECK(rule.note == "no memory");
  CATCH_CHECK_THAT(rule_of(tokens).name, Catch::Matchers::StartsWith("ICU "));
}
