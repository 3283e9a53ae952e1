// SPDX-License-Identifier: MIT
// Vectors of kWidth floats in the instruction set this is compiled for (see each_isa.hpp), and what the bodies of
// reduce and attend compute with them. Needs <cstring>, <cmath>, <immintrin.h> on x86, half.hpp and kernels.hpp.

constexpr std::int64_t kWidth = GAZE_ISA_AVX512 ? 16 : GAZE_ISA_AVX2 ? 8 : 4;

typedef float Vec __attribute__((vector_size(4 * kWidth)));
typedef std::int32_t Ints __attribute__((vector_size(4 * kWidth)));
typedef std::uint32_t Bits __attribute__((vector_size(4 * kWidth)));
typedef std::uint16_t Halves __attribute__((vector_size(2 * kWidth)));

inline Vec splat(float x) { return x - Vec{}; }

inline Vec load(const float* x) {
  Vec v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

inline void store(float* x, Vec v) { std::memcpy(x, &v, sizeof v); }

/// The first `count` < kWidth elements, 0 behind them.
inline Vec load_some(const float* x, std::int64_t count) {
#if GAZE_ISA_AVX512
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), x);
#else
  Vec v = {};
  for (std::int64_t l = 0; l < count; ++l) v[l] = x[l];
  return v;
#endif
}

inline void store_some(float* x, std::int64_t count, Vec v) {
#if GAZE_ISA_AVX512
  _mm512_mask_storeu_ps(x, static_cast<__mmask16>((1u << count) - 1), v);
#else
  for (std::int64_t l = 0; l < count; ++l) x[l] = v[l];
#endif
}

inline Halves load_halves(const std::uint16_t* x) {
  Halves v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

inline Halves load_halves(const std::uint16_t* x, std::int64_t count) {
#if GAZE_ISA_AVX512
  return reinterpret_cast<Halves>(_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), x));
#else
  Halves v = {};
  for (std::int64_t l = 0; l < count; ++l) v[l] = x[l];
  return v;
#endif
}

inline Vec from_bf16(Halves x) { return reinterpret_cast<Vec>(__builtin_convertvector(x, Bits) << 16); }

inline Vec from_half(Halves x) {
#if GAZE_ISA_AVX512
  return _mm512_cvtph_ps(reinterpret_cast<__m256i>(x));
#elif GAZE_ISA_AVX2
  return _mm256_cvtph_ps(reinterpret_cast<__m128i>(x));
#else
  Vec v;
  for (std::int64_t l = 0; l < kWidth; ++l) v[l] = float_from_half(x[l]);
  return v;
#endif
}

/// One bit per element that is not 0 of either sign. By its bits: a denormal counts where the host flushes it, too.
inline std::uint32_t nonzero(Vec x) {
#if GAZE_ISA_AVX512
  return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(x), _mm512_set1_epi32(0x7fffffff));
#elif GAZE_ISA_AVX2
  const __m256i zero = _mm256_cmpeq_epi32(_mm256_slli_epi32(reinterpret_cast<__m256i>(x), 1), _mm256_setzero_si256());
  return ~static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(zero))) & 0xffu;
#else
  std::uint32_t bits = 0;
  for (std::int64_t l = 0; l < kWidth; ++l) bits |= ((bits_from_float(x[l]) << 1) != 0 ? 1u : 0u) << l;
  return bits;
#endif
}

/// Elements of memory: how one dtype is read as floats.
template <DType kType>
struct Element {
  using Type = std::uint16_t;
  static Vec full(const Type* x) { return widen(load_halves(x)); }
  static Vec some(const Type* x, std::int64_t count) { return widen(load_halves(x, count)); }
  static float one(Type x) { return kType == DType::BF16 ? float_from_bf16(x) : float_from_half(x); }
  static Vec widen(Halves x) { return kType == DType::BF16 ? from_bf16(x) : from_half(x); }
};

template <>
struct Element<DType::F32> {
  using Type = float;
  static Vec full(const float* x) { return load(x); }
  static Vec some(const float* x, std::int64_t count) { return load_some(x, count); }
  static float one(float x) { return x; }
};

template <>
struct Element<DType::Bool> {  // as a mask added to scores
  using Type = bool;
  static float one(bool seen) { return seen ? 0.0f : -HUGE_VALF; }
};

