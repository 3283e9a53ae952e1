// SPDX-License-Identifier: MIT
#include "capture/latent_layout.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace gaze {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error(text, DropReason::GridMismatch); }

std::string counted(int64_t number, const std::string& one) {
  return std::to_string(number) + " " + one + (number == 1 ? "" : "s");
}

std::vector<KeySpan> runs_of(const Geometry& stated, const LatentUnits& between, int64_t keys) {
  if (stated.spans.empty() && stated.first_key > 0) return {{stated.first_key, between.units * between.latents}};
  return stated.spans.empty() ? std::vector<KeySpan>{{0, keys}} : stated.spans;
}

void check_runs(const std::vector<KeySpan>& runs, const LatentUnits& between, int64_t keys, bool alone) {
  int64_t end = 0;
  int64_t found = 0;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].first_key < end || runs[i].keys < 1 || runs[i].first_key + runs[i].keys > keys) {
      refuse("geometry.spans[" + std::to_string(i) + "]: expected at least 1 latent within keys " +
             std::to_string(end) + ".." + std::to_string(keys - 1) + " of the row, got " +
             std::to_string(runs[i].keys) + " from " + std::to_string(runs[i].first_key) +
             ". Give the spans of the latents, in the prompt's order.");
    }
    end = runs[i].first_key + runs[i].keys;
    found += runs[i].keys;
  }
  const int64_t wanted = between.units * between.latents;
  if (found == wanted) return;
  refuse("through: expected " + std::to_string(wanted) + " latents in the row (" + std::to_string(between.units) +
         " x " + std::to_string(between.latents) + ", as the sites between gave), got " + std::to_string(found) +
         (alone ? " keys, because neither spans nor first_key say where latents are. Say it in geometry.spans."
                : ". Correct geometry.spans or the placeholder, which count latents, or through.match."));
}

/// The keys of one tile, which a resampler of tiles sees alone.
Geometry tile_of(const Geometry& geometry) {
  if (geometry.leading != 0 || geometry.trailing != 0 || geometry.tiles->row_end != 0) {
    refuse("geometry: expected no keys outside of tiles where each tile is resampled by itself, got leading " +
           std::to_string(geometry.leading) + ", trailing " + std::to_string(geometry.trailing) + ", tiles.row_end " +
           std::to_string(geometry.tiles->row_end) + ". Count special keys in tiles.leading and tiles.trailing.");
  }
  Geometry tile = geometry;
  tile.leading = geometry.tiles->leading;
  tile.trailing = geometry.tiles->trailing;
  tile.tiles.reset();
  tile.thumbnail.reset();
  return tile;
}

/// How many units a picture is.
int64_t units_of(const Geometry& geometry, int64_t unit_keys) {
  if (!geometry.tiles) {
    check_keys(geometry, unit_keys, true);
    return 1;
  }
  check_keys(tile_of(geometry), unit_keys, true);
  const int64_t tiles = geometry.tiles->rows * geometry.tiles->cols;
  if (!geometry.thumbnail) return tiles;
  const Thumbnail& thumbnail = *geometry.thumbnail;
  const int64_t keys = thumbnail.leading + thumbnail.rows * thumbnail.cols + thumbnail.trailing;
  if (keys != unit_keys) {
    refuse("geometry.thumbnail: expected as many keys as a tile, which it is resampled beside (" +
           std::to_string(unit_keys) + "), got " + std::to_string(keys) + ". Correct its rows and cols.");
  }
  return tiles + 1;
}

}  // namespace

LatentLayout place_latents(Geometry stated, const PictureSizes& sizes, const LatentUnits& between, int64_t keys) {
  const std::vector<KeySpan> runs = runs_of(stated, between, keys);
  const bool alone = stated.spans.empty() && stated.first_key == 0;
  const int64_t picture = std::exchange(stated.picture, -1);
  const int64_t pictures = std::exchange(stated.pictures, 0);
  stated.spans.clear();
  stated.first_key = 0;
  LatentLayout place;
  place.geometry = resolve(std::move(stated), sizes);
  place.units = units_of(place.geometry, between.keys);
  const int64_t found = between.units / place.units;
  if (found * place.units != between.units || (pictures > 0 && pictures != found)) {
    refuse("through: expected " + (pictures > 0 ? counted(pictures, "picture") : std::string("pictures")) + " of " +
           counted(place.units, "resampled unit") + " (tiles and thumbnail, or one) in each row, got " +
           counted(between.units, "unit") + ". Correct geometry.tiles, thumbnail or pictures.");
  }
  if (picture >= found || (picture == -1 && found > 1)) {
    refuse("geometry.picture: expected which of " + counted(found, "picture") + " the overlay is for, 0.." +
           std::to_string(found - 1) + ", got " + std::to_string(picture) +
           ". Name one of them, and give the request that picture.");
  }
  check_runs(runs, between, keys, alone);
  place.first_unit = std::max<int64_t>(picture, 0) * place.units;
  int64_t before = place.first_unit * between.latents;
  int64_t wanted = place.units * between.latents;
  for (const KeySpan& run : runs) {
    const int64_t skipped = std::min(before, run.keys);
    const int64_t taken = std::min(wanted, run.keys - skipped);
    if (taken > 0) place.pieces.push_back({run.first_key + skipped, taken});
    before -= skipped;
    wanted -= taken;
  }
  return place;
}

}  // namespace gaze
