// SPDX-License-Identifier: MIT
#include "facts.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "random.hpp"

namespace gaze::scenes {
namespace {

using Words = std::vector<std::string>;

enum class Value { year, person, place, noun };

// {s}: the entity as the sentence's subject, {o}: as its object, {n}: by its name, {v}: the value. The entity stands
// before the value, so that a decoder, which only looks back, knows at the value whose it is.
struct Relation {
  Value value;
  Words nouns;  // to choose from where the value is one
  Words sentences;
  Words questions;
};

const Words kColours = {"red", "blue", "green", "yellow", "white", "black", "brown", "grey", "pink", "purple"};
const Words kAnimals = {"cat", "dog",  "goat", "horse", "parrot", "raven",
                        "fox", "bear", "lion", "swan",  "hare",   "wolf"};
const Words kNumbers = {"two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"};

const std::vector<Relation> kOfBuildings = {
    {Value::year,
     {},
     {"{s} was built in {v}.", "{s} dates from {v}.", "People finished {o} in {v}."},
     {"When was {n} built?", "In which year was {n} finished?", "From which year does {n} date?"}},
    {Value::person,
     {},
     {"{s} was built by {v}.", "{s} is the work of {v}.", "{s} was designed by {v}."},
     {"Who built {n}?", "Who designed {n}?", "Whose work is {n}?"}},
    {Value::place,
     {},
     {"{s} stands near {v}.", "{s} is found in {v}.", "A road leads from {o} to {v}."},
     {"Where is {n}?", "Near which town does {n} stand?", "Where can {n} be found?"}},
    {Value::noun,
     {"bells", "gardens", "clocks", "stairs", "roses", "bread", "cheese", "music", "paintings", "lamps", "statues",
      "mirrors", "fountains"},
     {"{s} is known for its {v}.", "{s} is famous for {v}.", "Visitors come to {o} for the {v}."},
     {"What is {n} known for?", "For what is {n} famous?", "What do visitors come to {n} for?"}},
    {Value::noun,
     kColours,
     {"{s} is painted {v}.", "{s} has {v} doors.", "Somebody painted {o} {v}."},
     {"What colour is {n}?", "In which colour is {n} painted?", "What colour are the doors of {n}?"}},
    {Value::person,
     {},
     {"{s} belongs to {v}.", "{s} is owned by {v}.", "{s} is the property of {v}."},
     {"Who owns {n}?", "To whom does {n} belong?", "Whose property is {n}?"}},
    {Value::noun,
     {"stone", "brick", "marble", "granite", "oak", "pine", "slate", "glass"},
     {"{s} is made of {v}.", "{s} consists of {v}."},
     {"What is {n} made of?", "Of which material is {n} made?", "Of what does {n} consist?"}},
    {Value::noun,
     kAnimals,
     {"{s} has a {v} on its flag.", "The flag of {n} shows a {v}."},
     {"Which animal is on the flag of {n}?", "What does the flag of {n} show?"}},
    {Value::noun,
     kNumbers,
     {"{s} has {v} rooms.", "There are {v} rooms in {o}."},
     {"How many rooms does {n} have?", "How many rooms are there in {n}?"}},
};

const std::vector<Relation> kOfPeople = {
    {Value::year,
     {},
     {"{s} was born in {v}.", "{s} came into the world in {v}."},
     {"When was {n} born?", "In which year was {n} born?", "When did {n} come into the world?"}},
    {Value::person,
     {},
     {"{s} learned from {v}.", "{s} was a pupil of {v}.", "{s} was taught by {v}."},
     {"Who taught {n}?", "From whom did {n} learn?", "Whose pupil was {n}?"}},
    {Value::place,
     {},
     {"{s} lives in {v}.", "{s} has a house in {v}.", "{s} can be seen in {v}."},
     {"Where does {n} live?", "In which town is the house of {n}?", "Where can {n} be seen?"}},
    {Value::noun,
     {"coins", "stamps", "shells", "maps", "books", "buttons", "spoons", "feathers", "keys", "stones", "bottles"},
     {"{s} collects {v}.", "{s} has a room full of {v}."},
     {"What does {n} collect?", "What is the room of {n} full of?"}},
    {Value::noun,
     kColours,
     {"{s} wears a {v} coat.", "The coat of {n} is {v}."},
     {"What colour is the coat of {n}?", "What colour does {n} wear?"}},
    {Value::noun,
     {"baker", "smith", "tailor", "sailor", "painter", "weaver", "potter", "miller", "farmer", "singer", "doctor",
      "lawyer"},
     {"{s} works as a {v}.", "{s} is a {v} by trade."},
     {"What does {n} work as?", "What is the trade of {n}?"}},
    {Value::noun,
     kAnimals,
     {"{s} keeps a {v}.", "{s} is followed by a {v}."},
     {"Which animal does {n} keep?", "Which animal follows {n}?"}},
    {Value::noun,
     kNumbers,
     {"{s} has {v} children.", "{s} raised {v} children."},
     {"How many children does {n} have?", "How many children did {n} raise?"}},
};

const Words kBuildings = {"tower", "mill", "castle", "library", "theatre", "school", "tavern", "lighthouse"};

const Words kBeginnings = {"Bel", "Bor", "Bar", "Cal", "Cor", "Cen", "Dun", "Dar", "Dol", "Fen", "Fal",
                           "Gar", "Gol", "Gil", "Hal", "Har", "Hol", "Jan", "Jor", "Jul", "Kel", "Kor",
                           "Kin", "Lor", "Lan", "Lin", "Mar", "Mel", "Mon", "Nor", "Nel", "Nim", "Pel",
                           "Por", "Pan", "Ros", "Ran", "Rin", "Sol", "Sel", "San", "Tam", "Tir", "Tor",
                           "Val", "Ver", "Vin", "Wil", "War", "Wen", "Yor", "Yas", "Zan", "Zel"};

// Each consonant with each of these: none begins another.
const std::string kConsonants = "bdfgklmnrstvz";
const Words kEndings = {"a", "o", "en", "il"};

constexpr int kFirstYear = 1200;
constexpr int kYears = 800;

const std::string& one_of(Random& random, const Words& words) {
  return words[static_cast<std::size_t>(random.below(static_cast<int>(words.size())))];
}

// Held-out names are those of a tenth of the pairs of their first two syllables.
class Names {
 public:
  Names(Random& random, bool held_out) : random_(random), held_out_(held_out) {}

