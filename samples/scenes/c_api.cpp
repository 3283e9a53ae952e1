// The composer for Python (ctypes): plain arrays in and out, errors as return codes.
#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "scenes.hpp"

namespace {

using gaze::scenes::Composer;
using gaze::scenes::Scene;
using gaze::scenes::Split;

constexpr int kStickerFields = 12;  // colour, digit, digit index, angle, four corners x y

void write_stickers(const Scene& scene, float* stickers, int* count) {
  *count = static_cast<int>(scene.stickers.size());
  for (const auto& sticker : scene.stickers) {
    const float head[] = {static_cast<float>(sticker.colour), static_cast<float>(sticker.digit),
                          static_cast<float>(sticker.digit_index), sticker.angle_deg};
    stickers = std::copy(std::begin(head), std::end(head), stickers);
    for (const auto& corner : sticker.corners_px) {
      *stickers++ = corner.x;
      *stickers++ = corner.y;
    }
  }
}

}  // namespace

extern "C" {

int gaze_scenes_sticker_fields() { return kStickerFields; }

void* gaze_scenes_open(const char* data_dir) {
  try {
    cv::setNumThreads(1);  // the caller chooses how many scenes are made at once
    return new Composer(data_dir);
  } catch (...) {
    return nullptr;
  }
}

void gaze_scenes_close(void* composer) { delete static_cast<Composer*>(composer); }

// Scenes first_seed .. first_seed + count - 1. photos_nhwc may be null; photo -1 draws one.
// stickers: [count, 5, 12] floats: colour, digit, digit index, angle, four corners x y. Returns 0, or 1 on failure.
int gaze_scenes_compose(const void* composer, unsigned long long first_seed, int count, int held_out, int min_stickers,
                        int max_stickers, int photo, int threads, unsigned char* inputs_nhwc,
                        unsigned char* photos_nhwc, float* stickers, int* counts) {
  const auto work = [&](int first, int* failed) {
    try {
      for (int i = first; i < count; i += threads) {
        const Scene scene = static_cast<const Composer*>(composer)->compose_on(
            photo, first_seed + static_cast<unsigned long long>(i), held_out != 0 ? Split::held_out : Split::train,
            min_stickers, max_stickers);
        const cv::Mat input = gaze::scenes::model_input(scene);
        const std::size_t input_bytes = input.total() * input.elemSize();
        std::memcpy(inputs_nhwc + input_bytes * static_cast<std::size_t>(i), input.data, input_bytes);
        if (photos_nhwc != nullptr) {
          const std::size_t photo_bytes = scene.rgb.total() * scene.rgb.elemSize();
          std::memcpy(photos_nhwc + photo_bytes * static_cast<std::size_t>(i), scene.rgb.data, photo_bytes);
        }
        write_stickers(scene, stickers + static_cast<std::ptrdiff_t>(i) * gaze::scenes::kMaxStickers * kStickerFields,
                       counts + i);
      }
    } catch (...) {
      *failed = 1;
    }
  };
  std::vector<int> failed(static_cast<std::size_t>(threads), 0);
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) workers.emplace_back(work, t, &failed[static_cast<std::size_t>(t)]);
  for (auto& worker : workers) worker.join();
  return std::count(failed.begin(), failed.end(), 1) == 0 ? 0 : 1;
}

}  // extern "C"
