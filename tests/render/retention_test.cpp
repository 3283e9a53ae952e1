// SPDX-License-Identifier: MIT
// Quotas, and what may never be deleted.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <set>

#include "ledger/bundle_folder.hpp"
#include "ledger_fixture.hpp"

namespace {

using gaze::Quota;
using gaze::test::Bundles;
using gaze::test::bundles_in;
using gaze::test::found_wrong;
using gaze::test::read_bytes;
using gaze::test::TempDir;
using gaze::test::write_bytes;
namespace fs = std::filesystem;

using List = std::vector<std::string>;

int64_t bytes_below(const std::string& out_dir) {
  int64_t bytes = 0;
  for (const std::string& name : bundles_in(out_dir)) {
    for (const auto& entry : fs::recursive_directory_iterator(out_dir + "/" + name))
      bytes += entry.is_regular_file() ? static_cast<int64_t>(entry.file_size()) : 0;
  }
  return bytes;
}

/// A bundle as an older version wrote it, of a time that its name says.
std::string old_bundle(const std::string& out_dir, const std::string& stamp, int number) {
  std::string digits = std::to_string(number);
  const std::string name = stamp + "-" + std::string(32 - digits.size(), '0') + digits;
  fs::create_directories(out_dir + "/" + name + "/words");
  write_bytes(out_dir + "/" + name + "/words/01-a.jpg", std::string(500, 'w'));
  write_bytes(out_dir + "/" + name + "/request.json",
              R"({"gaze_request": 1, "request_id": "old", "files": ["words/01-a.jpg", "request.json"]})");
  return name;
}

/// Every path below a folder with what it is.
std::set<std::string> all_below(const std::string& folder) {
  std::set<std::string> all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (path.find("chain") == std::string::npos && path.find("deleted.jsonl") == std::string::npos)
      all.insert(path + (entry.is_regular_file() && !entry.is_symlink() ? " " + read_bytes(path) : ""));
  }
  return all;
}

constexpr std::time_t kNow = 1'767'322'800;  // 2026-01-02T03:00:00Z

}  // namespace

