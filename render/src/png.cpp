// SPDX-License-Identifier: MIT
#include "png.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "crc32.hpp"

namespace gaze {
namespace {

// Photographs have few repetitions that pay: what a filter leaves of their rows goes into deflate blocks of literals
// and runs of zeros, each block with a Huffman code of its own.
constexpr size_t kBlockBytes = 1 << 18;  // filtered bytes, by whole rows: with what they become, in the second cache
constexpr int kEndOfBlock = 256, kFirstLength = 257, kSymbols = 286;
constexpr int kLongestCode = 12;  // four literals fit beside 7 waiting bits
constexpr size_t kLongestRun = 258;

static_assert(std::endian::native == std::endian::little, "words are read and written as they lie in files");

struct Code {
  uint16_t bits = 0;  // first bit lowest
  uint16_t length = 0;
};
using Codes = std::array<Code, kSymbols>;

// Lengths of a Huffman code, none above kLongestCode.
std::array<int, kSymbols> code_lengths(const std::array<uint32_t, kSymbols>& counts) {
  // Two queues, each in order: the symbols, and behind them the nodes that join two.
  std::array<std::pair<uint32_t, int>, kSymbols> sorted;  // rarest first
  // A rarer symbol's code would be too long, and cutting it short would lengthen others more than this does.
  const uint32_t least = std::accumulate(counts.begin(), counts.end(), uint32_t{0}) >> kLongestCode;
  for (int symbol = 0; symbol < kSymbols; ++symbol) sorted[symbol] = {std::max(counts[symbol], least), symbol};
  std::sort(sorted.begin(), sorted.end());
  std::array<uint32_t, 2 * kSymbols> weight{};
  std::array<int, 2 * kSymbols> parent{};
  for (int i = 0; i < kSymbols; ++i) weight[i] = sorted[i].first;
  int leaf = 0, joined = kSymbols, next = kSymbols;
  const auto take = [&] {
    return leaf < kSymbols && (joined == next || weight[leaf] <= weight[joined]) ? leaf++ : joined++;
  };
  for (; next < 2 * kSymbols - 1; ++next) {
    const int a = take(), b = take();
    weight[next] = weight[a] + weight[b];
    parent[a] = parent[b] = next;
  }
  std::array<int, 2 * kSymbols> depth{};
  std::array<int, kLongestCode + 1> leaves{};
  int space = 0;  // taken by the codes, of 1 << kLongestCode
  for (int node = 2 * kSymbols - 3; node >= 0; --node) {
    depth[node] = depth[parent[node]] + 1;
    if (node >= kSymbols) continue;
    const int length = std::min(depth[node], kLongestCode);
    ++leaves[length];
    space += 1 << (kLongestCode - length);
  }
  // Too much for codes cut short: a longest one goes to where a shorter one splits in two, until all fit.
  for (; space > 1 << kLongestCode; --space) {
    int length = kLongestCode - 1;
    while (leaves[length] == 0) --length;
    --leaves[length];
    leaves[length + 1] += 2;
    --leaves[kLongestCode];
  }
  std::array<int, kSymbols> lengths{};
  int rarest = 0;
  for (int length = kLongestCode; length > 0; --length) {
    for (int i = 0; i < leaves[length]; ++i) lengths[sorted[rarest++].second] = length;
  }
  return lengths;
}

Codes make_codes(const std::array<int, kSymbols>& lengths) {
  std::array<int, kLongestCode + 2> next{};
  for (const int length : lengths) ++next[length + 1];
  next[1] = 0;
  for (int length = 2; length <= kLongestCode; ++length) next[length] = (next[length] + next[length - 1]) * 2;
  Codes codes;
  for (int symbol = 0; symbol < kSymbols; ++symbol) {
    const int length = lengths[symbol];
    int value = next[length]++, reversed = 0;
    for (int bit = 0; bit < length; ++bit, value >>= 1) reversed = reversed << 1 | (value & 1);
    codes[symbol] = {static_cast<uint16_t>(reversed), static_cast<uint16_t>(length)};
  }
  return codes;
}

// Zeros [begin, end) of a block.
struct Run {
  size_t begin, end;
};

uint64_t load_8(const uint8_t* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

void find_runs(const uint8_t* bytes, size_t count, std::vector<Run>& runs) {
  constexpr size_t kGroup = 16;  // shorter runs save little, and each costs as much as many literals
  const auto zeros = [&](size_t i) {
    uint64_t any = 0;
    for (size_t word = 0; word < kGroup; word += 8) any |= load_8(bytes + i + word);
    return any == 0;
  };
  runs.clear();
  for (size_t i = 0; i + kGroup <= count; i += kGroup) {
    if (!zeros(i)) continue;
    size_t end = i + kGroup;
    while (end + kGroup <= count && zeros(end)) end += kGroup;
    runs.push_back({i, end});
    i = end;  // this group is not all zero
  }
}

// Symbol, extra bits and their number for a run's length of 3 to 258.
struct Length {
  int symbol = 0, extra = 0, extra_bits = 0;
};

Length length_of(size_t zeros) {
  if (zeros == kLongestRun) return {285, 0, 0};
  const int value = static_cast<int>(zeros) - 3;
  int extra_bits = 0;
  while (value >> (extra_bits + 3) != 0) ++extra_bits;
  if (extra_bits == 0) return {kFirstLength + value, 0, 0};
  // Four symbols to each number of extra bits.
  return {kFirstLength + 4 * extra_bits + (value >> extra_bits), value & ((1 << extra_bits) - 1), extra_bits};
}

// A run is one literal zero, repeated: calls `repeat` for each length, and returns the literals that do not fit one.
template <typename Repeat>
size_t split(const Run& run, Repeat&& repeat) {
  size_t left = run.end - run.begin - 1;
  for (; left >= 3; left -= std::min(left, kLongestRun)) repeat(length_of(std::min(left, kLongestRun)));
  return 1 + left;
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
    literals[0][0] += static_cast<uint32_t>(split(run, [&](const Length& length) { ++counts[length.symbol]; }));
    at = run.end;
  }
  add(at, count);
  for (int value = 0; value < 256; ++value) {
    counts[value] = 4 * (literals[0][value] + literals[1][value] + literals[2][value] + literals[3][value]);
  }
  for (uint32_t& each : counts) each = std::max<uint32_t>(each, 1);
  return counts;
}

// Bits, lowest first, into memory that has room for 8 bytes more than are written.
class Bits {
 public:
  void write_to(uint8_t* out) { out_ = out; }
  void put(uint64_t bits, uint64_t count) {
    waiting_ |= bits << count_;
    count_ += count;
    std::memcpy(out_, &waiting_, sizeof waiting_);
    out_ += count_ / 8;
    waiting_ >>= count_ & ~uint64_t{7};
    count_ %= 8;
  }
  void align() { put(0, (8 - count_) % 8); }
  uint8_t* end() const { return out_; }

