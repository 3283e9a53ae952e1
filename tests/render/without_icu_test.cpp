// SPDX-License-Identifier: MIT
#include "merged_words.hpp"
#include "records.hpp"

using gaze::test::List;
using gaze::test::merged;

CATCH_TEST_CASE("without ICU: in scripts without spaces each token begins a word") {
  CATCH_CHECK(merged({"▁", "今天", "天气", "很好", "。"}) == List{"今天@0+2", "天气@2+1", "很好@3+1", "。@4+1"});
  CATCH_CHECK(merged({"▁สวัส", "ดี", "ครับ"}) == List{"สวัส@0+1", "ดี@1+1", "ครับ@2+1"});
  CATCH_CHECK(merged({"▁สวั", "ส", "ด", "ี"}) == List{"สวั@0+1", "ส@1+1", "ดี@2+2"});
  CATCH_CHECK(merged({"▁我", "有", "iP", "hone", "，", "ok", "ay"}) ==
              List{"我@0+1", "有@1+1", "iPhone@2+2", "，@4+1", "okay@5+2"});
  CATCH_CHECK(merged({"▁ひら", "が", "な", "カ", "ー"}) == List{"ひら@0+1", "が@1+1", "な@2+1", "カ@3+1", "ー@4+1"});
}

CATCH_TEST_CASE("without ICU: the rule says what to install, where it would have mattered") {
  for (const List& labels : {List{"今", "天"}, List{"▁สวัส", "ดี"}, List{"a", "<s>", "ภา", "ษา"}}) {
    const gaze::WordRule rule = gaze::test::rule_of(labels);
    CATCH_CHECK(rule.name == "tokens");
    CATCH_CHECK_THAT(rule.note, Catch::Matchers::Contains("expected Gaze's ICU part, got: ") &&
                                    Catch::Matchers::Contains("-DGAZE_WITH_ICU=ON"));
  }
  for (const List& labels : {List{}, List{"今天"}, List{"▁red", "▁five"}, List{"今", "a"}}) {
    const gaze::WordRule rule = gaze::test::rule_of(labels);
    CATCH_CHECK(rule.name == "marks");
    CATCH_CHECK(rule.note.empty());
  }
}
