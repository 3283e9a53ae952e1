// The one composer of sticker scenes: training, evaluation, demo pictures and benchmarks all draw from it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <opencv2/core.hpp>

namespace gaze::scenes {

inline constexpr int kPhotoWidth = 960;
inline constexpr int kPhotoHeight = 576;
inline constexpr int kModelWidth = 160;
inline constexpr int kModelHeight = 96;
inline constexpr int kMaxStickers = 5;
inline constexpr int kColours = 8;

inline constexpr std::array<const char*, kColours> kColourNames = {"red",  "orange", "yellow", "green",
                                                                   "cyan", "blue",   "purple", "pink"};
inline constexpr std::array<const char*, 10> kDigitNames = {"zero", "one", "two",   "three", "four",
                                                            "five", "six", "seven", "eight", "nine"};

// Held-out scenes use digits (every fifth) and photographs that no training scene uses.
enum class Split { train, held_out };

struct Sticker {
  int colour = 0;         // index into kColourNames; no two stickers of a scene share one
  int digit = 0;          // 0..9
  int digit_index = 0;    // which handwritten digit of the sheet
  cv::Point2f centre_px;  // in the photograph
  float width_px = 0.F;
  float height_px = 0.F;
  float angle_deg = 0.F;                  // clockwise on the screen
  std::array<cv::Point2f, 4> corners_px;  // clockwise from the sticker's own upper left

  std::string colour_name() const { return kColourNames[static_cast<std::size_t>(colour)]; }
  std::string digit_name() const { return kDigitNames[static_cast<std::size_t>(digit)]; }
};

struct Scene {
  cv::Mat rgb;                    // kPhotoHeight x kPhotoWidth, 8UC3, RGB
  std::vector<Sticker> stickers;  // left to right
};

// What the model sees: the whole photograph shrunk to kModelHeight x kModelWidth, 8UC3, RGB.
cv::Mat model_input(const Scene& scene);
cv::Mat model_input(const cv::Mat& photo_rgb);

// True when the point lies on the sticker or at most tolerance_px beside it.
bool on_sticker(const Sticker& sticker, cv::Point2f point_px, float tolerance_px);

// The colour that evaluation asks for on the scene of this seed: every fifth question is about one that does not lie
// there.
int colour_to_ask(const Scene& scene, std::uint64_t seed);

// The photographs of a split below samples/data, by name.
std::vector<std::filesystem::path> photo_files(const std::filesystem::path& data_dir, Split split);

class Composer {
 public:
  // data_dir is samples/data: digits.png, digits.txt, photos/train/*.jpg, photos/held_out/*.jpg.
  explicit Composer(const std::filesystem::path& data_dir);

  // Same arguments, same scene. Safe to call from several threads.
  Scene compose(std::uint64_t seed, Split split, int min_stickers = 2, int max_stickers = kMaxStickers) const;

  // As above on one chosen photograph, an index into photo_names(split).
  Scene compose_on(int photo, std::uint64_t seed, Split split, int min_stickers, int max_stickers) const;

  const std::vector<std::string>& photo_names(Split split) const;

 private:
  struct SplitData {
    std::vector<cv::Mat> photos_rgb;
    std::vector<std::string> photo_names;
    std::vector<int> digits;  // indices into digit_images_
  };

  const SplitData& data(Split split) const { return split == Split::train ? train_ : held_out_; }

  std::vector<cv::Mat> digit_images_;  // enlarged, 32FC1, ink is 1
  std::vector<int> digit_labels_;
  SplitData train_;
  SplitData held_out_;
};

}  // namespace gaze::scenes