 private:
  uint8_t* out_ = nullptr;
  uint64_t waiting_ = 0, count_ = 0;
};

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

void put_block(Bits& bits, const uint8_t* bytes, size_t count, bool last, std::vector<Run>& runs) {
  find_runs(bytes, count, runs);
  const std::array<int, kSymbols> lengths = code_lengths(count_symbols(bytes, count, runs));
  const Codes codes = make_codes(lengths);
  bits.put(last ? 1 : 0, 1);
  bits.put(2, 2);  // codes of its own
  bits.put(kSymbols - 257, 5);
  bits.put(0, 5);   // one distance
  bits.put(15, 4);  // all lengths of codes have 4 bits themselves, but for the three that would repeat others
  for (int symbol = 0; symbol < 19; ++symbol) bits.put(symbol < 3 ? 0 : 4, 3);
  const auto put_length = [&](int length) {
    bits.put((length & 1) << 3 | (length & 2) << 1 | (length & 4) >> 1 | (length & 8) >> 3, 4);
  };
  for (const int length : lengths) put_length(length);
  put_length(1);  // of the distance 1
  size_t at = 0;
  for (const Run& run : runs) {
    put_literals(bits, codes, bytes + at, run.begin - at);
    bits.put(codes[0].bits, codes[0].length);
    const size_t literals = split(run, [&](const Length& length) {
      bits.put(codes[length.symbol].bits, codes[length.symbol].length);
      bits.put(length.extra, length.extra_bits);
      bits.put(0, 1);  // the distance
    });
    put_literals(bits, codes, bytes + run.begin, literals - 1);
    at = run.end;
  }
  put_literals(bits, codes, bytes + at, count - at);
  bits.put(codes[kEndOfBlock].bits, codes[kEndOfBlock].length);
}

// zlib's checksum: the sum of all bytes, and the sum of those sums after every byte.
class Adler {
 public:
  void add(const uint8_t* bytes, size_t count) {
    for (; count >= kStep; bytes += kStep, count -= kStep) {
      // By a byte's place in its group, so that no lane waits for another: its sum over the groups, and the sum of what
      // that was before each group.
      uint16_t sums[kGroup] = {}, befores[kGroup] = {};
      for (size_t group = 0; group < kStep; group += kGroup) {
        for (size_t i = 0; i < kGroup; ++i) {
          befores[i] = static_cast<uint16_t>(befores[i] + sums[i]);
          sums[i] = static_cast<uint16_t>(sums[i] + bytes[group + i]);
        }
      }
      uint32_t sum = 0, before = 0, weighted = 0;
      for (uint32_t i = 0; i < kGroup; ++i) {
        sum += sums[i];
        before += befores[i];
        weighted += (kGroup - i) * sums[i];
      }
      second_ = (second_ + kStep * first_ + kGroup * before + weighted) % kModulus;
      first_ = (first_ + sum) % kModulus;
    }
    for (size_t i = 0; i < count; ++i) {
      first_ = (first_ + bytes[i]) % kModulus;
      second_ = (second_ + first_) % kModulus;
    }
  }
  uint32_t value() const { return second_ << 16 | first_; }

