// SPDX-License-Identifier: MIT
#include "profile/field_rows.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace gaze::fields {
namespace {

constexpr size_t kMostHeads = 64;
constexpr int64_t kGreatestIndex = 255;  // of a head, of an argument

// A field whose variable cannot stand in a profile, as 0 for a size that is not known, has no default to tell.
bool tells_default(const OrderedJson& value, const OrderedJson& schema) {
  if (value.is_null() || value.is_structured()) return false;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.is_number() || value >= schema.value("minimum", value);
}

// 0.45, not 0.44999998807907104: the fewest digits of which the same float is read.
double with_few_digits(float value) {
  char text[32];
  double few = 0;
  const auto written = std::to_chars(text, std::end(text), value);
  std::from_chars(text, written.ptr, few);
  return static_cast<float>(few) == value ? few : static_cast<double>(value);
}

OrderedJson object_schema(const OrderedJson& required, const OrderedJson& dependent, OrderedJson properties) {
  OrderedJson schema = {{"type", "object"}, {"additionalProperties", false}};
  if (!required.empty()) schema["required"] = required;
  if (!dependent.empty()) schema["dependentRequired"] = dependent;
  schema["properties"] = std::move(properties);
  return schema;
}

}  // namespace

void expect_known(const Field& object, const Rows& rows) {
  std::vector<const char*> names;
  for (const Row& row : rows) names.push_back(row.name);
  object.expect_object(names);
}

void read_fields(const Field& object, const Rows& rows, bool preset) {
  using Need = Rule::Need;
  expect_known(object, rows);
  for (const Row& row : rows) {
    if (object.has(row.name)) row.binding.read(object.at(row.name));
  }
  for (const Row& row : rows) {
    const Need need = row.rule.need;
    if (object.has(row.name) || need == Need::Optional || (need == Need::OrByPreset && preset)) continue;
    const std::string wanted = "the field " + std::string(row.name);
    need == Need::Alone ? object.refuse(wanted) : object.refuse(wanted, "none");
  }
  for (const Row& row : rows) {
    if (row.rule.with == nullptr || object.has(row.name) == object.has(row.rule.with)) continue;
    object.refuse(std::string(row.name) + " and " + row.rule.with + " together",
                  std::string(object.has(row.name) ? row.name : row.rule.with) + " alone");
  }
}

OrderedJson write_fields(const Rows& rows, const Rows& fresh, unsigned kinds, OrderedJson begun) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const Rule& rule = rows[i].rule;
    OrderedJson value = rows[i].binding.write();
    if (value.is_null() || (rule.kinds & kinds) == 0) continue;
    const bool always = rule.written || rule.need != Rule::Need::Optional;
    if (always || value != fresh[i].binding.write()) begun[rows[i].name] = std::move(value);
  }
  return begun;
}

OrderedJson schema_of(const Rows& fresh) {
  using Need = Rule::Need;
  OrderedJson required, dependent, properties = OrderedJson::object();
  for (const Row& row : fresh) {
    OrderedJson& property = properties[row.name] = {{"description", row.description}};
    property.update(row.binding.schema());
    if (row.rule.with != nullptr) dependent[row.name] = {row.rule.with};
    if (row.rule.need == Need::Required || row.rule.need == Need::Alone) required.push_back(row.name);
    if (row.rule.need != Need::Optional) continue;
    const OrderedJson value = row.binding.write();
    if (tells_default(value, property)) property["default"] = value;
  }
  return object_schema(required, dependent, std::move(properties));
}

std::string listed(const Rows& rows, const char* between) {
  std::string text;
  for (const Row& row : rows) text += (text.empty() ? "" : between) + std::string(row.name);
  return text;
}

Binding whole(int64_t& value, int64_t least, int64_t greatest) {
  return {[&value, least, greatest](const Field& field) { value = field.whole(least, greatest); },
          [&value] { return OrderedJson(value); },
          [least, greatest] {
            return OrderedJson{{"type", "integer"}, {"minimum", least}, {"maximum", greatest}};
          }};
}

Binding number(double& value) {
  return {[&value](const Field& field) { value = field.number(); }, [&value] { return OrderedJson(value); },
          [] {
            return OrderedJson{{"type", "number"}};
          }};
}

Binding positive_number(double& value) {
  Binding binding = number(value);
  binding.schema = [] { return OrderedJson{{"type", "number"}, {"exclusiveMinimum", 0}}; };
  return binding;
}

Binding share(double& value) {
  const auto read = [&value](const Field& field) {
    value = field.number();
    if (!(value >= 0 && value <= 1)) field.refuse("a number in 0..1");
  };
  return {read, [&value] { return OrderedJson(value); },
          [] {
            return OrderedJson{{"type", "number"}, {"minimum", 0}, {"maximum", 1}};
          }};
}

Binding flag(bool& value) {
  return {[&value](const Field& field) { value = field.flag(); }, [&value] { return OrderedJson(value); },
          [] {
            return OrderedJson{{"type", "boolean"}};
          }};
}

Binding text(std::string& value) {
  return {[&value](const Field& field) { value = field.text(); }, [&value] { return OrderedJson(value); },
          [] {
            return OrderedJson{{"type", "string"}};
          }};
}

