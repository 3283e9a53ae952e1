// SPDX-License-Identifier: MIT
#include "records.hpp"

namespace {

int64_t sheet_height(const std::vector<std::string>& words) {
  gaze::AttentionRecord record = gaze::test::planted(3, 4, {1, 2});
  record.labels = words;
  const gaze::test::TempDir dir;
  gaze::BundleSink sink(gaze::test::all_pictures_in(dir / "out"));
  std::string bundle;
  sink.on_published([&](const std::string& /*id*/, const std::string& path) { bundle = path; });
  sink.consume(record);
  return gaze::decode(bundle + "/sheet.png").size(0);
}

}  // namespace

CATCH_TEST_CASE("without fonts: a sheet says why other scripts became question marks, where there are any") {
  const int64_t plain = sheet_height({"bug", "five"});
  CATCH_CHECK(sheet_height({"b\xC3\xBCg", "five"}) == plain);  // has a likeness
  CATCH_CHECK(sheet_height({"жук", "five"}) > plain);
}
