// SPDX-License-Identifier: MIT
#include "codecs/png/png.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "codecs/png/adler32.hpp"
#include "codecs/png/bits.hpp"
#include "codecs/png/crc32.hpp"
#include "codecs/png/huffman.hpp"

namespace gaze {
namespace {

// Photographs have few repetitions that pay: what a filter leaves of their rows goes into deflate blocks of literals
// and runs of zeros, each block with a Huffman code of its own. No run leaves its tile, so that tiles can be exchanged.
constexpr size_t kBlockBytes = 1 << 18;  // filtered bytes, by whole rows: with what they become, in the second cache
constexpr size_t kTileBytes = 192;       // of a filtered row; less than the longest repetition, 258
constexpr int kEndOfBlock = 256, kFirstLength = 257;

// Each byte less what is left of it, above it, or the floored average of both. The values are those of PNG.
enum class Filter : uint8_t { Left = 1, Above = 2, Average = 3 };

// How many of the bytes are not 0.
size_t count_left(const uint8_t* bytes, size_t count) {
  constexpr size_t kLanes = 64;
  size_t left = 0;
  while (count >= kLanes) {
    const size_t groups = std::min<size_t>(count / kLanes, 255);  // a lane is a byte, so that vectors hold many
    uint8_t lanes[kLanes] = {};
    for (size_t group = 0; group < groups; ++group, bytes += kLanes) {
      for (size_t i = 0; i < kLanes; ++i) lanes[i] = static_cast<uint8_t>(lanes[i] + (bytes[i] != 0));
    }
    left += std::accumulate(lanes, lanes + kLanes, size_t{0});
    count -= groups * kLanes;
  }
  return left + static_cast<size_t>(std::count_if(bytes, bytes + count, [](uint8_t byte) { return byte != 0; }));
}

// A picture and its filtered rows, each begun by the filter's number.
class Rows {
 public:
  Rows(const uint8_t* rgb_hwc, int64_t height, int64_t width)
      : height_(height), row_bytes_(3 * static_cast<size_t>(width)), rgb_hwc_(rgb_hwc), nothing_(row_bytes_) {}

  [[nodiscard]] int64_t height() const { return height_; }
  [[nodiscard]] const uint8_t* row(int64_t y) const { return rgb_hwc_ + static_cast<size_t>(y) * row_bytes_; }
  /// Of a filtered row.
  [[nodiscard]] size_t length() const { return row_bytes_ + 1; }
  [[nodiscard]] size_t tiles() const { return (length() + kTileBytes - 1) / kTileBytes; }
  [[nodiscard]] int64_t rows_per_block() const {
    return std::clamp<int64_t>(static_cast<int64_t>(kBlockBytes / length()), 1, height_);
  }

  /// Bytes [begin, end) of a filtered row.
  void filter(Filter filter, int64_t y, size_t begin, size_t end, uint8_t* out) const {
    if (begin == 0) {
      *out++ = static_cast<uint8_t>(filter);
    } else {
      --begin;
    }
    --end;
    const uint8_t* const x = row(y);
    const uint8_t* const above = y == 0 ? nothing_.data() : x - row_bytes_;
    const auto apply = [&](auto predict) {
      size_t i = begin;
      for (; i < std::min<size_t>(3, end); ++i) *out++ = static_cast<uint8_t>(x[i] - predict(0, above[i]));
      for (uint8_t* const to = out - i; i < end; ++i) to[i] = static_cast<uint8_t>(x[i] - predict(x[i - 3], above[i]));
    };
    switch (filter) {
      case Filter::Left:
        return apply([](int left, int) { return left; });
      case Filter::Above:
        return apply([](int, int up) { return up; });
      case Filter::Average:
        // The rounded average less what was rounded up, so that vectors hold bytes.
        return apply([](int left, int up) { return static_cast<uint8_t>((left + up + 1) >> 1) - ((left ^ up) & 1); });
    }
  }