Binding named_text(std::string& value, const char* expected) {
  const auto read = [&value, expected](const Field& field) {
    value = field.text();
    if (value.empty()) field.refuse(expected);
  };
  return {read, [&value] { return OrderedJson(value); },
          [] {
            return OrderedJson{{"type", "string"}, {"minLength", 1}};
          }};
}

Binding glob_patterns(std::vector<std::string>& values) {
  const auto read = [&values](const Field& field) {
    if (!field.value().is_array() || field.size() == 0)
      field.refuse("a list of at least one glob pattern of site names");
    values.clear();
    for (size_t i = 0; i < field.size(); ++i) {
      values.push_back(field.at(i).text());
      if (values.back().empty()) field.at(i).refuse("a glob pattern such as decoder.layers.*.cross_attn");
    }
  };
  return {read, [&values] { return OrderedJson(values); },
          [] {
            return OrderedJson{{"type", "array"}, {"minItems", 1}, {"items", {{"type", "string"}, {"minLength", 1}}}};
          }};
}

Binding channels(std::vector<float>& values, bool positive) {
  const auto read = [&values, positive](const Field& field) {
    const std::string expected = "a list of 1 or 3 " + std::string(positive ? "numbers above 0" : "numbers");
    if (!field.value().is_array() || (field.size() != 1 && field.size() != 3)) field.refuse(expected);
    values.clear();
    for (size_t i = 0; i < field.size(); ++i) {
      const Field entry = field.at(i);
      const auto number = static_cast<float>(entry.number());
      if (!std::isfinite(number) || (positive && number <= 0))
        entry.refuse(positive ? "a number above 0" : "a finite number");
      values.push_back(number);
    }
  };
  const auto write = [&values] {
    OrderedJson json;
    for (const float value : values) json.push_back(with_few_digits(value));
    return json;
  };
  const auto schema = [positive] {
    OrderedJson items = {{"type", "number"}};
    if (positive) items["exclusiveMinimum"] = 0;
    const auto exactly = [](int count) { return OrderedJson{{"minItems", count}, {"maxItems", count}}; };
    return OrderedJson{{"type", "array"}, {"oneOf", {exactly(1), exactly(3)}}, {"items", items}};
  };
  return {read, write, schema};
}

Binding head_indices(std::vector<int64_t>& values) {
  const auto read = [&values](const Field& field) {
    if (!field.value().is_array() || field.size() == 0 || field.size() > kMostHeads)
      field.refuse("a list of 1 to " + std::to_string(kMostHeads) + " heads");
    values.clear();
    for (size_t i = 0; i < field.size(); ++i) {
      values.push_back(field.at(i).whole(0, kGreatestIndex));
      if (std::count(values.begin(), values.end(), values.back()) > 1) field.at(i).refuse("each head once");
    }
  };
  return {read, [&values] { return OrderedJson(values); },
          [] {
            return OrderedJson{{"type", "array"},
                               {"minItems", 1},
                               {"maxItems", kMostHeads},
                               {"items", {{"type", "integer"}, {"minimum", 0}, {"maximum", kGreatestIndex}}}};
          }};
}

Binding token_ids(std::vector<int64_t>& values) {
  const auto read = [&values](const Field& field) {
    if (!field.value().is_array() || field.size() == 0) field.refuse("a list of at least one token id");
    values.clear();
    for (size_t i = 0; i < field.size(); ++i) values.push_back(field.at(i).whole(-kMaxCount, kMaxCount));
  };
  return {read, [&values] { return values.empty() ? OrderedJson() : OrderedJson(values); },
          [] {
            return OrderedJson{{"type", "array"},
                               {"minItems", 1},
                               {"items", {{"type", "integer"}, {"minimum", -kMaxCount}, {"maximum", kMaxCount}}}};
          }};
}

Binding argument(std::map<std::string, int64_t>& values) {
  const auto read = [&values](const Field& field) {
    if (!field.value().is_object() || field.size() == 0)
      field.refuse("an object of method names and argument indices, such as {\"forward\": 0}");
    values.clear();
    for (const auto& [method, index] : field.value().items())
      values[method] = field.at(method).whole(0, kGreatestIndex);
  };
  return {read, [&values] { return values.empty() ? OrderedJson() : OrderedJson(values); },
          [] {
            return OrderedJson{
                {"type", "object"},
                {"minProperties", 1},
                {"additionalProperties", {{"type", "integer"}, {"minimum", 0}, {"maximum", kGreatestIndex}}}};
          }};
}

Binding only(const OrderedJson& value) {
  const auto read = [value](const Field& field) {
    if (field.value() != nlohmann::json(value))
      field.refuse(value.is_string() ? value.get<std::string>() : value.dump());
  };
  const auto schema = [value] {
    return value.is_string() ? OrderedJson{{"enum", {value}}} : OrderedJson{{"const", value}};
  };
  return {read, [value] { return value; }, schema};
}

Binding choice_of(const std::vector<std::string>& names, std::function<bool(const std::string&)> take,
                  std::function<OrderedJson()> write) {
  const auto read = [names, take = std::move(take)](const Field& field) {
    if (field.value().is_string() && take(field.value().get<std::string>())) return;
    std::string expected;
    for (const std::string& name : names) expected += (expected.empty() ? "one of " : ", ") + name;
    field.refuse(expected);
  };
  return {read, std::move(write), [names] { return OrderedJson{{"enum", names}}; }};
}

}  // namespace gaze::fields
