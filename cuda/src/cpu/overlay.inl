// SPDX-License-Identifier: MIT
// The two loops of the overlay that run over pixels. See each_isa.hpp.

/// One row of the grid, interpolated to the row of pixels. Writes up to kPad floats too many.
static void stretch(const Columns& columns, const float* value_x, float* out) {
  for (std::int64_t r = 0; r < columns.runs; ++r) {
    const Run& run = columns.run[r];
    const float low = scaled(value_x[run.low]);
    const float step = scaled(value_x[run.high]) - low;
#if GAZE_ISA_AVX2
    // Whole vectors: what lies behind the run is overwritten by the next one.
    for (std::int64_t x = run.begin; x < run.end; x += 8) {
      const __m256 share = _mm256_loadu_ps(columns.share + x);
      _mm256_storeu_ps(out + x, _mm256_add_ps(_mm256_set1_ps(low), _mm256_mul_ps(share, _mm256_set1_ps(step))));
    }
#else
    for (std::int64_t x = run.begin; x < run.end; ++x) out[x] = low + columns.share[x] * step;
#endif
  }
}

#if GAZE_ISA_AVX512

static inline __m512i levels_16(const float* above, const float* step, __m512 share) {
  const __m512 value = _mm512_add_ps(_mm512_loadu_ps(above), _mm512_mul_ps(share, _mm512_loadu_ps(step)));
  return _mm512_cvttps_epi32(_mm512_add_ps(value, _mm512_set1_ps(0.5f)));
}

/// 64 of 512 bytes, chosen by the 9 bits of low, bit_7 (the highest of low) and bit_8.
static inline __m512i look_up(const std::uint8_t* plane, __m512i low, __mmask64 bit_7, __mmask64 bit_8) {
  const auto* t = reinterpret_cast<const __m512i*>(plane);
  const auto quarter = [&](int i) {
    return _mm512_permutex2var_epi8(_mm512_load_si512(t + 2 * i), low, _mm512_load_si512(t + 2 * i + 1));
  };
  const __m512i first = _mm512_mask_mov_epi8(quarter(0), bit_7, quarter(1));
  const __m512i second = _mm512_mask_mov_epi8(quarter(2), bit_7, quarter(3));
  return _mm512_mask_mov_epi8(first, bit_8, second);
}

/// 64 of 128 bytes.
static inline __m512i look_up_near(const std::uint8_t* plane, __m512i index) {
  return _mm512_permutex2var_epi8(_mm512_loadu_si512(plane), index, _mm512_loadu_si512(plane + 64));
}

/// base + ((colour - base) * alpha), byte by byte.
static inline __m512i mix(__m512i base, __m512i colour, __m512i alpha) {
  const __m512i difference = _mm512_set1_epi16(static_cast<short>(0xff01));  // +1 and -1
  const __m512i low = _mm512_maddubs_epi16(_mm512_unpacklo_epi8(colour, base), difference);
  const __m512i high = _mm512_maddubs_epi16(_mm512_unpackhi_epi8(colour, base), difference);
  // A byte twice, halved, is 128 * alpha + (alpha >> 1).
  const __m512i low_a15 = _mm512_srli_epi16(_mm512_unpacklo_epi8(alpha, alpha), 1);
  const __m512i high_a15 = _mm512_srli_epi16(_mm512_unpackhi_epi8(alpha, alpha), 1);
  const __m512i byte = _mm512_set1_epi16(0xff);
  const __m512i change = _mm512_packus_epi16(_mm512_and_si512(_mm512_mulhrs_epi16(low, low_a15), byte),
                                             _mm512_and_si512(_mm512_mulhrs_epi16(high, high_a15), byte));
  return _mm512_add_epi8(base, change);  // modulo 256, where the result always fits
}

/// Bytes of one vector, from both ends of a row.
struct Whole {
  static __m512i load(const std::uint8_t* from, int) { return _mm512_loadu_si512(from); }
  static void store(std::uint8_t* to, int, __m512i bytes) { _mm512_storeu_si512(to, bytes); }
};

struct Part {
  std::int64_t bytes;
  __mmask64 here(int vector) const {
    const std::int64_t left = bytes - 64 * vector;
    return left >= 64 ? ~__mmask64{0} : left > 0 ? (__mmask64{1} << left) - 1 : 0;
  }
  __m512i load(const std::uint8_t* from, int vector) const { return _mm512_maskz_loadu_epi8(here(vector), from); }
  void store(std::uint8_t* to, int vector, __m512i bytes) const { _mm512_mask_storeu_epi8(to, here(vector), bytes); }
};

