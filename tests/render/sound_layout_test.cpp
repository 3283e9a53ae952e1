// SPDX-License-Identifier: MIT
// Rows of time, ticks on their axis, labels above them, and maps over them.
#include <gaze/ops/sound.hpp>

#include <limits>

#include "page/label_lanes.hpp"
#include "page/time_axis.hpp"
#include "sound/sound_plots.hpp"
#include "sounds.hpp"

namespace {

using gaze::LaneLabel;
using gaze::LaneRules;
using gaze::LaneWish;
using gaze::lay_out_sound;
using gaze::SoundLayout;
using gaze::SoundMapView;
using gaze::SoundPlots;
using gaze::time_ticks;
using gaze::TimeTick;

int width(const std::string& text) { return 8 * static_cast<int>(text.size()); }

/// No label touches another of its lane or leaves the page.
void check_apart(const std::vector<LaneLabel>& labels, const LaneRules& rules) {
  for (size_t i = 0; i < labels.size(); ++i) {
    const LaneLabel& a = labels[i];
    if (a.lane < 0) continue;
    CATCH_INFO("label " << i << ": " << a.text);
    CATCH_CHECK(a.lane < rules.lanes);
    CATCH_CHECK(a.left >= rules.left);
    CATCH_CHECK(a.left + width(a.text) <= rules.right);
    CATCH_CHECK_FALSE(a.text.empty());
    for (size_t j = i + 1; j < labels.size(); ++j) {
      if (labels[j].lane == a.lane) CATCH_CHECK(labels[j].left >= a.left + width(a.text) + rules.gap);
    }
  }
}

/// The column that differs most from white.
int64_t hottest_column(const at::Tensor& rgb_hwc) {
  return (255 - rgb_hwc.to(at::kInt)).sum(at::IntArrayRef{0, 2}).argmax().item<int64_t>();
}

/// All white, so that a tint is all there is.
SoundPlots white_canvas(double seconds) {
  SoundPlots plots;
  plots.layout = lay_out_sound(seconds, 1);
  plots.base_hwc = at::full({plots.layout.height(), plots.layout.width, 3}, 255, at::kByte);
  plots.strip_hwc = at::full({SoundPlots::kStripHeight, plots.layout.width, 3}, 255, at::kByte);
  return plots;
}

}  // namespace

CATCH_TEST_CASE("sound layout: rows are as long as each other, at most 30 s until there are 11") {
  struct Case {
    double seconds;
    int64_t rows;
    double seconds_per_row;
    int64_t last_pixels;
  };
  for (const Case& each : {Case{0.4, 1, 0.4, 1500}, Case{30, 1, 30, 1500}, Case{30.01, 2, 16, 1313},
                           Case{65, 3, 22, 1432}, Case{330, 11, 30, 1500}, Case{3600, 11, 328, 1463}}) {
    CATCH_INFO(each.seconds << " s");
    const SoundLayout layout = lay_out_sound(each.seconds, 1);
    CATCH_CHECK(layout.rows == each.rows);
    CATCH_CHECK(layout.seconds_per_row == each.seconds_per_row);
    CATCH_CHECK(layout.end_pixel(0) == layout.width);
    CATCH_CHECK(layout.end_pixel(layout.rows - 1) == each.last_pixels);
    CATCH_CHECK(layout.row_start(layout.rows - 1) < each.seconds);
  }
  CATCH_CHECK(lay_out_sound(6, 2).strips == 2);
  CATCH_CHECK(lay_out_sound(6, 64).strips == 1);
}

CATCH_TEST_CASE("sound layout: rows between two moments, and never none") {
  const SoundLayout layout = lay_out_sound(65, 1);  // rows of 22 s
  struct Case {
    double start, end;
    int64_t first, behind;
  };
  for (const Case& each :
       {Case{0, 65, 0, 3}, Case{0, 22, 0, 1}, Case{22, 44, 1, 2}, Case{21.9, 22.1, 0, 2}, Case{64, 65, 2, 3},
        Case{10, 10, 0, 1}, Case{44, 44, 2, 3}, Case{-5, 900, 0, 3}, Case{80, 90, 2, 3}, Case{-9, -3, 0, 1}}) {
    CATCH_INFO(each.start << " to " << each.end << " s");
    const gaze::RowSpan rows = layout.rows_between(each.start, each.end);
    CATCH_CHECK(rows.first == each.first);
    CATCH_CHECK(rows.end == each.behind);
  }
}