  /// The average, which suits photographs, unless another leaves clearly less in some of the rows: drawings.
  [[nodiscard]] Filter best_filter(int64_t first, int64_t end, uint8_t* scratch) const {
    const auto left_by = [&](Filter candidate) {
      size_t left = 0;
      for (int64_t y = first; y < end; y += kRowsPerSample) {
        filter(candidate, y, 0, length(), scratch);
        left += count_left(scratch, length());
      }
      return left;
    };
    Filter best = Filter::Average;
    size_t least = left_by(best) / 8 * 7;
    for (const Filter candidate : {Filter::Left, Filter::Above}) {
      const size_t left = left_by(candidate);
      if (left >= least) continue;
      least = left;
      best = candidate;
    }
    return best;
  }

 private:
  static constexpr int64_t kRowsPerSample = 8;
  int64_t height_;
  size_t row_bytes_;
  const uint8_t* rgb_hwc_;
  std::vector<uint8_t> nothing_;  // above the first row
};

// Zeros [begin, end) of a block.
struct Run {
  size_t begin, end;
};

// Adds the runs of a tile at `begin`.
void find_runs(const uint8_t* bytes, size_t begin, size_t end, std::vector<Run>& runs) {
  constexpr size_t kGroup = 16;  // shorter runs save little, and each costs as much as many literals
  const auto zeros = [&](size_t i) { return (load_8(bytes + i) | load_8(bytes + i + 8)) == 0; };
  for (size_t i = begin; i + kGroup <= end; i += kGroup) {
    if (!zeros(i)) continue;
    size_t stop = i + kGroup;
    while (stop + kGroup <= end && zeros(stop)) stop += kGroup;
    runs.push_back({i, stop});
    i = stop;  // this group is not all zero
  }
}

// Symbol, extra bits and their number.
struct Length {
  int symbol = 0, extra = 0, extra_bits = 0;
};

// A run is one literal zero, repeated.
Length length_of(const Run& run) {
  const auto value = static_cast<int>(run.end - run.begin) - 4;
  int extra_bits = 0;
  while (value >> (extra_bits + 3) != 0) ++extra_bits;
  if (extra_bits == 0) return {kFirstLength + value, 0, 0};
  // Four symbols to each number of extra bits.
  return {kFirstLength + 4 * extra_bits + (value >> extra_bits), value & ((1 << extra_bits) - 1), extra_bits};
}

// Every fourth group of eight is enough to know the literals' frequencies; each symbol counts as one at least.
std::array<uint32_t, kSymbols> count_symbols(const uint8_t* bytes, size_t count, const std::vector<Run>& runs) {
  uint32_t literals[4][256] = {};  // equal neighbours would wait for each other
  std::array<uint32_t, kSymbols> counts{};
  const auto add = [&](size_t begin, size_t end) {
    for (; begin + 8 <= end; begin += 32) {
      const uint64_t word = load_8(bytes + begin);
      for (int i = 0; i < 8; ++i) ++literals[i % 4][word >> (8 * i) & 255];
    }
    if (begin < end) ++literals[0][bytes[begin]];
  };
  size_t at = 0;
  for (const Run& run : runs) {
    add(at, run.begin);
    ++counts[length_of(run).symbol];
    at = run.end;
  }
  add(at, count);
  for (int value = 0; value < 256; ++value) {
    counts[value] = 4 * (literals[0][value] + literals[1][value] + literals[2][value] + literals[3][value]);
  }
  counts[0] += static_cast<uint32_t>(runs.size());
  for (uint32_t& each : counts) each = std::max<uint32_t>(each, 1);
  return counts;
}

void put_literals(Bits& bits, const Codes& codes, const uint8_t* bytes, size_t count) {
  Bits local = bits;  // stays in registers
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const Code a = codes[bytes[i]], b = codes[bytes[i + 1]], c = codes[bytes[i + 2]], d = codes[bytes[i + 3]];
    const uint64_t ab = uint64_t{a.bits} | uint64_t{b.bits} << a.length, ab_length = a.length + b.length;
    const uint64_t cd = uint64_t{c.bits} | uint64_t{d.bits} << c.length, cd_length = c.length + d.length;
    local.put(ab | cd << ab_length, ab_length + cd_length);
  }
  for (; i < count; ++i) local.put(codes[bytes[i]].bits, codes[bytes[i]].length);
  bits = local;
}

// The tile at `begin`; `run` is its first.
void put_tile(Bits& bits, const Codes& codes, const uint8_t* bytes, size_t begin, size_t end, const Run*& run,
              const Run* last) {
  for (; run != last && run->end <= end; ++run) {
    put_literals(bits, codes, bytes + begin, run->begin - begin);
    bits.put(codes[0].bits, codes[0].length);
    const Length length = length_of(*run);
    bits.put(codes[length.symbol].bits, codes[length.symbol].length);
    bits.put(length.extra, length.extra_bits);
    bits.put(0, 1);  // the distance
    begin = run->end;
  }
  put_literals(bits, codes, bytes + begin, end - begin);
}

void put_code_lengths(Bits& bits, const std::array<int, kSymbols>& lengths) {
  bits.put(kSymbols - 257, 5);
  bits.put(0, 5);   // one distance
  bits.put(15, 4);  // all lengths of codes have 4 bits themselves, but for the three that would repeat others
  for (int symbol = 0; symbol < 19; ++symbol) bits.put(symbol < 3 ? 0 : 4, 3);
  const auto put_length = [&](int length) {
    bits.put((length & 1) << 3 | (length & 2) << 1 | (length & 4) >> 1 | (length & 8) >> 3, 4);
  };
  for (const int length : lengths) put_length(length);
  put_length(1);  // of the distance 1
}

// Rows [first, end) as one deflate block.
struct Block {
  int64_t first = 0, end = 0;
  Filter filter = Filter::Average;
  Codes codes{};
  std::vector<uint8_t> packed;
  uint64_t begin_bit = 0, end_bit = 0;  ///< of `packed`, before which the end of another block may lie
  std::vector<uint64_t> tile_bits;      ///< where each tile begins, and the last ends
};

struct Scratch {
  std::vector<uint8_t> filtered;
  std::vector<Run> runs;
};

size_t most_packed(const Rows& rows) {
  return static_cast<size_t>(rows.rows_per_block()) * rows.length() * kLongestCode / 8 + 1024;
}

// Filters and packs the rows of `block`, which has its first, its end, and room in `packed`.
void pack(const Rows& rows, Block& block, Bits& bits, Adler& adler, Scratch& scratch) {
  const size_t length = rows.length();
  const size_t count = static_cast<size_t>(block.end - block.first) * length;
  scratch.filtered.resize(count);
  uint8_t* const filtered = scratch.filtered.data();
  const auto for_tiles = [&](auto&& visit) {
    for (size_t row = 0; row < count; row += length) {
      for (size_t at = 0; at < length; at += kTileBytes) visit(row + at, row + std::min(at + kTileBytes, length));
    }
  };
  block.filter = rows.best_filter(block.first, block.end, filtered);
  for (int64_t y = block.first; y < block.end; ++y) {
    rows.filter(block.filter, y, 0, length, filtered + static_cast<size_t>(y - block.first) * length);
  }
  adler.add(filtered, count);
  scratch.runs.clear();
  for_tiles([&](size_t begin, size_t end) { find_runs(filtered, begin, end, scratch.runs); });
  const std::array<int, kSymbols> lengths = code_lengths(count_symbols(filtered, count, scratch.runs));
  block.codes = make_codes(lengths);

  block.begin_bit = bits.position();
  bits.put(block.end == rows.height() ? 1 : 0, 1);  // the last
  bits.put(2, 2);                                   // codes of its own
  put_code_lengths(bits, lengths);
  block.tile_bits.clear();
  const Run* run = scratch.runs.data();
  const Run* const last = run + scratch.runs.size();
  for_tiles([&](size_t begin, size_t end) {
    block.tile_bits.push_back(bits.position());
    put_tile(bits, block.codes, filtered, begin, end, run, last);
  });
  block.tile_bits.push_back(bits.position());
  bits.put(block.codes[kEndOfBlock].bits, block.codes[kEndOfBlock].length);
  block.end_bit = bits.position();
}

// The file around the blocks.
class File {
 public:
  File(int64_t height, int64_t width) : text_("\x89PNG\r\n\x1a\n") {
    text_.reserve(static_cast<size_t>(height * width) * 3 / 2);
    std::string header;
    append_big_endian(header, static_cast<uint32_t>(width));
    append_big_endian(header, static_cast<uint32_t>(height));
    header += {8, 2, 0, 0, 0};  // bits, RGB, the only compression, filters and no interlacing
    append_chunk("IHDR", reinterpret_cast<const uint8_t*>(header.data()), header.size());
  }
  void append_data(const uint8_t* bytes, size_t count) { append_chunk("IDAT", bytes, count); }
  std::string end() {
    append_chunk("IEND", nullptr, 0);
    return std::move(text_);
  }