/// Calls `of(tag)` where Element<tag> reads `dtype`, one of a weight's.
template <typename Of>
inline void with_weights(DType dtype, Of&& of) {
  if (dtype == DType::F32) {
    of(std::integral_constant<DType, DType::F32>());
  } else if (dtype == DType::F16) {
    of(std::integral_constant<DType, DType::F16>());
  } else {
    of(std::integral_constant<DType, DType::BF16>());
  }
}

/// NaN in `a` is passed over.
inline Vec larger(Vec a, Vec b) {
#if GAZE_ISA_AVX512
  return _mm512_max_ps(a, b);
#elif GAZE_ISA_AVX2
  return _mm256_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}

inline Vec smaller(Vec a, Vec b) {
#if GAZE_ISA_AVX512
  return _mm512_min_ps(a, b);
#elif GAZE_ISA_AVX2
  return _mm256_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}

/// e^x for x <= 0 within 2 ulp; 0 below -87, where float has no normal number; NaN stays NaN.
inline Vec exp_nonpositive(Vec x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: the sum's low bits are the rounded integer
  const Vec shifted = x * 1.44269504f + kRound;
  const Vec n = shifted - kRound;
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  Vec p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Vec power = reinterpret_cast<Vec>((reinterpret_cast<Bits>(shifted) << 23) + 0x3f800000u);
  return x < -87.0f ? Vec{} : p * power;
}

/// ln x for x > 0; any finite number for 0 and denormals, so that x ln x is 0 there.
inline Vec log_positive(Vec x) {
  const Bits bits = reinterpret_cast<Bits>(x);
  // x = 2^exponent (1 + z), 1 + z in [sqrt(1/2), sqrt(2))
  const Ints exponent = reinterpret_cast<Ints>(bits - 0x3f3504f3u) >> 23;
  const Vec z = reinterpret_cast<Vec>(bits - (reinterpret_cast<Bits>(exponent) << 23)) - 1.0f;
  // (ln(1 + z) - z + z^2 / 2) / z^3, fitted for the smallest error of ln(1 + z) relative to z: 6e-9
  Vec p = z * -0.0785968006f + 0.128816217f;
  p = p * z - 0.131287158f;
  p = p * z + 0.141811937f;
  p = p * z - 0.166245595f;
  p = p * z + 0.200022861f;
  p = p * z - 0.250008106f;
  p = p * z + 0.333333164f;
  const Vec log1p = z + z * z * (p * z - 0.5f);
  return __builtin_convertvector(exponent, Vec) * 0.693147181f + log1p;
}

inline float sum_of(Vec x) {
#if GAZE_ISA_AVX512
  return _mm512_reduce_add_ps(x);
#elif GAZE_ISA_AVX2
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
#else
  return (x[0] + x[2]) + (x[1] + x[3]);
#endif
}

/// Rows are summed in float over so many vectors, beyond that in double.
constexpr std::int64_t kVectorsInFloat = 8;

/// Calls `full(i)` for every whole vector of `count` elements and `some(i, left)` for what is left; after every
/// kVectorsInFloat and at the end, `flush()`.
template <typename Full, typename Some, typename Flush>
inline void each_vector(std::int64_t count, Full&& full, Some&& some, Flush&& flush) {
  constexpr std::int64_t kBlock = kVectorsInFloat * kWidth;
  std::int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    for (std::int64_t v = 0; v < kVectorsInFloat; ++v) full(i + v * kWidth);
    flush();
  }
  if (i == count) return;
  for (; i + kWidth <= count; i += kWidth) full(i);
  if (i < count) some(i, count - i);
  flush();
}

/// Lane l of the result is the sum over lanes of of[l].
inline Vec lane_sums(const Vec* of) {
#if GAZE_ISA_AVX512
  __m512 a[8], b[4], c[2];
  for (int i = 0; i < 8; ++i) {
    a[i] = _mm512_add_ps(_mm512_unpacklo_ps(of[2 * i], of[2 * i + 1]), _mm512_unpackhi_ps(of[2 * i], of[2 * i + 1]));
  }
  for (int i = 0; i < 4; ++i) {
    const __m512d even = _mm512_castps_pd(a[2 * i]), odd = _mm512_castps_pd(a[2 * i + 1]);
    b[i] =
        _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(even, odd)), _mm512_castpd_ps(_mm512_unpackhi_pd(even, odd)));
  }
  for (int i = 0; i < 2; ++i) {
    c[i] = _mm512_add_ps(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88),
                         _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xdd));
  }
  return _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
