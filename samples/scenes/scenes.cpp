#include "scenes.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <stdexcept>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "random.hpp"

namespace gaze::scenes {
namespace {

using SplitPhotos = std::vector<cv::Mat>;

constexpr int kDigitSide = 8;
constexpr int kHeldOutEvery = 5;
constexpr int kInkSide = 80;  // digits are enlarged to this once per sticker, then sampled bilinearly

const std::array<cv::Vec3f, kColours> kPaper = {{
    {226.F, 62.F, 58.F},    // red
    {250.F, 146.F, 32.F},   // orange
    {250.F, 224.F, 72.F},   // yellow
    {92.F, 186.F, 84.F},    // green
    {104.F, 222.F, 226.F},  // cyan
    {72.F, 118.F, 232.F},   // blue
    {150.F, 88.F, 206.F},   // purple
    {250.F, 160.F, 200.F},  // pink
}};

float smoothstep(float low, float high, float value) {
  const float t = std::clamp((value - low) / (high - low), 0.F, 1.F);
  return t * t * (3.F - 2.F * t);
}

cv::Scalar any_colour(Random& random) {
  if (random.chance(0.4F)) return {random.uniform(0.F, 255.F), random.uniform(0.F, 255.F), random.uniform(0.F, 255.F)};
  const auto which = static_cast<std::size_t>(random.below(kColours));
  const cv::Vec3f paper = kPaper[which] * random.uniform(0.5F, 1.1F);
  return {paper[0] + random.uniform(-30.F, 30.F), paper[1] + random.uniform(-30.F, 30.F),
          paper[2] + random.uniform(-30.F, 30.F)};
}

// Few photographs are many when their colours change: channels swapped and mixed, or brightness turned into two
// colours.
void recolour(Random& random, cv::Mat& rgb) {
  cv::Matx<float, 3, 4> mix = cv::Matx<float, 3, 4>::zeros();
  if (random.chance(0.35F)) {
    const double depth = random.uniform(0.F, 1.F);
    const cv::Scalar dark = any_colour(random) * depth;
    const cv::Scalar light = any_colour(random);
    for (int channel = 0; channel < 3; ++channel) {
      for (int from = 0; from < 3; ++from)
        mix(channel, from) = static_cast<float>(light[channel] - dark[channel]) / 600.F;
      mix(channel, 3) = static_cast<float>(dark[channel]);
    }
  } else {
    std::vector<int> order = {0, 1, 2};
    if (random.chance(0.5F)) random.shuffle(order);
    const float gain = random.uniform(0.5F, 1.3F);
    for (int channel = 0; channel < 3; ++channel) {
      for (int from = 0; from < 3; ++from) mix(channel, from) = gain * random.uniform(-0.2F, 0.2F);
      mix(channel, order[static_cast<std::size_t>(channel)]) += gain * random.uniform(0.7F, 1.3F);
      mix(channel, 3) = random.uniform(-25.F, 35.F);
    }
  }
  cv::transform(rgb, rgb, mix);
}

// Coloured shapes and dark strokes that are no stickers, so that a patch of colour alone is no evidence.
void clutter(Random& random, cv::Mat& rgb) {
  const float unit = rgb.cols / 16.F;
  const int shapes = 1 + random.below(7);
  for (int i = 0; i < shapes; ++i) {
    const cv::Point2f centre{random.uniform(0.F, rgb.cols), random.uniform(0.F, rgb.rows)};
    const float size = unit * std::exp(random.uniform(-1.2F, 1.6F));
    const float stretch = random.uniform(0.3F, 1.6F);
    const cv::RotatedRect box(centre, {size, size * stretch}, random.uniform(0.F, 180.F));
    const cv::Scalar colour = any_colour(random);
    switch (random.below(5)) {
      case 0:
        cv::ellipse(rgb, box, colour, cv::FILLED, cv::LINE_AA);
        break;
      case 1: {
        std::array<cv::Point2f, 4> corners;
        box.points(corners.data());
        const std::vector<cv::Point> polygon(corners.begin(), corners.end());
        cv::fillConvexPoly(rgb, polygon, colour, cv::LINE_AA);
        break;
      }
      case 2: {
        std::vector<cv::Point> polygon;
        for (int corner = 0; corner < 5; ++corner)
          polygon.push_back(
              cv::Point2f{centre.x + random.uniform(-size, size), centre.y + random.uniform(-size, size)});
        cv::fillPoly(rgb, std::vector<std::vector<cv::Point>>{polygon}, colour, cv::LINE_AA);
        break;
      }
      case 3: {  // a disc with a dark middle: eyes and cups are no zeros
        const float middle = size * random.uniform(0.25F, 0.75F);
        const cv::Point2f beside{centre.x + size * random.uniform(-0.1F, 0.1F),
                                 centre.y + size * random.uniform(-0.1F, 0.1F)};
        const cv::Scalar dark = cv::Scalar::all(random.uniform(0.F, 60.F));
        cv::ellipse(rgb, cv::RotatedRect(centre, {size * 1.1F, size * stretch * 1.1F}, box.angle), dark, cv::FILLED,
                    cv::LINE_AA);
        cv::ellipse(rgb, box, colour, cv::FILLED, cv::LINE_AA);
        cv::ellipse(rgb, cv::RotatedRect(beside, {middle, middle * stretch}, box.angle), dark, cv::FILLED, cv::LINE_AA);
        break;
      }
      default: {
        const float turn = random.uniform(0.F, 360.F);
        const float end = random.uniform(60.F, 360.F);
        const int thickness = 1 + random.below(1 + static_cast<int>(unit / 4));
        const cv::Scalar stroke = random.chance(0.5F) ? cv::Scalar::all(random.uniform(0.F, 60.F)) : colour;
        cv::ellipse(rgb, centre, {static_cast<int>(size / 2), static_cast<int>(size / 3)}, turn, 0, end, stroke,
                    thickness, cv::LINE_AA);
      }
    }
  }
}

cv::Mat background(Random& random, const SplitPhotos& photos, int photo, bool training) {
  const auto crop_of = [&](const cv::Mat& photo_rgb, float smallest) {
    const float aspect = static_cast<float>(kPhotoWidth) / kPhotoHeight;
    const float width =
        std::min(static_cast<float>(photo_rgb.cols), photo_rgb.rows * aspect) * random.uniform(smallest, 1.F);
    const float height = width / aspect;
    const auto left = static_cast<int>(random.uniform(0.F, photo_rgb.cols - width));
    const auto top = static_cast<int>(random.uniform(0.F, photo_rgb.rows - height));
    return photo_rgb(cv::Rect(left, top, static_cast<int>(width), static_cast<int>(height)));
  };
  cv::Mat rgb = crop_of(photos[static_cast<std::size_t>(photo)], training ? 0.3F : 0.75F);
  if (training) {
    rgb = rgb.clone();
    if (random.chance(0.75F)) recolour(random, rgb);
    if (random.chance(0.3F)) {  // a piece of another photograph
      cv::Mat other =
          crop_of(photos[static_cast<std::size_t>(random.below(static_cast<int>(photos.size())))], 0.3F).clone();
      recolour(random, other);
      cv::resize(other, other, rgb.size(), 0, 0, cv::INTER_LINEAR);
      const int left = static_cast<int>(random.uniform(0.F, rgb.cols * 0.8F));
      const int top = static_cast<int>(random.uniform(0.F, rgb.rows * 0.8F));
      const cv::Rect piece(left, top, rgb.cols - left, rgb.rows - top);
      other(piece).copyTo(rgb(piece));
    }
    if (random.chance(0.6F)) clutter(random, rgb);
  }
  cv::Mat scaled;
  cv::resize(rgb, scaled, {kPhotoWidth, kPhotoHeight}, 0, 0, cv::INTER_LINEAR);
  if (random.chance(0.5F)) cv::flip(scaled, scaled, 1);
  return scaled;
}

// Enlarges the 8x8 digit smoothly; the hard edge of a pen comes later, from thresholding the smooth picture.
cv::Mat ink_of(const cv::Mat& digit) {
  cv::Mat padded;
  // ISOLATED: without it OpenCV fills the border with the neighbouring digits of the sheet.
  cv::copyMakeBorder(digit, padded, 1, 1, 1, 1, cv::BORDER_CONSTANT | cv::BORDER_ISOLATED, cv::Scalar(0));
  cv::Mat ink;
  cv::resize(padded, ink, {kInkSide, kInkSide}, 0, 0, cv::INTER_CUBIC);
  ink.convertTo(ink, CV_32F, 1.0 / 255.0);
  cv::GaussianBlur(ink, ink, {}, 1.5);
  return ink;
}

float sample(const cv::Mat& ink, float x, float y) {
  if (x < 0.F || y < 0.F || x >= kInkSide - 1 || y >= kInkSide - 1) return 0.F;
  const int left = static_cast<int>(x);
  const int top = static_cast<int>(y);
  const float fx = x - left;
  const float fy = y - top;
  const float* upper = ink.ptr<float>(top) + left;
  const float* lower = ink.ptr<float>(top + 1) + left;
  return (upper[0] * (1.F - fx) + upper[1] * fx) * (1.F - fy) + (lower[0] * (1.F - fx) + lower[1] * fx) * fy;
}

struct Look {
  cv::Vec3f paper;
  cv::Vec3f ink_colour;
  float corner_px, edge_low, edge_high;
  float shade_x, shade_y, shadow_x, shadow_y, shadow_blur, shadow_strength, rim;
  float ink_scale_x, ink_scale_y, ink_turn, ink_slant, ink_dx, ink_dy, wave, wave_phase;
};

// Training scenes vary more than held-out ones in everything that a hand and a pen do.
Look random_look(Random& random, int colour, bool training) {
  Look look{};
  look.paper = kPaper[static_cast<std::size_t>(colour)];
  const float light = random.uniform(0.88F, 1.06F);
  for (int channel = 0; channel < 3; ++channel)
    look.paper[channel] = look.paper[channel] * light + random.uniform(-10.F, 10.F);
  const float black = random.uniform(12.F, 38.F);
  look.ink_colour = {black, black + random.uniform(-4.F, 6.F), black + random.uniform(0.F, 18.F)};
  look.corner_px = random.uniform(9.F, 22.F);
  const float pen = training ? random.uniform(0.34F, 0.56F) : random.uniform(0.4F, 0.48F);  // low threshold = thick pen
  look.edge_low = pen - 0.16F;
  look.edge_high = pen + 0.16F;
  look.shade_x = random.uniform(-0.07F, 0.07F);
  look.shade_y = random.uniform(-0.09F, 0.03F);
  look.shadow_x = random.uniform(-5.F, 6.F);
  look.shadow_y = random.uniform(3.F, 8.F);
  look.shadow_blur = random.uniform(8.F, 14.F);
  look.shadow_strength = random.uniform(0.3F, 0.5F);
  look.rim = random.uniform(-0.1F, 0.16F);
  const float reach = training ? 1.F : 0.35F;
  float size = random.uniform(0.92F, 1.04F);
  if (training) size *= random.uniform(0.82F, 1.08F);
  look.ink_scale_x = size * (1.F + reach * random.uniform(-0.14F, 0.14F));
  look.ink_scale_y = size * (1.F + reach * random.uniform(-0.1F, 0.1F));
  look.ink_turn = reach * random.uniform(-0.2F, 0.2F);
  look.ink_slant = reach * random.uniform(-0.22F, 0.22F);
  look.ink_dx = reach * random.uniform(-0.07F, 0.07F);
  look.ink_dy = reach * random.uniform(-0.07F, 0.07F);
  look.wave = reach * random.uniform(0.F, 0.03F);
  look.wave_phase = random.uniform(0.F, 6.2831853F);
  return look;
}

// Distance to a rectangle with round corners around the origin; negative inside.
float rounded_distance(float x, float y, float half_width, float half_height, float corner) {
  const float dx = std::abs(x) - half_width + corner;
  const float dy = std::abs(y) - half_height + corner;
  const float outside = std::hypot(std::max(dx, 0.F), std::max(dy, 0.F));
  return outside + std::min(std::max(dx, dy), 0.F) - corner;
}

void paint(cv::Mat& rgb, const Sticker& sticker, const Look& look, const cv::Mat& ink) {
  const float angle = sticker.angle_deg * static_cast<float>(CV_PI) / 180.F;
  const float cosine = std::cos(angle);
  const float sine = std::sin(angle);
  const float half_width = sticker.width_px / 2;
  const float half_height = sticker.height_px / 2;
  const float reach = std::hypot(half_width, half_height) + look.shadow_blur + 8.F;
  const cv::Rect frame(0, 0, rgb.cols, rgb.rows);
  const cv::Rect area =
      cv::Rect(static_cast<int>(sticker.centre_px.x - reach), static_cast<int>(sticker.centre_px.y - reach),
               static_cast<int>(2 * reach) + 1, static_cast<int>(2 * reach) + 1) &
      frame;
  const float turn_cosine = std::cos(look.ink_turn);
  const float turn_sine = std::sin(look.ink_turn);
  const float ink_px = kInkSide / (0.96F * std::min(sticker.width_px, sticker.height_px));

  for (int y = area.y; y < area.y + area.height; ++y) {
    auto* row = rgb.ptr<cv::Vec3b>(y);
    for (int x = area.x; x < area.x + area.width; ++x) {
      const float dx = static_cast<float>(x) - sticker.centre_px.x;
      const float dy = static_cast<float>(y) - sticker.centre_px.y;
      const float u = cosine * dx + sine * dy;
      const float v = -sine * dx + cosine * dy;
      const float distance = rounded_distance(u, v, half_width, half_height, look.corner_px);
      const float cover = std::clamp(0.5F - distance, 0.F, 1.F);
      cv::Vec3f pixel(row[x][0], row[x][1], row[x][2]);

      if (cover < 1.F) {
        const float su = cosine * (dx - look.shadow_x) + sine * (dy - look.shadow_y);
        const float sv = -sine * (dx - look.shadow_x) + cosine * (dy - look.shadow_y);
        const float away = rounded_distance(su, sv, half_width, half_height, look.corner_px);
        if (away >= look.shadow_blur && cover <= 0.F) continue;
        pixel *= 1.F - look.shadow_strength * (1.F - smoothstep(-look.shadow_blur, look.shadow_blur, away));
      }
      if (cover > 0.F) {
        float shade = 1.F + look.shade_x * u / half_width + look.shade_y * v / half_height;
        shade += look.rim * smoothstep(-4.5F, -1.F, distance);
        cv::Vec3f paper = look.paper * shade;

        float iu = (turn_cosine * u + turn_sine * v) / look.ink_scale_x;
        const float iv = (-turn_sine * u + turn_cosine * v) / look.ink_scale_y;
        iu += look.ink_slant * iv + look.wave * sticker.width_px * std::sin(0.05F * iv + look.wave_phase);
        const float darkness = sample(ink, (iu + look.ink_dx * sticker.width_px) * ink_px + kInkSide * 0.5F,
                                      (iv + look.ink_dy * sticker.height_px) * ink_px + kInkSide * 0.5F);
        const float pen = 0.93F * smoothstep(look.edge_low, look.edge_high, darkness);
        paper = paper * (1.F - pen) + look.ink_colour * pen;
        pixel = pixel * (1.F - cover) + paper * cover;
      }
      for (int channel = 0; channel < 3; ++channel) row[x][channel] = cv::saturate_cast<uchar>(pixel[channel]);
    }
  }
}

// Places of n stickers, left to right: centres at least 105 px apart in x, and no two touching.
std::vector<Sticker> place(Random& random, int count) {
  constexpr float kMargin = 92.F;
  constexpr float kStep = 105.F;
  while (true) {
    std::vector<float> xs;
    for (int i = 0; i < count; ++i) xs.push_back(random.uniform(kMargin, kPhotoWidth - kMargin - kStep * (count - 1)));
    std::sort(xs.begin(), xs.end());
    std::vector<Sticker> stickers;
    for (int i = 0; i < count; ++i) {
      Sticker sticker;
      const float side = random.uniform(112.F, 146.F);
      const float stretch = random.uniform(0.97F, 1.03F);
      sticker.width_px = side * stretch;
      sticker.height_px = side / stretch;
      sticker.angle_deg = random.uniform(-13.F, 13.F);
      bool free = false;
      for (int attempt = 0; attempt < 20 && !free; ++attempt) {
        sticker.centre_px = {xs[static_cast<std::size_t>(i)] + kStep * i,
                             random.uniform(kMargin, kPhotoHeight - kMargin)};
        free = std::all_of(stickers.begin(), stickers.end(), [&](const Sticker& other) {
          const cv::Point2f apart = other.centre_px - sticker.centre_px;
          return std::hypot(apart.x, apart.y) > 0.64F * (other.width_px + sticker.width_px);
        });
      }
      if (!free) break;
      stickers.push_back(sticker);
    }
    if (static_cast<int>(stickers.size()) == count) return stickers;
  }
}

void set_corners(Sticker& sticker) {
  const float angle = sticker.angle_deg * static_cast<float>(CV_PI) / 180.F;
  const cv::Point2f right(std::cos(angle) * sticker.width_px / 2, std::sin(angle) * sticker.width_px / 2);
  const cv::Point2f down(-std::sin(angle) * sticker.height_px / 2, std::cos(angle) * sticker.height_px / 2);
  const cv::Point2f c = sticker.centre_px;
  sticker.corners_px = {c - right - down, c + right - down, c + right + down, c - right + down};
}

}  // namespace

cv::Mat model_input(const cv::Mat& photo_rgb) {
  cv::Mat small;
  cv::resize(photo_rgb, small, {kModelWidth, kModelHeight}, 0, 0, cv::INTER_AREA);
  return small;
}

cv::Mat model_input(const Scene& scene) { return model_input(scene.rgb); }

bool on_sticker(const Sticker& sticker, cv::Point2f point_px, float tolerance_px) {
  const std::vector<cv::Point2f> corners(sticker.corners_px.begin(), sticker.corners_px.end());
  return cv::pointPolygonTest(corners, point_px, true) >= -static_cast<double>(tolerance_px);
}

int colour_to_ask(const Scene& scene, std::uint64_t seed) {
  const std::uint64_t turn = seed / 2;
  if (turn % 5 != 0) return scene.stickers.at(turn % scene.stickers.size()).colour;
  int colour = static_cast<int>(turn % kColours);
  const auto lies_there = [&](const Sticker& sticker) { return sticker.colour == colour; };
  while (std::any_of(scene.stickers.begin(), scene.stickers.end(), lies_there)) colour = (colour + 1) % kColours;
  return colour;
}

std::vector<std::filesystem::path> photo_files(const std::filesystem::path& data_dir, Split split) {
  const auto folder = data_dir / "photos" / (split == Split::train ? "train" : "held_out");
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".jpg") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) throw std::runtime_error("no photographs in " + folder.string());
  return files;
}

