// SPDX-License-Identifier: MIT
// The fields of a JSON object as rows of a table, from which it is read, written and described as a JSON Schema.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "profile/names.hpp"
#include "profile/profile_field.hpp"

namespace gaze::fields {

/// Keeps the order of its fields.
using OrderedJson = nlohmann::ordered_json;

/// A variable as JSON. The variable must outlive it.
struct Binding {
  std::function<void(const Field&)> read;  ///< @throws gaze::Error naming the field, what is allowed and what was found
  std::function<OrderedJson()> write;      ///< null: there is nothing to say
  std::function<OrderedJson()> schema;     ///< without description and default
};

/// What more is known of a field than its type.
struct Rule {
  enum class Need {
    Optional,   ///< its default is that of its variable
    Required,   ///< always written
    Alone,      ///< required, and the object without it is shown
    OrByPreset  ///< required where a preset has nothing in the object's place; always written
  };
  Need need = Need::Optional;
  bool written = false;        ///< at its default too
  const char* with = nullptr;  ///< the field that stands beside it or is left out with it
  unsigned kinds = ~0U;        ///< of the kinds that its object may be, those that have the field: bits
};

/// A row: all that is said of a field.
struct Row {
  const char* name;
  Binding binding;
  const char* description;  ///< a line, for the schema
  Rule rule = {};
};
using Rows = std::vector<Row>;

/// Refuses what is no object, and fields that no row has.
void expect_known(const Field& object, const Rows& rows);

/// In this order: as `expect_known`, the values in the rows' order, fields that are missing, fields that are alone.
/// @param preset  what the fields are added to comes from a preset
/// @throws gaze::Error of the first thing that is wrong
void read_fields(const Field& object, const Rows& rows, bool preset = false);

/// Those that differ from `fresh`, the same rows of an object at its defaults, or are written always.
/// @param kinds  of the object: bits
/// @param begun  fields that are already there keep their places
OrderedJson write_fields(const Rows& rows, const Rows& fresh, unsigned kinds = ~0U,
                         OrderedJson begun = OrderedJson::object());

/// @param fresh  the rows of an object at its defaults
OrderedJson schema_of(const Rows& fresh);

/// "first_key and keys"
std::string listed(const Rows& rows, const char* between);

// Types of values.

Binding whole(int64_t& value, int64_t least, int64_t greatest = kMaxCount);
Binding number(double& value);
/// That it is above 0 is said in the schema alone: whoever owns it checks it.
Binding positive_number(double& value);
/// 0..1
Binding share(double& value);
Binding flag(bool& value);
Binding text(std::string& value);
/// @param expected  what the text is, for the refusal of an empty one
Binding named_text(std::string& value, const char* expected);
Binding glob_patterns(std::vector<std::string>& values);
/// 1 or 3 of them
Binding channels(std::vector<float>& values, bool positive);
/// Of one site: 1 to 64, each once.
Binding head_indices(std::vector<int64_t>& values);
/// At least one.
Binding token_ids(std::vector<int64_t>& values);
/// method -> index
Binding argument(std::map<std::string, int64_t>& values);
/// What has one value so far, and no variable.
Binding only(const OrderedJson& value);

/// One of some names.
/// @param take  keeps what a name stands for; false: it stands for nothing
Binding choice_of(const std::vector<std::string>& names, std::function<bool(const std::string&)> take,
                  std::function<OrderedJson()> write);

/// @param variable  a value of `names`, or an optional one
template <typename Variable, typename Value, size_t N>
Binding choice(Variable& variable, const Named<Value> (&names)[N]) {
  std::vector<std::string> known;
  for (const auto& each : names) known.emplace_back(each.name);
  const auto take = [&variable, &names](const std::string& text) {
    const std::optional<Value> found = value_of(names, text);
    if (found) variable = *found;
    return found.has_value();
  };
  const auto write = [&variable, &names] {
    const std::optional<Value> value = variable;
    return value ? OrderedJson(name_of(names, *value)) : OrderedJson();
  };
  return choice_of(known, take, write);
}

// Objects. `rows` are those of a given object; `check` is called with what was read.

/// The variables of its fields lie in `owner` itself.
template <typename Owner>
Binding group(Owner& owner, Rows (*rows)(Owner&), void (*check)(const Field&, Owner&) = nullptr) {
  const auto read = [&owner, rows, check](const Field& field) {
    read_fields(field, rows(owner));
    if (check != nullptr) check(field, owner);
  };
  const auto write = [&owner, rows] {
    Owner fresh;
    const OrderedJson json = write_fields(rows(owner), rows(fresh));
    return json.empty() ? OrderedJson() : json;
  };
  const auto schema = [rows] {
    Owner fresh;
    return schema_of(rows(fresh));
  };
  return {read, write, schema};
}

/// @param fresh  where nothing is said
template <typename Object>
Binding part(std::optional<Object>& variable, Rows (*rows)(Object&), void (*check)(const Field&, Object&) = nullptr,
             const Object& fresh = {}) {
  const auto read = [&variable, rows, check, fresh](const Field& field) {
    Object object = variable.value_or(fresh);
    read_fields(field, rows(object), variable.has_value());
    if (check != nullptr) check(field, object);
    variable = std::move(object);
  };
  const auto write = [&variable, rows, fresh] {
    Object plain = fresh;
    return variable ? write_fields(rows(*variable), rows(plain)) : OrderedJson();
  };
  const auto schema = [rows, fresh] {
    Object plain = fresh;
    return schema_of(rows(plain));
  };
  return {read, write, schema};
}

/// At least one object.
/// @param each  what one of them is, for the schema
/// @param instead  what else the field may be, for the refusal
template <typename Object>
Binding list(std::vector<Object>& objects, Rows (*rows)(Object&), const char* each, const char* instead = "",
             void (*check)(const Field&, std::vector<Object>&) = nullptr) {
  const auto read = [&objects, rows, instead, check](const Field& field) {
    Object plain;
    if (!field.value().is_array() || field.size() == 0)
      field.refuse("a list of at least one object with " + listed(rows(plain), " and ") + instead);
    std::vector<Object> found(field.size());
    for (size_t i = 0; i < found.size(); ++i) read_fields(field.at(i), rows(found[i]));
    if (check != nullptr) check(field, found);
    objects = std::move(found);
  };
  const auto write = [&objects, rows] {
    OrderedJson json;
    Object plain;
    for (Object& object : objects) json.push_back(write_fields(rows(object), rows(plain)));
    return json;
  };
  const auto schema = [rows, each] {
    Object plain;
    OrderedJson items = {{"description", each}};
    items.update(schema_of(rows(plain)));
    return OrderedJson{{"type", "array"}, {"minItems", 1}, {"items", items}};
  };
  return {read, write, schema};
}

}  // namespace gaze::fields
