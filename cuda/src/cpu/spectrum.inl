// SPDX-License-Identifier: MIT
#include "cpu/vector.inl"

/// One complex number of each of kWidth transforms, which lie side by side: every operation is one on vectors then.
struct Wave {
  Vec re, im;
};

inline Wave operator+(Wave a, Wave b) { return {a.re + b.re, a.im + b.im}; }
inline Wave operator-(Wave a, Wave b) { return {a.re - b.re, a.im - b.im}; }

inline Wave turned(Wave a, const float* turn) {
  return {a.re * turn[0] - a.im * turn[1], a.re * turn[1] + a.im * turn[0]};
}

/// One pass of a transform: `length` points, each `span` times over, become `radix` times as many of a radix-th.
struct Pass {
  std::int64_t radix, length, span;
  const float* turns;  ///< of all length * span points

  /// exp(-2 pi i part / length)
  const float* turn(std::int64_t part) const { return turns + 2 * part * span; }
};

inline void pass_by_2(const Pass& pass, const Wave* in, Wave* out) {
  const std::int64_t part = pass.length / 2 * pass.span;
  for (std::int64_t p = 0; p < pass.length / 2; ++p) {
    const float* const turn = pass.turn(p);
    for (std::int64_t q = 0; q < pass.span; ++q) {
      const Wave* const a = in + q + pass.span * p;
      Wave* const to = out + q + pass.span * 2 * p;
      to[0] = a[0] + a[part];
      to[pass.span] = turned(a[0] - a[part], turn);
    }
  }
}

inline void pass_by_4(const Pass& pass, const Wave* in, Wave* out) {
  const std::int64_t part = pass.length / 4 * pass.span;
  for (std::int64_t p = 0; p < pass.length / 4; ++p) {
    const float *const once = pass.turn(p), *const twice = pass.turn(2 * p), *const thrice = pass.turn(3 * p);
    for (std::int64_t q = 0; q < pass.span; ++q) {
      const Wave* const a = in + q + pass.span * p;
      Wave* const to = out + q + pass.span * 4 * p;
      const Wave even = a[0] + a[2 * part], odd = a[part] + a[3 * part];
      const Wave even_gap = a[0] - a[2 * part], odd_gap = a[part] - a[3 * part];
      const Wave quarter = {odd_gap.im, -odd_gap.re};  // -i times it
      to[0] = even + odd;
      to[pass.span] = turned(even_gap + quarter, once);
      to[2 * pass.span] = turned(even - odd, twice);
      to[3 * pass.span] = turned(even_gap - quarter, thrice);
    }
  }
}

/// Of an odd radix: inputs r and radix - r meet outputs k and radix - k with the same cosine and opposite sines.
inline void pass_by_odd(const Pass& pass, const Wave* in, Wave* out) {
  const std::int64_t radix = pass.radix, groups = pass.length / radix, part = groups * pass.span;
  for (std::int64_t p = 0; p < groups; ++p) {
    for (std::int64_t q = 0; q < pass.span; ++q) {
      const Wave* const a = in + q + pass.span * p;
      Wave* const to = out + q + pass.span * radix * p;
      Wave all = a[0];
      for (std::int64_t r = 1; r < radix; ++r) all = all + a[r * part];
      to[0] = all;
      for (std::int64_t k = 1; k <= radix / 2; ++k) {
        Wave even = a[0], odd = {};
        std::int64_t angle = 0;  // r * k, modulo the radix
        for (std::int64_t r = 1; r <= radix / 2; ++r) {
          angle += angle + k < radix ? k : k - radix;
          const float* const turn = pass.turn(angle * groups);
          const Wave sum = a[r * part] + a[(radix - r) * part], gap = a[r * part] - a[(radix - r) * part];
          even = {even.re + sum.re * turn[0], even.im + sum.im * turn[0]};
          odd = {odd.re - gap.im * turn[1], odd.im + gap.re * turn[1]};
        }
        to[k * pass.span] = turned(even + odd, pass.turn(p * k));
        to[(radix - k) * pass.span] = turned(even - odd, pass.turn(p * (radix - k)));
      }
    }
  }
}

/// By Stockham's passes, whose results come in order. @return the one of both buffers that holds the transform
inline Wave* transform(std::int64_t window, const float* turns, Wave* from, Wave* other) {
  for (Pass pass{0, window, 1, turns}; pass.length > 1; pass.length /= pass.radix, pass.span *= pass.radix) {
    pass.radix = smallest_radix(pass.length);
    (pass.radix == 4 ? pass_by_4 : pass.radix == 2 ? pass_by_2 : pass_by_odd)(pass, from, other);
    std::swap(from, other);
  }
  return from;
}

inline std::size_t spectrum_workspace(std::int64_t window) {
  return static_cast<std::size_t>(2 * window) * sizeof(Wave) + sizeof(Wave);
}

static_assert(kFrameGroup % (2 * kWidth) == 0);  // which frames meet in a pair must not depend on threads

/// Frames are transformed in pairs, one as the real and one as the imaginary part.
inline void spectrum_of(const PowerSpectrumParams& p, std::int64_t first, std::int64_t end, void* workspace) {
  const auto place = (reinterpret_cast<std::uintptr_t>(workspace) + sizeof(Vec) - 1) / sizeof(Vec) * sizeof(Vec);
  Wave* const waves = reinterpret_cast<Wave*>(place);
  for (std::int64_t t = first; t < end; t += 2 * kWidth) {
    const std::int64_t frames = std::min(2 * kWidth, end - t);
    if (frames < 2 * kWidth)
      std::memset(static_cast<void*>(waves), 0, static_cast<std::size_t>(p.window) * sizeof(Wave));
    for (std::int64_t l = 0; l < frames; ++l) {
      const float* const samples = p.samples + (t + l) * p.hop;
      float* const lane = reinterpret_cast<float*>(waves) + l;
      for (std::int64_t i = 0; i < p.window; ++i) lane[2 * kWidth * i] = 0.5f * p.taper[i] * samples[i];
    }
    const Wave* const found = transform(p.window, p.turns, waves, waves + p.window);
    for (std::int64_t bin = 0; bin <= p.window / 2; ++bin) {
      const Wave a = found[bin], b = found[bin == 0 ? 0 : p.window - bin];
      const Vec real_re = a.re + b.re, real_im = a.im - b.im, imaginary_re = a.im + b.im, imaginary_im = b.re - a.re;
      const Vec real = real_re * real_re + real_im * real_im;
      const Vec imaginary = imaginary_re * imaginary_re + imaginary_im * imaginary_im;
      float* const out = p.out_bt + bin * p.frames + t;
      if (frames == 2 * kWidth) {
        store(out, real);
        store(out + kWidth, imaginary);
      } else if (frames >= kWidth) {
        store(out, real);
        store_some(out + kWidth, frames - kWidth, imaginary);
      } else {
        store_some(out, frames, real);
      }
    }
  }
}