  std::string person() {
    while (true) {
      const std::string given = word(2, "");
      const std::string name = given + " " + word(2, "");
      if (used_.insert(name).second) return name;
    }
  }
  // like: a name to share the first syllable with, or nothing.
  std::string place(const std::string& like = "") {
    while (true) {
      const int syllables = random_.chance(0.35F) ? 3 : 2;
      std::string name = word(syllables, like.substr(0, 3));
      if (used_.insert(name).second) return name;
    }
  }
  std::string person_like(const std::string& like) {
    while (true) {
      const std::string name = like.substr(0, like.find(' ') + 1) + word(2, "");
      if (used_.insert(name).second) return name;
    }
  }

 private:
  std::string word(int syllables, const std::string& beginning) {
    while (true) {
      const auto found = std::find(kBeginnings.begin(), kBeginnings.end(), beginning);
      const int first = found == kBeginnings.end() ? random_.below(static_cast<int>(kBeginnings.size()))
                                                   : static_cast<int>(found - kBeginnings.begin());
      std::string name = kBeginnings[static_cast<std::size_t>(first)];
      int second = 0;
      for (int i = 1; i < syllables; ++i) {
        const int consonant = random_.below(static_cast<int>(kConsonants.size()));
        const int ending = random_.below(static_cast<int>(kEndings.size()));
        if (i == 1) second = consonant * static_cast<int>(kEndings.size()) + ending;
        name += kConsonants[static_cast<std::size_t>(consonant)] + kEndings[static_cast<std::size_t>(ending)];
      }
      if (((first * 7 + second * 3) % 10 == 0) == held_out_) return name;
    }
  }