/// 64 pixels, of which `memory` reads and writes those there are.
template <typename Memory>
static inline void blend_64(const Shades& shades, const float* above, const float* step, __m512 share,
                            const std::uint8_t* base, std::uint8_t* out, Memory memory) {
  const Interleave& order = kInterleave;
  const __m512i first_shown = _mm512_set1_epi16(static_cast<short>(shades.first_shown));
  const __m512i middle = levels_16(above + 32, step + 32, share);
  const __m512i level_0 = _mm512_packus_epi32(levels_16(above, step, share), levels_16(above + 16, step + 16, share));
  const __m512i level_1 = _mm512_packus_epi32(middle, levels_16(above + 48, step + 48, share));
  if ((_mm512_cmpge_epi16_mask(level_0, first_shown) | _mm512_cmpge_epi16_mask(level_1, first_shown)) == 0) {
    for (int i = 0; i < 3; ++i) memory.store(out + 64 * i, i, memory.load(base + 64 * i, i));
    return;
  }
  const __m512i low_bytes = _mm512_load_si512(order.low_bytes);
  __m512i red, green, blue, alpha;
  // Neighbours have similar levels: mostly 128 of the 512 entries are enough.
  const int window = std::min(std::max(_mm_cvtsi128_si32(_mm512_castsi512_si128(middle)) - 64, 0), kLevels - 128);
  const __m512i window_16 = _mm512_set1_epi16(static_cast<short>(window));
  const __m512i near_0 = _mm512_sub_epi16(level_0, window_16), near_1 = _mm512_sub_epi16(level_1, window_16);
  if (_mm512_test_epi16_mask(_mm512_or_si512(near_0, near_1), _mm512_set1_epi16(static_cast<short>(0xff80))) == 0) {
    const __m512i index = _mm512_permutex2var_epi8(near_0, low_bytes, near_1);
    red = look_up_near(shades.plane[0] + window, index);
    green = look_up_near(shades.plane[1] + window, index);
    blue = look_up_near(shades.plane[2] + window, index);
    alpha = look_up_near(shades.plane[3] + window, index);
  } else {
    const __m512i low = _mm512_permutex2var_epi8(level_0, low_bytes, level_1);
    const __m512i high_bytes = _mm512_or_si512(low_bytes, _mm512_set1_epi8(1));
    const __mmask64 bit_7 = _mm512_movepi8_mask(low);
    const __mmask64 bit_8 =
        _mm512_test_epi8_mask(_mm512_permutex2var_epi8(level_0, high_bytes, level_1), _mm512_set1_epi8(1));
    red = look_up(shades.plane[0], low, bit_7, bit_8);
    green = look_up(shades.plane[1], low, bit_7, bit_8);
    blue = look_up(shades.plane[2], low, bit_7, bit_8);
    alpha = look_up(shades.plane[3], low, bit_7, bit_8);
  }
  for (int i = 0; i < 3; ++i) {
    const __m512i red_green = _mm512_permutex2var_epi8(red, _mm512_load_si512(order.red_green[i]), green);
    const __m512i pixel = _mm512_load_si512(order.pixel[i]);
    const __m512i colour = _mm512_mask_permutexvar_epi8(red_green, order.is_blue[i], pixel, blue);
    memory.store(out + 64 * i, i, mix(memory.load(base + 64 * i, i), colour, _mm512_permutexvar_epi8(pixel, alpha)));
  }
}

/// One row: `count` pixels from `base` to `out`.
static void blend_row(const Shades& shades, const float* above, const float* step, float share_y, std::int64_t count,
                      const std::uint8_t* base, std::uint8_t* out) {
  const __m512 share = _mm512_set1_ps(share_y);
  std::int64_t x = 0;
  for (; x + 64 <= count; x += 64) {
    blend_64(shades, above + x, step + x, share, base + 3 * x, out + 3 * x, Whole{});
  }
  if (x < count) blend_64(shades, above + x, step + x, share, base + 3 * x, out + 3 * x, Part{3 * (count - x)});
}

#elif GAZE_ISA_AVX2

static inline __m256i twice(__m128i half) { return _mm256_broadcastsi128_si256(half); }

static inline __m256i levels_8(const float* above, const float* step, __m256 share) {
  const __m256 value = _mm256_add_ps(_mm256_loadu_ps(above), _mm256_mul_ps(share, _mm256_loadu_ps(step)));
  return _mm256_cvttps_epi32(_mm256_add_ps(value, _mm256_set1_ps(0.5f)));
}