CATCH_TEST_CASE("sound layout: a peak of one key is seen in its place, however many keys a pixel holds") {
  for (const double seconds : {1.0, 7.3, 65.0, 3600.0}) {
    const SoundPlots plots = white_canvas(seconds);
    const SoundLayout& layout = plots.layout;
    const auto cells = static_cast<int64_t>(seconds / 0.02);
    for (const int64_t hot : {int64_t{0}, cells / 3, cells - 1}) {
      CATCH_INFO(seconds << " s, cell " << hot);
      SoundMapView map{at::zeros({cells}), false, 0, 0.02};
      map.value_c[hot] = 1.0;
      at::Tensor plot_hwc = at::empty_like(plots.base_hwc);
      gaze::paint_sound(plots, plots.layout.all_rows(), map, {}, plot_hwc);
      const double centre = (static_cast<double>(hot) + 0.5) * 0.02;
      const auto row = static_cast<int64_t>(centre / layout.seconds_per_row);
      const double far = std::max(0.02, 2 * layout.seconds_per_pixel());
      const at::Tensor row_hwc = plot_hwc.narrow(0, row * layout.row_height(), layout.row_height());
      const double found =
          layout.row_start(row) + (static_cast<double>(hottest_column(row_hwc)) + 0.5) * layout.seconds_per_pixel();
      CATCH_CHECK(std::abs(found - centre) <= far);
      // Every pixel of a column alike, and nothing in other rows.
      CATCH_CHECK(at::equal(row_hwc, row_hwc.narrow(0, 0, 1).expand_as(row_hwc)));
      CATCH_CHECK(plot_hwc.ne(255).sum().item<int64_t>() == row_hwc.ne(255).sum().item<int64_t>());

      at::Tensor alone_hwc = at::empty_like(row_hwc);
      gaze::paint_sound(plots, {row, row + 1}, map, {}, alone_hwc);
      CATCH_CHECK(at::equal(alone_hwc, row_hwc));

      at::Tensor strip_hwc = at::empty_like(plots.strip_hwc);
      gaze::paint_sound_strip(plots, map, {}, strip_hwc);
      const double per_pixel = layout.seconds_per_pixel() * static_cast<double>(layout.rows);
      const double in_strip = (static_cast<double>(hottest_column(strip_hwc)) + 0.5) * per_pixel;
      CATCH_CHECK(std::abs(in_strip - centre) <= std::max(0.02, 2 * per_pixel));
    }
  }
}

CATCH_TEST_CASE("sound layout: cells may begin before the recording") {
  const SoundPlots plots = white_canvas(3);
  SoundMapView map{at::zeros({31}), false, -0.05, 0.1};
  map.value_c[20] = 1.0;  // 1.95 to 2.05 s
  at::Tensor plot_hwc = at::empty_like(plots.base_hwc);
  gaze::paint_sound(plots, plots.layout.all_rows(), map, {}, plot_hwc);
  const double found = (static_cast<double>(hottest_column(plot_hwc)) + 0.5) * 3 / 1500;
  CATCH_CHECK(std::abs(found - 2.0) <= 0.003);
}

CATCH_TEST_CASE("sound layout: a diffuse map has a stamp and no colour") {
  const SoundPlots plots = white_canvas(3);
  at::Tensor plot_hwc = at::empty_like(plots.base_hwc);
  gaze::paint_sound(plots, plots.layout.all_rows(), {at::ones({150}), true, 0, 0.02}, {}, plot_hwc);
  const at::Tensor changed_yx = plot_hwc.ne(255).any(2);
  CATCH_CHECK(changed_yx.any().item<bool>());
  CATCH_CHECK_FALSE(changed_yx.narrow(1, 200, 1300).any().item<bool>());
  CATCH_CHECK(at::equal(plot_hwc.select(2, 0), plot_hwc.select(2, 2)));
}

CATCH_TEST_CASE("sound plots: a waveform per channel of two, the mean of more, each at full height") {
  gaze::Recording recording{gaze::test::tone(2, 2), gaze::test::kRate, 0};
  recording.samples_ct[1].zero_();
  const SoundPlots stereo = gaze::make_sound_plots(recording, {});
  const int64_t half = stereo.layout.wave_height / 2;
  const auto inked = [&](int64_t top) {
    return stereo.base_hwc.narrow(0, top, half).lt(180).any(2).sum().item<int64_t>();
  };
  CATCH_CHECK(inked(0) > 10000);
  CATCH_CHECK(inked(half) == 0);

  // The mean of three, of which one is silent, has the loudness that its peak is drawn at.
  gaze::Recording three{gaze::test::tone(2, 3), gaze::test::kRate, 0};
  three.samples_ct[1].zero_();
  const SoundPlots mean = gaze::make_sound_plots(three, {});
  CATCH_CHECK(mean.layout.strips == 1);
  CATCH_CHECK(mean.full_scale == Approx(stereo.full_scale * 2 / 3).epsilon(1e-4));
}

