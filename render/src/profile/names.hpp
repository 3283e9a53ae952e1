// SPDX-License-Identifier: MIT
// The names that profiles have for choices, in the order in which they are told.
#pragma once

#include <gaze/ops/reduce.hpp>
#include <gaze/render/geometry.hpp>
#include <gaze/render/prompt_text.hpp>
#include <gaze/render/token_rows.hpp>

#include <cstddef>
#include <optional>
#include <string_view>

namespace gaze {

template <typename Value>
struct Named {
  const char* name;
  Value value;
};

template <typename Value, size_t N>
std::optional<Value> value_of(const Named<Value> (&names)[N], std::string_view text) {
  for (const auto& entry : names) {
    if (text == entry.name) return entry.value;
  }
  return std::nullopt;
}

template <typename Value, size_t N>
const char* name_of(const Named<Value> (&names)[N], Value value) noexcept {
  for (const auto& entry : names) {
    if (value == entry.value) return entry.name;
  }
  return "unknown";
}

inline constexpr Named<SourceKind> kSourceKindNames[] = {{"system", SourceKind::System},
                                                         {"user", SourceKind::User},
                                                         {"passage", SourceKind::Passage},
                                                         {"turn", SourceKind::Turn},
                                                         {"tool", SourceKind::Tool}};
inline constexpr Named<ops::HeadReduce> kHeadNames[] = {
    {"mean", ops::HeadReduce::Mean},         {"max", ops::HeadReduce::Max}, {"min", ops::HeadReduce::Min},
    {"weighted", ops::HeadReduce::Weighted}, {"one", ops::HeadReduce::One}, {"topk", ops::HeadReduce::TopK}};
inline constexpr Named<ops::LayerReduce> kLayerNames[] = {{"mean", ops::LayerReduce::Mean},
                                                          {"max", ops::LayerReduce::Max},
                                                          {"last", ops::LayerReduce::Last},
                                                          {"weighted", ops::LayerReduce::Weighted},
                                                          {"rollout", ops::LayerReduce::Rollout}};
/// Whether `through` is a rollout.
inline constexpr Named<bool> kThroughNames[] = {{"mean", false}, {"rollout", true}};
inline constexpr Named<Fit> kFitNames[] = {
    {"resize", Fit::Resize}, {"centre_crop", Fit::CentreCrop}, {"letterbox", Fit::Letterbox}};
inline constexpr Named<CellOrder> kOrderNames[] = {
    {"rows", CellOrder::Rows}, {"columns", CellOrder::Columns}, {"windows", CellOrder::Windows}};
inline constexpr Named<TokenRows::Of> kTokenRowNames[] = {
    {"last", TokenRows::Of::Last}, {"first", TokenRows::Of::First}, {"all", TokenRows::Of::All}};
/// Whether a thumbnail's keys are the first.
inline constexpr Named<bool> kThumbnailNames[] = {{"first", true}, {"last", false}};

/// What a geometry has beside its grid. The values are bits, so that some of them are a set.
enum class GeometryKind : unsigned { Grid = 1, Tiles = 2, Video = 4, Time = 8 };
inline constexpr Named<GeometryKind> kKindNames[] = {{"grid", GeometryKind::Grid},
                                                     {"tiles", GeometryKind::Tiles},
                                                     {"video", GeometryKind::Video},
                                                     {"time", GeometryKind::Time}};

constexpr unsigned bit(GeometryKind kind) noexcept { return static_cast<unsigned>(kind); }

inline GeometryKind kind_of(const Geometry& geometry) noexcept {
  if (geometry.time) return GeometryKind::Time;
  if (geometry.video) return GeometryKind::Video;
  return geometry.tiles ? GeometryKind::Tiles : GeometryKind::Grid;
}

}  // namespace gaze