 private:
  static void append_big_endian(std::string& to, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(value >> shift & 255);
  }
  void append_chunk(const char* type, const uint8_t* bytes, size_t count) {
    append_big_endian(text_, static_cast<uint32_t>(count));
    const size_t begin = text_.size();
    text_.append(type, 4);
    text_.append(reinterpret_cast<const char*>(bytes), count);
    append_big_endian(text_, crc32(std::string_view(text_).substr(begin)));
  }
  std::string text_;
};

void begin_stream(Bits& bits) { bits.put(0x0178, 16); }  // zlib: deflate, fastest

void end_stream(Bits& bits, const Adler& adler) {
  bits.align();
  for (int shift = 24; shift >= 0; shift -= 8) bits.put(adler.value() >> shift & 255, 8);
}

// `receive` may take what it is given.
template <typename Receive>
std::string encode_blocks(const Rows& rows, int64_t height, int64_t width, Adler& adler, Receive&& receive) {
  File file(height, width);
  Scratch scratch;
  Bits bits;
  Block block;
  for (int64_t first = 0; first < height; first = block.end) {
    block.first = first;
    block.end = std::min(first + rows.rows_per_block(), height);
    block.packed.resize(most_packed(rows));
    bits.write_to(block.packed.data());
    if (first == 0) begin_stream(bits);
    pack(rows, block, bits, adler, scratch);
    if (block.end == height) end_stream(bits, adler);
    file.append_data(block.packed.data(), bits.bytes());
    receive(block, bits.bytes());
  }
  return file.end();
}

// Which tiles of a row show something else.
class Differences {
 public:
  Differences(const Rows& rows, const Rows& first) : rows_(rows), first_(first), here_(rows.tiles()), above_(here_) {}