CATCH_TEST_CASE("sound plots: silence, one sample and odd rates are drawn, broken samples refused") {
  gaze::Recording recording{at::zeros({1, 16000}), gaze::test::kRate, 0};
  CATCH_CHECK(gaze::make_sound_plots(recording, {}).full_scale == 1);
  recording.samples_ct = at::full({1, 1}, 0.25);
  CATCH_CHECK(gaze::make_sound_plots(recording, {}).full_scale == Approx(0.25 * 1.06));
  recording = {gaze::test::tone(0.3), 11025, 0};
  CATCH_CHECK(gaze::make_sound_plots(recording, {}).layout.seconds == Approx(4800.0 / 11025));
  // 25 ms are more samples than a window may have; the last is all that a WAV's header can say.
  for (const int64_t rate : {int64_t{655720}, int64_t{2048000}, int64_t{4294967295}}) {
    CATCH_CHECK(gaze::make_sound_plots({recording.samples_ct, rate}, {}).mel.window_seconds == Approx(16384.0 / rate));
  }
  for (const float broken : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    recording = {gaze::test::tone(1), gaze::test::kRate, 0};
    recording.samples_ct[0][777] = broken;
    GAZE_REQUIRE_REFUSED(gaze::make_sound_plots(recording, {}), gaze::DropReason::DecodeFailed,
                         "expected finite samples");
  }
}

CATCH_TEST_CASE("sound layout: labels of a dense answer do not overlap, and none is left out") {
  // 40 words in 8 s on 1500 pixels, two to seven letters each.
  std::vector<LaneWish> wishes;
  for (int i = 0; i < 40; ++i) wishes.push_back({i * 37 + i % 3, std::string(static_cast<size_t>(2 + i * 5 % 6), 'w')});
  const LaneRules rules{3, 0, 1528, 8};
  const std::vector<LaneLabel> labels = gaze::place_labels(wishes, rules, width);
  check_apart(labels, rules);
  for (size_t i = 0; i < labels.size(); ++i) {
    CATCH_INFO(i);
    CATCH_CHECK(labels[i].text == wishes[i].text);
    CATCH_CHECK(labels[i].lane >= 0);
  }
}

CATCH_TEST_CASE("sound layout: labels stay apart whatever the words are") {
  at::manual_seed(11);
  const LaneRules rules{3, 0, 1528, 8};
  for (const int64_t words : {1, 2, 7, 80, 400}) {
    CATCH_INFO(words << " words");
    const at::Tensor at_w = std::get<0>(at::randint(0, 1500, {words}, at::kInt).sort());
    const at::Tensor letters_w = at::randint(1, 20, {words}, at::kInt);
    std::vector<LaneWish> wishes;
    for (int64_t w = 0; w < words; ++w) {
      wishes.push_back({at_w[w].item<int>(), std::string(static_cast<size_t>(letters_w[w].item<int64_t>()), 'w')});
    }
    check_apart(gaze::place_labels(wishes, rules, width), rules);
  }
  // Longer than the page, without text, all in one place, at the very end.
  const std::vector<LaneWish> odd = {{0, std::string(500, 'x')},
                                     {3, ""},
                                     {3, "one"},
                                     {3, "two"},
                                     {3, "three"},
                                     {3, "four"},
                                     {1499, "at"},
                                     {1499, "the"},
                                     {1499, "end"},
                                     {1499, "of"},
                                     {1499, "it"}};
  check_apart(gaze::place_labels(odd, rules, width), rules);
}