#elif GAZE_ISA_AVX2
  __m256 a[4], b[2];
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm256_add_ps(_mm256_unpacklo_ps(of[2 * i], of[2 * i + 1]), _mm256_unpackhi_ps(of[2 * i], of[2 * i + 1]));
  }
  for (int i = 0; i < 2; ++i) {
    const __m256d even = _mm256_castps_pd(a[2 * i]), odd = _mm256_castps_pd(a[2 * i + 1]);
    b[i] =
        _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(even, odd)), _mm256_castpd_ps(_mm256_unpackhi_pd(even, odd)));
  }
  return _mm256_add_ps(_mm256_permute2f128_ps(b[0], b[1], 0x20), _mm256_permute2f128_ps(b[0], b[1], 0x31));
#else
  const Vec a = __builtin_shufflevector(of[0], of[1], 0, 4, 1, 5) + __builtin_shufflevector(of[0], of[1], 2, 6, 3, 7);
  const Vec b = __builtin_shufflevector(of[2], of[3], 0, 4, 1, 5) + __builtin_shufflevector(of[2], of[3], 2, 6, 3, 7);
  return __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
#endif
}

/// Lane c of row r becomes lane r of row c.
inline void transpose(Vec* rows) {
#if GAZE_ISA_AVX512
  __m512 a[16], b[16];
  for (int i = 0; i < 8; ++i) {
    a[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
    a[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int half = 0; half < 2; ++half) {
      const __m512d upper = _mm512_castps_pd(a[i + half]), lower = _mm512_castps_pd(a[i + 2 + half]);
      b[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(upper, lower));
      b[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(upper, lower));
    }
  }
  for (int i = 0; i < 4; ++i) {  // quarters of b[i], b[4 + i], ...: columns i, 4 + i, ... of four rows
    const __m512 even[2] = {_mm512_shuffle_f32x4(b[i], b[4 + i], 0x88),
                            _mm512_shuffle_f32x4(b[8 + i], b[12 + i], 0x88)};
    const __m512 odd[2] = {_mm512_shuffle_f32x4(b[i], b[4 + i], 0xdd), _mm512_shuffle_f32x4(b[8 + i], b[12 + i], 0xdd)};
    rows[i] = _mm512_shuffle_f32x4(even[0], even[1], 0x88);
    rows[4 + i] = _mm512_shuffle_f32x4(odd[0], odd[1], 0x88);
    rows[8 + i] = _mm512_shuffle_f32x4(even[0], even[1], 0xdd);
    rows[12 + i] = _mm512_shuffle_f32x4(odd[0], odd[1], 0xdd);
  }
#elif GAZE_ISA_AVX2
  __m256 a[8], b[8];
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int half = 0; half < 2; ++half) {
      const __m256d upper = _mm256_castps_pd(a[i + half]), lower = _mm256_castps_pd(a[i + 2 + half]);
      b[i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(upper, lower));
      b[i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(upper, lower));
    }
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm256_permute2f128_ps(b[i], b[4 + i], 0x20);
    rows[4 + i] = _mm256_permute2f128_ps(b[i], b[4 + i], 0x31);
  }
#else
  Vec a[4];
  for (int i = 0; i < 2; ++i) {
    a[2 * i] = __builtin_shufflevector(rows[2 * i], rows[2 * i + 1], 0, 4, 1, 5);
    a[2 * i + 1] = __builtin_shufflevector(rows[2 * i], rows[2 * i + 1], 2, 6, 3, 7);
  }
  for (int i = 0; i < 2; ++i) {
    rows[2 * i] = __builtin_shufflevector(a[i], a[2 + i], 0, 1, 4, 5);
    rows[2 * i + 1] = __builtin_shufflevector(a[i], a[2 + i], 2, 3, 6, 7);
  }
#endif
}

/// `count` strided elements as contiguous floats.
template <DType kType>
inline void decode(const void* from, std::int64_t stride, std::int64_t count, float* to) {
  const auto* x = static_cast<const typename Element<kType>::Type*>(from);
  if (stride == 1) {  // a loop of its own: only this one vectorises
    for (std::int64_t i = 0; i < count; ++i) to[i] = Element<kType>::one(x[i]);
  } else {
    for (std::int64_t i = 0; i < count; ++i) to[i] = Element<kType>::one(x[i * stride]);
  }
}