  /// Rows come in order. Calls `visit(tile, begin, end)` for the tiles of the filtered row that may have changed.
  template <typename Visit>
  void visit(int64_t y, Visit&& visit) {
    std::swap(here_, above_);
    for (size_t tile = 0; tile < here_.size(); ++tile) {
      const size_t begin = tile * kTileBytes, end = std::min(begin + kTileBytes, rows_.length());
      const size_t from = begin < 4 ? 0 : begin - 4;  // the filter's byte, and the pixel to the left
      here_[tile] = std::memcmp(rows_.row(y) + from, first_.row(y) + from, end - 1 - from) != 0;
      if (here_[tile] || above_[tile]) visit(tile, begin, end);
    }
  }

 private:
  const Rows &rows_, &first_;
  std::vector<uint8_t> here_, above_;
};

// Whether no more than half of the tiles differ, in some of the rows.
bool alike(const Rows& rows, const Rows& first) {
  constexpr int64_t kRowsPerSample = 8;
  size_t tiles = 0, different = 0;
  for (int64_t y = 0; y < rows.height(); y += kRowsPerSample) {
    const size_t bytes = rows.length() - 1;
    for (size_t at = 0; at < bytes; at += kTileBytes, ++tiles) {
      different += std::memcmp(rows.row(y) + at, first.row(y) + at, std::min(kTileBytes, bytes - at)) != 0;
    }
  }
  return 2 * different <= tiles;
}

}  // namespace