CATCH_TEST_CASE("retention: a burst never passes the bytes by more than one bundle") {
  const TempDir dir;
  const std::string out = dir / "out";
  const Quota quota{30'000, 0, 0};
  Bundles bundles(out, quota);
  int64_t one = 0;
  for (int i = 0; i < 120; ++i) {
    bundles.put(std::to_string(i));
    const int64_t bytes = bytes_below(out);
    if (i == 0) one = bytes;
    CATCH_REQUIRE(bytes <= quota.bytes + one);
  }
  CATCH_CHECK(bytes_below(out) > quota.bytes - 2 * one);
  CATCH_CHECK(found_wrong(out).empty());
  const gaze::Verification sum = gaze::verify_bundles(out);
  CATCH_CHECK(sum.sequence == 120);
  CATCH_CHECK(sum.deleted == 120 - sum.bundles);
  // Another writer finds them counted, and one below a single bundle keeps the newest alone.
  Bundles small(out, {one / 2, 0, 0});
  const std::string last = small.put("last");
  CATCH_CHECK(bundles_in(out) == List{last});
  CATCH_CHECK(found_wrong(out).empty());
}

CATCH_TEST_CASE("retention: what was there before is counted, and the oldest go first") {
  const TempDir dir;
  const std::string out = dir / "out";
  List names;
  for (int i = 0; i < 10; ++i) names.push_back(old_bundle(out, "20250101T00000" + std::to_string(i) + "Z", i));
  const int64_t one = bytes_below(out) / 10;
  Bundles bundles(out, {8 * one, 0, 0});
  bundles.keeper().tidy(kNow);
  CATCH_CHECK(bundles_in(out) == List(names.begin() + 2, names.end()));
}

CATCH_TEST_CASE("retention: by age, as the names tell it") {
  const TempDir dir;
  const std::string out = dir / "out";
  const std::string old = old_bundle(out, "20260101T000000Z", 1), near = old_bundle(out, "20260102T020000Z", 2);
  const std::string later = old_bundle(out, "20991231T235959Z", 3);
  for (const std::string& name : {near, later})
    ::utimensat(AT_FDCWD, (out + "/" + name).c_str(), std::array<timespec, 2>{}.data(), 0);
  Bundles bundles(out, {0, 86'400, 0});
  bundles.keeper().tidy(kNow);
  CATCH_CHECK(bundles_in(out) == List{near, later});
  bundles.keeper().tidy(kNow + 2 * 86'400);
  CATCH_CHECK(bundles_in(out) == List{later});
  CATCH_CHECK(read_bytes(out + "/deleted.jsonl").find(R"("reason":"age")") != std::string::npos);
}

CATCH_TEST_CASE("retention: free space that cannot be had drops the record") {
  const TempDir dir;
  const std::string out = dir / "out";
  Bundles plain(out);
  plain.put();
  plain.put();
  Bundles bundles(out, {0, 0, INT64_MAX});
  GAZE_REQUIRE_REFUSED(bundles.put(), gaze::DropReason::Quota, "quota: expected");
  GAZE_REQUIRE_REFUSED(bundles.keeper().expect_room(kNow), gaze::DropReason::Quota, "GAZE_QUOTA_FREE");
  CATCH_CHECK(bundles_in(out).empty());
  CATCH_CHECK(found_wrong(out).empty());
  Bundles modest(out, {0, 0, 1});
  modest.put();
  CATCH_CHECK(bundles_in(out).size() == 1);
}

CATCH_TEST_CASE("retention: nothing that is not a bundle of ours is deleted") {
  const TempDir dir;
  const std::string out = dir / "out", canary = dir / "canary";
  fs::create_directories(canary + "/words");
  write_bytes(canary + "/request.json", "{}");
  write_bytes(canary + "/precious", "p");
  const auto name = [](int i) { return "20200101T000000Z-" + std::string(30, 'a') + std::to_string(10 + i); };
  fs::create_directories(out);
  fs::create_symlink(canary, out + "/" + name(0));  // a link of a bundle's name
  write_bytes(out + "/" + name(1), "a file");
  CATCH_REQUIRE(::mkfifo((out + "/" + name(2)).c_str(), 0600) == 0);
  fs::create_directories(out + "/" + name(3));  // no request.json
  write_bytes(out + "/" + name(3) + "/notes", "n");
  const auto filled = [&](int i) {
    old_bundle(out, "20200101T000000Z", i);
    fs::rename(out + "/20200101T000000Z-" + std::string(31, '0') + std::to_string(i), out + "/" + name(i));
    return out + "/" + name(i);
  };
  fs::create_symlink(canary + "/precious", filled(4) + "/overlay.jpg");
  fs::create_symlink(canary, filled(5) + "/more");
  CATCH_REQUIRE(::mkfifo((filled(6) + "/pipe").c_str(), 0600) == 0);
  write_bytes(filled(7) + "/mine.txt", "m");
  fs::create_directory(filled(8) + "/empty");
  fs::create_directories(filled(9) + "/a/b/c/d/e");
  if (::geteuid() == 0) {
    CATCH_REQUIRE(::chown((out + "/" + name(9) + "/words/01-a.jpg").c_str(), 12345, 12345) == 0);
    fs::rename(out + "/" + name(9), out + "/" + name(9));
  }
  for (const char* other : {"notes", "index.html", ".hidden", "20200101T000000Z-short",
                            "20200101T000000Z-GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG"})
    fs::create_directories(out + "/" + std::string(other) + "/words");
  const std::string ours = old_bundle(out, "20200101T000000Z", 1);
  std::set<std::string> before = all_below(dir.path());
  std::erase_if(before, [&](const std::string& path) { return path.find(ours) != std::string::npos; });
  Bundles bundles(out, {1, 1, 0});
  bundles.keeper().tidy(kNow);
  CATCH_CHECK(all_below(dir.path()) == before);
  const gaze::Deleted purged = gaze::purge_bundles(out, {0, 1, 0}, {});
  CATCH_CHECK(purged.names.empty());
  CATCH_CHECK(purged.kept.size() == 10);
  CATCH_CHECK(all_below(dir.path()) == before);
}

CATCH_TEST_CASE("retention: random trees beside a bundle stay as they are") {
  const TempDir dir;
  std::mt19937 random(5);
  for (int round = 0; round < 30; ++round) {
    const std::string out = dir / ("out" + std::to_string(round));
    const List ours = {old_bundle(out, "20200101T000000Z", 1), old_bundle(out, "20200101T000000Z", 2)};
    List folders = {out};
    for (int i = 0; i < 25; ++i) {
      const std::string parent = folders[random() % folders.size()];
      const std::string stamp = "2020010" + std::to_string(1 + random() % 9) + "T000000Z-";
      const std::string path =
          parent + "/" +
          (random() % 2 == 0 ? stamp + std::string(32, "abcdef"[random() % 6]) : "n" + std::to_string(i));
      if (fs::exists(fs::symlink_status(path))) continue;
      switch (random() % 4) {
        case 0:
          fs::create_directory(path);
          folders.push_back(path);
          break;
        case 1:
          write_bytes(path, std::to_string(i));
          break;
        case 2:
          fs::create_symlink(folders[random() % folders.size()], path);
          break;
        default:
          CATCH_REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
      }
    }
    std::set<std::string> before = all_below(out);
    std::erase_if(before, [&](const std::string& path) {
      return path.find("/" + ours[0]) != std::string::npos || path.find("/" + ours[1]) != std::string::npos;
    });
    CATCH_CHECK(gaze::purge_bundles(out, {1, 0, 0}, {}).names == ours);
    CATCH_REQUIRE(all_below(out) == before);
  }
}

CATCH_TEST_CASE("retention: purge and forget say what goes, and go no further when they are only asked") {
  const TempDir dir;
  const std::string out = dir / "out";
  Bundles bundles(out);
  List names;
  for (const char* id : {"a", "b", "a", "c", "a"}) names.push_back(bundles.put(id));
  gaze::DeleteOptions dry;
  dry.dry_run = true;
  CATCH_CHECK(gaze::forget_request(out, "a", dry).names.size() == 3);
  CATCH_CHECK(gaze::purge_bundles(out, {1, 0, 0}, dry).names.size() == 5);
  CATCH_CHECK(bundles_in(out).size() == 5);
  CATCH_CHECK(!fs::exists(out + "/deleted.jsonl"));
  const gaze::Deleted forgotten = gaze::forget_request(out, "a");
  CATCH_CHECK(forgotten.names.size() == 3);
  CATCH_CHECK(forgotten.left_bundles == 2);
  CATCH_CHECK(gaze::forget_request(out, "a").names.empty());
  CATCH_CHECK(found_wrong(out).empty());
  const gaze::Deleted purged = gaze::purge_bundles(out, {0, 0, INT64_MAX}, {});
  CATCH_CHECK(purged.names.size() == 2);
  CATCH_CHECK(!purged.within);
  CATCH_CHECK(found_wrong(out).empty());
  CATCH_CHECK(gaze::verify_bundles(out).deleted == 5);
}