/// 8 pixels of base and of looked-up colours, both 4 bytes each, mixed; the fourth byte is of no use.
static inline __m256i mix(__m256i base, __m256i rgba) {
  const __m256i difference = _mm256_set1_epi16(static_cast<short>(0xff01));  // +1 and -1
  const __m256i low = _mm256_maddubs_epi16(_mm256_unpacklo_epi8(rgba, base), difference);
  const __m256i high = _mm256_maddubs_epi16(_mm256_unpackhi_epi8(rgba, base), difference);
  // A byte twice, halved, is 128 * alpha + (alpha >> 1).
  const __m256i low_alpha = twice(_mm_setr_epi8(3, 3, 3, 3, 3, 3, -1, -1, 7, 7, 7, 7, 7, 7, -1, -1));
  const __m256i high_alpha = twice(_mm_setr_epi8(11, 11, 11, 11, 11, 11, -1, -1, 15, 15, 15, 15, 15, 15, -1, -1));
  const __m256i low_a15 = _mm256_srli_epi16(_mm256_shuffle_epi8(rgba, low_alpha), 1);
  const __m256i high_a15 = _mm256_srli_epi16(_mm256_shuffle_epi8(rgba, high_alpha), 1);
  const __m256i byte = _mm256_set1_epi16(0xff);
  const __m256i change = _mm256_packus_epi16(_mm256_and_si256(_mm256_mulhrs_epi16(low, low_a15), byte),
                                             _mm256_and_si256(_mm256_mulhrs_epi16(high, high_a15), byte));
  return _mm256_add_epi8(base, change);  // modulo 256, where the result always fits
}

/// Mixes 8 pixels of 3 bytes.
static inline void blend_8(__m256i rgba, const std::uint8_t* base, std::uint8_t* out) {
  // Four pixels to a half: bytes 0 to 11 of the first load, 4 to 15 of the second.
  const __m256i spread = _mm256_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, 4, 5, 6, -1, 7, 8, 9,
                                          -1, 10, 11, 12, -1, 13, 14, 15, -1);
  const __m256i gather = twice(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(base));
  const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(base + 8));
  const __m256i from = _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1), spread);
  const __m256i rgb = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(mix(from, rgba), gather),
                                                  _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(rgb));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 16), _mm256_extracti128_si256(rgb, 1));
}

/// One row: `count` pixels from `base` to `out`.
static void blend_row(const Shades& shades, const float* above, const float* step, float share_y, std::int64_t count,
                      const std::uint8_t* base, std::uint8_t* out) {
  constexpr std::int64_t kBlock = 256;
  const __m256 share = _mm256_set1_ps(share_y);
  const __m256i last_hidden = _mm256_set1_epi16(static_cast<short>(shades.first_shown - 1));
  for (std::int64_t x = 0; x < count; x += kBlock) {
    alignas(32) std::uint16_t level[kBlock];
    __m256i shown = _mm256_setzero_si256();
    for (std::int64_t i = 0; i < kBlock; i += 16) {
      const __m256i low = levels_8(above + x + i, step + x + i, share);
      const __m256i high = levels_8(above + x + i + 8, step + x + i + 8, share);
      const __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
      shown = _mm256_or_si256(shown, _mm256_cmpgt_epi16(both, last_hidden));
      _mm256_store_si256(reinterpret_cast<__m256i*>(level + i), both);
    }
    const std::int64_t here = std::min(kBlock, count - x);
    if (_mm256_testz_si256(shown, shown)) {
      std::memcpy(out + 3 * x, base + 3 * x, static_cast<std::size_t>(3 * here));
      continue;
    }
    std::int64_t i = 0;
    for (; i + 8 <= here; i += 8) {
      const auto entry = [&](std::int64_t pixel) { return static_cast<int>(shades.rgba[level[i + pixel]]); };
      blend_8(_mm256_setr_epi32(entry(0), entry(1), entry(2), entry(3), entry(4), entry(5), entry(6), entry(7)),
              base + 3 * (x + i), out + 3 * (x + i));
    }
    for (; i < here; ++i) blend_pixel(shades.rgba[level[i]], base + 3 * (x + i), out + 3 * (x + i));
  }
}

#else

static void blend_row(const Shades& shades, const float* above, const float* step, float share_y, std::int64_t count,
                      const std::uint8_t* base, std::uint8_t* out) {
  for (std::int64_t x = 0; x < count; ++x) {
    const std::uint32_t rgba = shades.rgba[static_cast<int>(above[x] + share_y * step[x] + 0.5f)];
    blend_pixel(rgba, base + 3 * x, out + 3 * x);
  }
}

#endif