std::string encode_png(const uint8_t* rgb_hwc, int64_t height, int64_t width) {
  Adler adler;
  return encode_blocks(Rows(rgb_hwc, height, width), height, width, adler, [](const Block&, size_t) {});
}

struct PngSeries::First {
  int64_t height = 0, width = 0;
  std::vector<uint8_t> rgb_hwc;
  std::vector<Block> blocks;
  Adler adler;

  [[nodiscard]] Rows rows() const { return {rgb_hwc.data(), height, width}; }
  [[nodiscard]] std::string encode_like(const Rows& rows) const;
};

PngSeries::PngSeries() = default;
PngSeries::~PngSeries() = default;

std::string PngSeries::encode(const uint8_t* rgb_hwc, int64_t height, int64_t width) {
  const Rows rows(rgb_hwc, height, width);
  if (first_ && first_->height == height && first_->width == width && alike(rows, first_->rows())) {
    return first_->encode_like(rows);
  }
  auto first = std::make_unique<First>();
  first->height = height;
  first->width = width;
  first->rgb_hwc.assign(rows.row(0), rows.row(height));
  std::string file = encode_blocks(rows, height, width, first->adler, [&](Block& block, size_t bytes) {
    std::vector<uint8_t> packed(bytes + 16);  // with the bits that wait, and room to read beyond
    std::memcpy(packed.data(), block.packed.data(), packed.size());
    first->blocks.push_back({block.first, block.end, block.filter, block.codes, std::move(packed), block.begin_bit,
                             block.end_bit, std::move(block.tile_bits)});
  });
  first_ = std::move(first);
  return file;
}

std::string PngSeries::First::encode_like(const Rows& like) const {
  const Rows first = rows();
  Differences differences(like, first);
  File file(height, width);
  Adler sum = adler;
  Bits bits;
  std::vector<uint8_t> packed(most_packed(like));
  std::vector<Run> runs;
  uint64_t behind = static_cast<uint64_t>(height) * like.length();  // filtered bytes from this row on
  for (const Block& block : blocks) {
    bits.write_to(packed.data());
    if (block.first == 0) begin_stream(bits);
    uint64_t kept = block.begin_bit;  // what comes next of the first picture's
    const uint64_t* tile_bits = block.tile_bits.data();
    for (int64_t y = block.first; y < block.end; ++y, tile_bits += like.tiles(), behind -= like.length()) {
      differences.visit(y, [&](size_t tile, size_t begin, size_t end) {
        std::array<uint8_t, kTileBytes> before{}, now{};
        first.filter(block.filter, y, begin, end, before.data());
        like.filter(block.filter, y, begin, end, now.data());
        sum.replace(before.data(), now.data(), end - begin, behind - begin);
        bits.copy(block.packed.data(), kept, tile_bits[tile]);
        runs.clear();
        find_runs(now.data(), 0, end - begin, runs);
        const Run* run = runs.data();
        put_tile(bits, block.codes, now.data(), 0, end - begin, run, run + runs.size());
        kept = tile_bits[tile + 1];
      });
    }
    bits.copy(block.packed.data(), kept, block.end_bit);
    if (block.end == height) end_stream(bits, sum);
    file.append_data(packed.data(), bits.bytes());
  }
  return file.end();
}

}  // namespace gaze