Composer::Composer(const std::filesystem::path& data_dir) {
  const cv::Mat sheet = cv::imread((data_dir / "digits.png").string(), cv::IMREAD_GRAYSCALE);
  std::ifstream label_file(data_dir / "digits.txt");
  std::string labels;
  label_file >> labels;
  const int per_row = sheet.cols / kDigitSide;
  if (sheet.empty() || labels.empty() || per_row * (sheet.rows / kDigitSide) < static_cast<int>(labels.size()))
    throw std::runtime_error("digits.png or digits.txt missing or damaged in " + data_dir.string());
  for (int i = 0; i < static_cast<int>(labels.size()); ++i) {
    digit_images_.push_back(
        ink_of(sheet(cv::Rect(i % per_row * kDigitSide, i / per_row * kDigitSide, kDigitSide, kDigitSide))));
    digit_labels_.push_back(labels[static_cast<std::size_t>(i)] - '0');
    (i % kHeldOutEvery == kHeldOutEvery - 1 ? held_out_ : train_).digits.push_back(i);
  }
  for (auto* split : {&train_, &held_out_}) {
    for (const auto& file : photo_files(data_dir, split == &train_ ? Split::train : Split::held_out)) {
      cv::Mat rgb;
      cv::cvtColor(cv::imread(file.string(), cv::IMREAD_COLOR), rgb, cv::COLOR_BGR2RGB);
      split->photos_rgb.push_back(rgb);
      split->photo_names.push_back(file.stem().string());
    }
  }
}

