// SPDX-License-Identifier: MIT
// Prints the words of answers: words_of_tokens VOCABULARY < lines of token ids. A line for each: the rule, a semicolon,
// and "first count hex" of every word, with commas between them.
#include <gaze/render/profile.hpp>
#include <gaze/render/words.hpp>

#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("usage: words_of_tokens VOCABULARY < ids");
    const gaze::Profile profile = gaze::parse_profile(
        std::string(R"({"gaze_profile": 1, "sites": {"match": ["*"]}, "tokens": {"vocabulary": ")") + argv[1] + "\"}}");
    for (std::string line; std::getline(std::cin, line);) {
      std::istringstream ids(line);
      std::vector<std::string> labels;
      for (size_t id = 0; ids >> id;) labels.push_back(profile.vocabulary.at(id));
      gaze::WordRule rule;
      const std::vector<gaze::Word> words = gaze::merge_words(labels, profile.spelling.get(), &rule);
      std::printf("%s;", rule.name.c_str());
      const char* between = "";
      for (const gaze::Word& word : words) {
        std::printf("%s%lld %lld ", between, static_cast<long long>(word.first), static_cast<long long>(word.count));
        for (const char byte : word.text) std::printf("%02x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
        between = ",";
      }
      std::puts("");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
