// SPDX-License-Identifier: MIT
// What a font of ASCII shows of Latin letters.
#include "page/transliterate.hpp"

#include "support/test.hpp"
#include "texts.hpp"

namespace {

gaze::Plain plain(const std::string& text) { return gaze::to_ascii(text, 1000); }

}  // namespace

CATCH_TEST_CASE("transliterate: the letters of Latin alphabets lose their marks") {
  // Alphabets as schools teach them, and the same letters bare.
  const std::pair<const char*, const char*> alphabets[] = {
      {"aąbcćdeęfghijklłmnńoóprsśtuwyzźż AĄBCĆDEĘŁŃÓŚŹŻ", "aabccdeefghijkllmnnooprsstuwyzzz AABCCDEELNOSZZ"},
      {"áčďéěíňóřšťúůýž ÁČĎÉĚÍŇÓŘŠŤÚŮÝŽ", "acdeeinorstuuyz ACDEEINORSTUUYZ"},
      {"ľĺŕô ĽĹŔÔ", "llro LLRO"},
      {"çğıiöşü ÇĞIİÖŞÜ", "cgiioesue CGIIOeSUe"},
      {"őű ŐŰ", "ou OU"},
      {"ăâîșțşţ ĂÂÎȘȚŞŢ", "aaistst AAISTST"},
      {"āčēģīķļņšūž ĀČĒĢĪĶĻŅŠŪŽ", "acegiklnsuz ACEGIKLNSUZ"},
      {"ąčęėįšųūž", "aceeisuuz"},
      {"đðþøåæœß ĐÐÞØÅÆŒẞ", "ddthoaaeoess DDThOAAEOESS"},
      {"ħġċżŻ", "hgczZ"},
      {"ĉĝĥĵŝŭ ĈĜĤĴŜŬ", "cghjsu CGHJSU"},
      {"ŵŷẁẃẅỳ", "wywwwy"},
      {"ạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ", "aaaaaaaaaaaaeeeeeeeeiioooooooooooouuuuuuuyyyy"},
      {"ẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲỴỶỸ", "AAAAAAAAAAAAEEEEEEEEIIOOOOOOOOOOOOUUUUUUUYYYY"},
      {"ǎǐǒǔǖǘǚǜ", "aiouuuuu"},
      {"ẹọṣ ẸỌṢ Ɓ", "eos EOS B"},
      {"ṭṛḍḥṃṇṅśāīū", "trdhmnnsaiu"},
      {"ŋ Ŋ Ɗ Ƙ ƙ Ə ǝ ŀ ŉ ĳ ĸ ſ", "ng Ng D K k E e l 'n ij q s"},
      {"ǄǅǆǇǈǉǊǋǌǱǲǳ", "DZDzdzLJLjljNJNjnjDZDzdz"},
      {"ﬀ ﬁ ﬂ ﬃ ﬄ ﬅ ﬆ", "ff fi fl ffi ffl st st"}};
  for (const auto& [text, bare] : alphabets) {
    CATCH_INFO(text);
    CATCH_CHECK(plain(text).text == bare);
    CATCH_CHECK_FALSE(plain(text).lossy);
  }
  CATCH_CHECK(plain("Łódź řeka Việt").text == "Lodz reka Viet");
}

CATCH_TEST_CASE("transliterate: every letter of the blocks is one or two of ASCII, in its case") {
  size_t without = 0;
  for (const auto& [first, last] : {std::pair{0x100, 0x24F}, std::pair{0x1E00, 0x1EFF}}) {
    for (int code = first; code <= last; ++code) {
      const std::string text =
          code < 0x800 ? std::string{static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))}
                       : std::string{static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3F)),
                                     static_cast<char>(0x80 | (code & 0x3F))};
      const gaze::Plain shown = plain(text);
      CATCH_INFO(std::hex << code << " " << shown.text);
      CATCH_CHECK((shown.text.size() == 1 || shown.text.size() == 2));
      CATCH_CHECK(shown.lossy == (shown.text == "?"));
      without += shown.lossy;
    }
  }
  CATCH_CHECK(without == 21);  // clicks, tones, and letters that are like none
}

CATCH_TEST_CASE("transliterate: marks that are characters of their own, and other scripts") {
  CATCH_CHECK(plain("cafe\xCC\x81 o\xCC\x82\xCC\xA3").text == "cafe o");
  CATCH_CHECK_FALSE(plain("cafe\xCC\x81").lossy);
  CATCH_CHECK(plain("\xCC\x81").text == "?");
  CATCH_CHECK(plain("Ж\xCC\x81").text == "??");
  CATCH_CHECK(plain("香 ok").text == "? ok");
  CATCH_CHECK(plain("香").lossy);
  CATCH_CHECK(plain("\xFF\xC3").text == "??");
  CATCH_CHECK(plain("a\nb\x7F").text == "a b ");
  // However much follows, no more is read than is shown.
  for (const auto& [name, text] : gaze::test::hard_texts(100'000)) {
    CATCH_INFO(name);
    CATCH_CHECK(gaze::to_ascii(text, 40).text.size() <= 44);
  }
  CATCH_CHECK(plain("a" + gaze::test::repeated("\xCC\x81", 40)).text == "a????????????");
}