const std::vector<std::string>& Composer::photo_names(Split split) const { return data(split).photo_names; }

Scene Composer::compose(std::uint64_t seed, Split split, int min_stickers, int max_stickers) const {
  return compose_on(-1, seed, split, min_stickers, max_stickers);
}

Scene Composer::compose_on(int photo, std::uint64_t seed, Split split, int min_stickers, int max_stickers) const {
  if (photo >= static_cast<int>(data(split).photos_rgb.size())) throw std::out_of_range("no such photograph");
  if (min_stickers < 0 || max_stickers > kMaxStickers || min_stickers > max_stickers)
    throw std::invalid_argument("a scene holds 0 to 5 stickers");
  const bool training = split == Split::train;
  const SplitData& source = data(split);
  Random random(seed * 2 + (training ? 0 : 1));
  const int drawn = random.below(static_cast<int>(source.photos_rgb.size()));

  Scene scene;
  scene.rgb = background(random, source.photos_rgb, photo < 0 ? drawn : photo, training);
  scene.stickers = place(random, min_stickers + random.below(max_stickers - min_stickers + 1));
  std::vector<int> colours = {0, 1, 2, 3, 4, 5, 6, 7};
  random.shuffle(colours);
  for (std::size_t i = 0; i < scene.stickers.size(); ++i) {
    Sticker& sticker = scene.stickers[i];
    sticker.colour = colours[i];
    sticker.digit_index = source.digits[static_cast<std::size_t>(random.below(static_cast<int>(source.digits.size())))];
    sticker.digit = digit_labels_[static_cast<std::size_t>(sticker.digit_index)];
    set_corners(sticker);
    paint(scene.rgb, sticker, random_look(random, sticker.colour, training),
          digit_images_[static_cast<std::size_t>(sticker.digit_index)]);
  }
  // One light for the whole scene, so that the stickers belong to the photograph.
  const float exposure = random.uniform(0.86F, 1.1F);
  const float red = random.uniform(0.95F, 1.05F);
  const float blue = random.uniform(0.95F, 1.05F);
  const cv::Scalar warmth(red * exposure, exposure, blue * exposure);
  cv::multiply(scene.rgb, warmth, scene.rgb);
  return scene;
}

}  // namespace gaze::scenes
