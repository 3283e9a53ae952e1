// SPDX-License-Identifier: MIT
// Which words of an answer say something of what was seen or heard.
#pragma once

#include <gaze/render/words.hpp>

#include <string>

namespace gaze {

/// Whether a word names, counts, places or denies something. Those that only hold a sentence together say nothing of
/// the input: white space, punctuation, and English articles, pronouns, auxiliaries, conjunctions and the prepositions
/// without a place of their own ("of", "with"; not "above"). Every word of another language or script is one.
/// @param text  of one word, any bytes, any case; punctuation around it counts for nothing
bool is_content_word(const std::string& text);
/// Of a word whose text stands for another, as it was told from that one. One without text has content: nothing is
/// known of it.
bool has_content(const Word& word);
/// Whether it has a picture of its own where not all words have: one without text has none.
bool draws_content(const Word& word);

}  // namespace gaze