 private:
  static constexpr uint32_t kModulus = 65521;
  static constexpr uint32_t kGroup = 32, kStep = 16 * kGroup;  // 16 groups: `befores` stay below 2^16
  uint32_t first_ = 1, second_ = 0;
};

void append_big_endian(std::string& file, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) file += static_cast<char>(value >> shift & 255);
}

void append_chunk(std::string& file, const char* type, const uint8_t* bytes, size_t count) {
  append_big_endian(file, static_cast<uint32_t>(count));
  const size_t begin = file.size();
  file.append(type, 4);
  file.append(reinterpret_cast<const char*>(bytes), count);
  append_big_endian(file, crc32(std::string_view(file).substr(begin)));
}

// Each byte less what is left of it, above it, or the floored average of both. The values are those of PNG.
enum class Filter : uint8_t { Left = 1, Above = 2, Average = 3 };

void filter_row(Filter filter, const uint8_t* row, const uint8_t* above, size_t count, uint8_t* out) {
  *out++ = static_cast<uint8_t>(filter);
  const auto apply = [&](auto predict) {
    for (size_t i = 0; i < 3; ++i) out[i] = static_cast<uint8_t>(row[i] - predict(0, above[i]));
    for (size_t i = 3; i < count; ++i) out[i] = static_cast<uint8_t>(row[i] - predict(row[i - 3], above[i]));
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

// A picture and its filtered rows.
class Rows {
 public:
  Rows(const uint8_t* rgb_hwc, size_t row_bytes) : rgb_hwc_(rgb_hwc), row_bytes_(row_bytes), nothing_(row_bytes) {}

  void filter(Filter filter, int64_t y, uint8_t* out) const {
    const uint8_t* const row = rgb_hwc_ + static_cast<size_t>(y) * row_bytes_;
    filter_row(filter, row, y == 0 ? nothing_.data() : row - row_bytes_, row_bytes_, out);
  }

  // The average, which suits photographs, unless another leaves clearly less in some of the rows: drawings.
  Filter best_filter(int64_t first, int64_t end, uint8_t* scratch) const {
    const auto left_by = [&](Filter candidate) {
      size_t left = 0;
      for (int64_t y = first; y < end; y += kRowsPerSample) {
        filter(candidate, y, scratch);
        left += count_left(scratch, row_bytes_ + 1);
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
  const uint8_t* rgb_hwc_;
  size_t row_bytes_;
  std::vector<uint8_t> nothing_;  // above the first row
};

}  // namespace

std::string encode_png(const uint8_t* rgb_hwc, int64_t height, int64_t width) {
  std::string file("\x89PNG\r\n\x1a\n");
  std::string header;
  append_big_endian(header, static_cast<uint32_t>(width));
  append_big_endian(header, static_cast<uint32_t>(height));
  header += {8, 2, 0, 0, 0};  // bits, RGB, the only compression, filters and no interlacing
  append_chunk(file, "IHDR", reinterpret_cast<const uint8_t*>(header.data()), header.size());

  const size_t row_bytes = 3 * static_cast<size_t>(width);
  const int64_t rows = std::clamp<int64_t>(static_cast<int64_t>(kBlockBytes / (row_bytes + 1)), 1, height);
  const Rows picture(rgb_hwc, row_bytes);
  std::vector<uint8_t> filtered(static_cast<size_t>(rows) * (row_bytes + 1));
  std::vector<uint8_t> packed(filtered.size() / 8 * kLongestCode + 1024);
  file.reserve(static_cast<size_t>(height) * row_bytes / 2);
  std::vector<Run> runs;
  Adler adler;
  Bits bits;
  bits.write_to(packed.data());
  bits.put(0x0178, 16);  // zlib: deflate, fastest
  for (int64_t first = 0; first < height; first += rows) {
    const int64_t end = std::min(first + rows, height);
    uint8_t* out = filtered.data();
    const Filter filter = picture.best_filter(first, end, filtered.data());
    for (int64_t y = first; y < end; ++y, out += row_bytes + 1) picture.filter(filter, y, out);
    const auto count = static_cast<size_t>(out - filtered.data());
    adler.add(filtered.data(), count);
    put_block(bits, filtered.data(), count, end == height, runs);
    if (end == height) {
      bits.align();
      for (int shift = 24; shift >= 0; shift -= 8) bits.put(adler.value() >> shift & 255, 8);
    }
    append_chunk(file, "IDAT", packed.data(), static_cast<size_t>(bits.end() - packed.data()));
    bits.write_to(packed.data());
  }
  append_chunk(file, "IEND", nullptr, 0);
  return file;
}

}  // namespace gaze