CATCH_TEST_CASE("sound layout: sparse labels stand next to the plot, and one that would cover the next above it") {
  const LaneRules rules{3, 0, 400, 8};
  const auto labels = gaze::place_labels({{0, "alone"}, {100, "above"}, {120, "below"}}, rules, width);
  CATCH_CHECK(labels[0].lane == 0);
  CATCH_CHECK(labels[1].lane == 1);
  CATCH_CHECK(labels[2].lane == 0);
  // At the right edge a label moves to the left, above one that is there already.
  const auto edge = gaze::place_labels({{350, "first"}, {390, "second"}}, rules, width);
  CATCH_CHECK(edge[0].lane == 1);
  CATCH_CHECK(edge[1].lane == 0);
  CATCH_CHECK(edge[1].left == 400 - width("second"));
  // One lane: what does not fit is shortened, then left out.
  const auto tight = gaze::place_labels({{0, "shorten"}, {40, "out"}, {42, "last"}}, {1, 0, 400, 8}, width);
  CATCH_CHECK(tight[0].text == "sho.");
  CATCH_CHECK(tight[1].lane == -1);
  CATCH_CHECK(tight[2].text == "last");
}

CATCH_TEST_CASE("sound layout: times are read as clocks show them") {
  CATCH_CHECK(gaze::clock_text(4.2, 1) == "4.2 s");
  CATCH_CHECK(gaze::clock_text(0, 2) == "0.00 s");
  CATCH_CHECK(gaze::clock_text(-1e-9, 0) == "0 s");
  CATCH_CHECK(gaze::clock_text(59.94, 1) == "59.9 s");
  CATCH_CHECK(gaze::clock_text(59.96, 1) == "1:00.0");
  CATCH_CHECK(gaze::clock_text(65, 0) == "1:05");
  CATCH_CHECK(gaze::clock_text(119.999, 2) == "2:00.00");
  CATCH_CHECK(gaze::clock_text(3599.999, 2) == "1:00:00.00");
  CATCH_CHECK(gaze::clock_text(3725.5, 1) == "1:02:05.5");
}

CATCH_TEST_CASE("sound layout: ticks lie on round times, ends included") {
  std::vector<std::string> names;
  for (const TimeTick& tick : time_ticks(0, 1, 0.08)) {
    if (!tick.label.empty()) names.push_back(tick.label);
  }
  CATCH_CHECK(names == std::vector<std::string>{"0.0 s", "0.1 s", "0.2 s", "0.3 s", "0.4 s", "0.5 s", "0.6 s", "0.7 s",
                                                "0.8 s", "0.9 s", "1.0 s"});
  // The whole axis: 50 small parts of 0.02 s, both ends.
  CATCH_CHECK(time_ticks(0, 1, 0.08).size() == 51);
  const std::vector<TimeTick> late = time_ticks(44, 66, 1.1);
  CATCH_CHECK(late.front().seconds == Approx(44));
  CATCH_CHECK(late.front().label == "44 s");
  CATCH_CHECK(late.back().label == "1:06");
  for (const double least : {1e-5, 0.003, 4.0, 21.0, 61.0, 5000.0, 90000.0}) {
    CATCH_INFO(least);
    double before = -1e9;
    for (const TimeTick& tick : time_ticks(0, 40 * least, least)) {
      if (tick.label.empty()) continue;
      CATCH_CHECK(tick.seconds - before >= least * (1 - 1e-9));
      before = tick.seconds;
    }
    CATCH_CHECK(before > 0);
  }
}

CATCH_TEST_CASE("sound plots: a frequency is told where the spectrogram's bands have it, whatever they are") {
  struct Bands {
    int64_t rate_hz, mels;
    double low_hz, high_hz;
  };
  for (const Bands& bands : {Bands{16000, 80, 0, 8000}, Bands{16000, 40, 300, 6000}, Bands{48000, 128, 0, 20000},
                             Bands{8000, 24, 100, 8000}}) {
    gaze::ops::LogMelOptions options;
    options.mels = bands.mels;
    options.low_hz = bands.low_hz;
    options.high_hz = bands.high_hz;
    for (const double hz : {500.0, 1000.0, 2000.0, 3500.0}) {
      CATCH_INFO(hz << " Hz of " << bands.rate_hz << ", " << bands.mels << " bands");
      const at::Tensor tone =
          at::sin(at::arange(bands.rate_hz, at::kDouble) * (2 * M_PI * hz / static_cast<double>(bands.rate_hz)));
      const at::Tensor mel_mt = gaze::ops::log_mel(tone.to(at::kFloat).unsqueeze(0), bands.rate_hz, options);
      const auto loudest = static_cast<double>(mel_mt.mean(1).argmax().item<int64_t>());
      CATCH_CHECK(std::abs(gaze::ops::mel_band(hz, bands.rate_hz, options) - loudest) <= 1);
    }
  }
  const SoundPlots plots = gaze::make_sound_plots({at::ones({1, 16000}), 16000}, gaze::ops::Route());
  CATCH_CHECK(plots.mel.range_db == 60);
}