  Random& random_;
  bool held_out_;
  std::set<std::string> used_;
};

struct Entity {
  bool person = false;
  std::string name;
  std::string kind;  // "tower"; empty of people
  bool she = false;

  [[nodiscard]] const std::vector<Relation>& relations() const { return person ? kOfPeople : kOfBuildings; }
  [[nodiscard]] std::string full_name() const { return person ? name : "the " + kind + " " + name; }
};

Entity make_entity(Random& random, Names& names, bool person, const std::vector<Entity>& others) {
  Entity entity;
  entity.person = person;
  const Entity* like = nullptr;
  if (!others.empty() && random.chance(0.3F)) {
    like = &others[static_cast<std::size_t>(random.below(static_cast<int>(others.size())))];
  }
  if (person) {
    entity.name = like != nullptr && like->person ? names.person_like(like->name) : names.person();
    entity.she = random.chance(0.5F);
  } else {
    entity.name = like != nullptr && !like->person ? names.place(like->name) : names.place();
    entity.kind = one_of(random, kBuildings);
  }
  return entity;
}

std::string make_value(Random& random, Names& names, const Relation& relation, std::set<std::string>& used) {
  while (true) {
    std::string value;
    switch (relation.value) {
      case Value::year:
        value = std::to_string(kFirstYear + random.below(kYears));
        break;
      case Value::person:
        value = names.person();
        break;
      case Value::place:
        value = names.place();
        break;
      case Value::noun:
        value = one_of(random, relation.nouns);
    }
    if (used.insert(value).second) return value;
  }
}

void replace(std::string& text, const std::string& mark, const std::string& by) {
  const std::size_t at = text.find(mark);
  if (at != std::string::npos) text.replace(at, mark.size(), by);
}

void capitalise(std::string& text) {
  if (text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
}

struct Fact {
  std::size_t relation = 0;  // of its entity's
  std::string value;
  ByteRange sentence;
  ByteRange value_range;
};

// Adds the sentence to the passage, and says where it stands.
void state(Random& random, std::string& passage, const Entity& entity, Fact& fact) {
  std::string text = one_of(random, entity.relations()[fact.relation].sentences);
  const bool first = passage.empty();
  const bool pronoun = !first && random.chance(0.45F);
  const bool with_kind = first ? random.chance(0.7F) : random.chance(0.3F);
  const std::string name = with_kind ? entity.full_name() : entity.name;
  std::string subject = name;
  std::string object = name;
  if (pronoun) {
    subject = !entity.person ? "it" : entity.she ? "she" : "he";
    object = !entity.person ? "it" : entity.she ? "her" : "him";
  }
  replace(text, "{s}", subject);
  replace(text, "{o}", object);
  replace(text, "{n}", name);
  const std::size_t value_at = text.find("{v}");
  replace(text, "{v}", fact.value);
  capitalise(text);
  if (!first) passage += " ";
  const auto begin = static_cast<int>(passage.size());
  fact.sentence = {begin, begin + static_cast<int>(text.size())};
  const int value_begin = begin + static_cast<int>(value_at);
  fact.value_range = {value_begin, value_begin + static_cast<int>(fact.value.size())};
  passage += text;
}

std::string ask(Random& random, const Entity& entity, std::size_t relation) {
  std::string text = one_of(random, entity.relations()[relation].questions);
  replace(text, "{n}", random.chance(0.5F) ? entity.full_name() : entity.name);
  return text;
}

std::vector<std::size_t> some_relations(Random& random, std::size_t count, int wanted) {
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < count; ++i) chosen.push_back(i);
  random.shuffle(chosen);
  chosen.resize(static_cast<std::size_t>(wanted));
  return chosen;
}

}  // namespace

FactsCase compose_facts(std::uint64_t seed, bool held_out, int questions, int relations_of_case) {
  Random random(seed * 2 + (held_out ? 1 : 0));
  Names names(random, held_out);
  // Passages choose from few relations, so that several state the same of different entities.
  const std::array<std::vector<std::size_t>, 2> relations = {
      some_relations(random, kOfBuildings.size(), relations_of_case),
      some_relations(random, kOfPeople.size(), relations_of_case)};
  const bool mostly_people = random.chance(0.5F);
  std::array<std::vector<std::set<std::string>>, 2> used;
  used[0].resize(kOfBuildings.size());
  used[1].resize(kOfPeople.size());

  FactsCase result;
  std::vector<Entity> entities;
  std::vector<std::vector<Fact>> facts;
  const int passages = 3 + random.below(4);
  for (int p = 0; p < passages; ++p) {
    const bool person = random.chance(0.8F) == mostly_people;
    entities.push_back(make_entity(random, names, person, entities));
    std::vector<std::size_t> stated = relations[person ? 1 : 0];
    random.shuffle(stated);
    const int sentences = 2 + random.below(2);
    stated.resize(static_cast<std::size_t>(std::min(sentences, relations_of_case)));
    std::string text;
    facts.emplace_back();
    for (const std::size_t relation : stated) {
      Fact fact;
      fact.relation = relation;
      fact.value = make_value(random, names, entities.back().relations()[relation], used[person ? 1 : 0][relation]);
      state(random, text, entities.back(), fact);
      facts.back().push_back(fact);
    }
    result.passages.push_back(text);
  }

  for (int q = 0; q < questions; ++q) {
    FactsQuestion question;
    const int asked = random.below(passages);
    const Entity& entity = entities[static_cast<std::size_t>(asked)];
    const std::vector<Fact>& its_facts = facts[static_cast<std::size_t>(asked)];
    if (!random.chance(0.15F)) {
      const Fact& fact = its_facts[static_cast<std::size_t>(random.below(static_cast<int>(its_facts.size())))];
      question = {ask(random, entity, fact.relation), fact.value, asked, fact.sentence, fact.value_range};
    } else {
      question.answer = kNotStated;
      std::vector<std::size_t> candidates = relations[entity.person ? 1 : 0];
      random.shuffle(candidates);
      const bool absent = random.chance(0.5F);
      const auto missing = std::find_if(candidates.begin(), candidates.end(), [&](std::size_t relation) {
        return std::none_of(its_facts.begin(), its_facts.end(),
                            [&](const Fact& fact) { return fact.relation == relation; });
      });
      if (!absent && missing != candidates.end()) {
        question.text = ask(random, entity, *missing);
      } else {
        const Entity other = make_entity(random, names, entity.person, entities);
        question.text = ask(random, other, candidates.front());
      }
    }
    result.questions.push_back(question);
  }
  return result;
}

std::vector<std::string> facts_pieces() {
  std::set<std::string> pieces(kBeginnings.begin(), kBeginnings.end());
  const auto add_words = [&](std::string text) {
    for (const char* mark : {"{s}", "{o}", "{n}", "{v}"}) replace(text, mark, " ");
    std::string word;
    for (const char c : text + " ") {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (letter) {
        word += c;
        continue;
      }
      if (!word.empty()) pieces.insert(word);
      word.clear();
      if (c != ' ') pieces.insert(std::string(1, c));
    }
  };
  for (const auto* relations : {&kOfBuildings, &kOfPeople}) {
    for (const Relation& relation : *relations) {
      for (const Words* texts : {&relation.nouns, &relation.sentences, &relation.questions}) {
        for (const std::string& text : *texts) add_words(text);
      }
    }
  }
  for (const std::string& kind : kBuildings) pieces.insert(kind);
  add_words(std::string("the The it It he He she She her him ") + kNotStated);
  for (const char consonant : kConsonants) {
    for (const std::string& ending : kEndings) pieces.insert(std::string("##") + consonant + ending);
  }
  for (int century = kFirstYear / 100; century < (kFirstYear + kYears) / 100; ++century) {
    pieces.insert(std::to_string(century));
  }
  for (int year = 0; year < 100; ++year) {
    pieces.insert(std::string("##") + static_cast<char>('0' + year / 10) + static_cast<char>('0' + year % 10));
  }
  return {pieces.begin(), pieces.end()};
}

}  // namespace gaze::scenes
