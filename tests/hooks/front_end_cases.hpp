// SPDX-License-Identifier: MIT
// What the tests of other front ends share: a capture whose sites come as they run, and sites to push under.
#pragma once

#include <gaze/hooks/front_end.hpp>

#include <memory>
#include <string>
#include <vector>

#include "fake_front_end.hpp"
#include "hooks_test.hpp"

namespace front_end_test {

using gaze::SiteKind;
using gaze::SiteRelation;
using hooks_test::MemorySink;

inline constexpr int64_t kLayers = 2;

inline gaze::Site site(const std::string& name, SiteRelation relation = SiteRelation::Cross,
                       SiteKind kind = SiteKind::Sdpa) {
  gaze::Site made;
  made.name = name;
  made.kind = kind;
  made.relation = relation;
  made.heads = 2;
  made.proposed = relation == SiteRelation::Cross;
  return made;
}

inline fake::Parameters parameters() {
  auto generator = at::detail::createCPUGenerator(7);
  return {at::randn({8, 8}, generator), at::randn({8, 8}, generator), at::randn({3, 8}, generator)};
}

inline at::Tensor picture() { return at::rand({1, 3, 32, 48}, at::detail::createCPUGenerator(8)); }
inline at::Tensor tokens(int64_t count, uint64_t seed = 9) {
  return at::randn({1, count, 8}, at::detail::createCPUGenerator(seed));
}
inline const at::Tensor kNoKeys = at::zeros({kLayers, 1, 0, 8});

/// The picture's 24 cells as the cross-attention has them, and the picture from the model's own input.
inline gaze::Profile profile_of(const std::vector<std::string>& sites = {}) {
  gaze::Profile profile;
  profile.name = "decoder";
  profile.sites = sites;
  profile.heads = gaze::ops::HeadReduce::Mean;
  profile.image = gaze::ImageInput{{{"forward", 2}}, {}, {}, 0, 0};
  profile.geometry = gaze::Geometry{.rows = 4, .cols = 6};
  return profile;
}

inline gaze::Options options_of(const std::shared_ptr<gaze::Sink>& sink, const gaze::Profile& profile = profile_of()) {
  gaze::Options options = hooks_test::options(sink);
  options.profile_in_code = profile;
  return options;
}

inline void check_law(const gaze::Stats& stats) {
  CATCH_CHECK(stats.begun == stats.sampled + stats.declined());
  CATCH_CHECK(stats.sampled == stats.written + stats.in_flight + stats.lost());
}

/// A capture of the decoder, whose sites come as they run.
struct Attached {
  explicit Attached(const gaze::Profile& profile = profile_of(),
                    gaze::ModelDescription model = fake::Attention::description())
      : gaze(gaze::attach(model, options_of(sink, profile))), front_end(gaze) {}
  std::vector<gaze::AttentionRecord> records() {
    CATCH_REQUIRE(gaze.flush());
    return sink->records();
  }
  std::shared_ptr<MemorySink> sink = std::make_shared<MemorySink>();
  gaze::Gaze gaze;
  gaze::FrontEnd front_end;
};

inline at::Tensor some_weights(int64_t queries = 1, int64_t keys = 24) {
  return at::randn({1, 2, queries, keys}).softmax(-1);
}

}  // namespace front_end_test
