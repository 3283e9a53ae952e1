// SPDX-License-Identifier: MIT
// Names, directories and what killed processes leave in them.
#include "base/files.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <gaze/render/bundle.hpp>

#include <csignal>
#include <filesystem>
#include <limits>

#include "records.hpp"

namespace {

using gaze::BundleOptions;
using gaze::BundleSink;
using gaze::DropReason;
using gaze::files::remove_leftovers;
using gaze::files::StagedDirectory;
using gaze::test::list;
using gaze::test::TempDir;
namespace fs = std::filesystem;

using List = std::vector<std::string>;

std::string publish(const BundleOptions& options) {
  BundleSink sink(options);
  std::string published;
  sink.on_published([&](const std::string&, const std::string& path) { published = path; });
  gaze::AttentionRecord record = gaze::test::planted(2, 3, {1});
  picture_of(record) = {};
  sink.consume(record);
  return published;
}

BundleOptions maps_into(const std::string& out_dir, bool strict = false) {
  BundleOptions options;
  options.out_dir = out_dir;
  options.delivery = gaze::Delivery::Map;
  options.strict_out_dir = strict;
  return options;
}

/// Another process that has begun a bundle in `out_dir` and holds it until it is killed.
class Other {
 public:
  explicit Other(const std::string& out_dir) {
    int ready[2];
    CATCH_REQUIRE(::pipe(ready) == 0);
    child_ = ::fork();
    CATCH_REQUIRE(child_ >= 0);
    if (child_ == 0) {
      const char done = 1;
      try {
        StagedDirectory staged(out_dir, false);
        staged.make_subdirectory("words");
        staged.write("overlay.png", "half a picture");
        staged.write("words/01-a.png", "another");
        if (::write(ready[1], &done, 1) == 1) ::pause();
      } catch (const std::exception&) {
      }
      ::_exit(1);
    }
    ::close(ready[1]);
    char done = 0;
    CATCH_REQUIRE(::read(ready[0], &done, 1) == 1);
    ::close(ready[0]);
  }
  ~Other() { kill(); }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;
  void kill() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = 0;
  }

 private:
  pid_t child_ = 0;
};

const std::string kName = ".tmp-gaze-0123456789abcdef0123456789abcdef";

struct WorkingDirectory {
  explicit WorkingDirectory(const std::string& path) : before(fs::current_path()) { fs::current_path(path); }
  ~WorkingDirectory() { fs::current_path(before); }
  const fs::path before;
};

}  // namespace

CATCH_TEST_CASE("files: names of any clock sort, and none begins with a dash") {
  const std::pair<std::time_t, const char*> times[] = {{std::numeric_limits<std::time_t>::min(), "00000101T000000Z"},
                                                       {-62167219201, "00000101T000000Z"},
                                                       {-62135596800, "00010101T000000Z"},
                                                       {-30610224001, "09991231T235959Z"},
                                                       {-1, "19691231T235959Z"},
                                                       {0, "19700101T000000Z"},
                                                       {1767323045, "20260102T030405Z"},
                                                       {253402300799, "99991231T235959Z"},
                                                       {253402300800, "99991231T235959Z"},
                                                       {std::numeric_limits<std::time_t>::max(), "99991231T235959Z"}};
  std::string last;
  for (const auto& [time, name] : times) {
    const std::string stamp = gaze::files::utc_stamp(time);
    CATCH_CHECK(stamp == name);
    CATCH_CHECK(stamp >= last);
    last = stamp;
  }
}

CATCH_TEST_CASE("files: what a killed process left is removed by the next, what a living one fills is not") {
  const TempDir dir;
  Other first(dir.path()), second(dir.path());
  CATCH_REQUIRE(list(dir.path()).size() == 2);
  publish(maps_into(dir.path()));
  CATCH_CHECK(list(dir.path()).size() == 3);
  first.kill();
  const std::string one = publish(maps_into(dir.path()));
  CATCH_CHECK(list(dir.path()).size() == 3);  // two bundles, and that of the second
  second.kill();
  const std::string two = publish(maps_into(dir.path()));
  CATCH_CHECK(list(dir.path()).size() == 3);
  for (const std::string& name : list(dir.path())) CATCH_CHECK(name[0] == '2');
  for (const std::string& bundle : {one, two}) CATCH_CHECK(list(bundle) == List{"maps.safetensors", "request.json"});
}

CATCH_TEST_CASE("files: a process sweeps once, and leaves what its own threads fill") {
  const TempDir dir;
  BundleSink sink(maps_into(dir.path()));
  gaze::AttentionRecord record = gaze::test::planted(2, 3, {1});
  picture_of(record) = {};
  StagedDirectory mine(dir.path(), false);
  mine.write("request.json", "{");
  sink.consume(record);
  fs::create_directory(dir / kName);
  sink.consume(record);
  CATCH_CHECK(fs::exists(dir / kName));
  const std::string name = gaze::files::published_name();
  mine.publish(name);
  CATCH_CHECK(list(dir / name) == List{"request.json"});
  CATCH_CHECK(list(dir.path()).size() == 4);
}

CATCH_TEST_CASE("files: nothing is removed that Gaze did not make") {
  const TempDir dir, elsewhere;
  gaze::test::write_bytes(elsewhere / "kept", "x");
  const auto make = [&](const std::string& name) {
    fs::create_directory(dir / name);
    gaze::test::write_bytes(dir / name + "/overlay.png", "x");
  };
  const std::string digits = "0123456789abcdef0123456789abcde";  // 31
  make(kName);                                                   // as Gaze leaves it
  for (const std::string& name : {".tmp-" + digits + "f", ".tmp-gaze-" + digits, ".tmp-gaze-" + digits + "F",
                                  ".tmp-gaze-" + digits + "ff", "tmp-gaze-" + digits + "f", std::string("other")}) {
    make(name);
  }
  const auto name = [&](char last) { return ".tmp-gaze-" + digits + last; };
  gaze::test::write_bytes(dir / name('0'), "a file");
  fs::create_directory_symlink(elsewhere.path(), dir / name('1'));
  make(name('2'));
  fs::create_symlink(elsewhere / "kept", dir / name('2') + "/link");
  make(name('3'));
  fs::create_directories(dir / name('3') + "/words/deeper/and/deeper");
  make(name('4'));
  CATCH_REQUIRE(::mkfifo((dir / name('4') + "/fifo").c_str(), 0600) == 0);
  if (::geteuid() == 0) {
    make(name('5'));
    CATCH_REQUIRE(::chown((dir / name('5')).c_str(), 12345, 12345) == 0);
    make(name('6'));
    CATCH_REQUIRE(::chown((dir / name('6') + "/overlay.png").c_str(), 12345, 12345) == 0);
  }
  const size_t before = list(dir.path()).size();
  remove_leftovers(dir.path(), false);
  CATCH_CHECK(list(dir.path()).size() == before - 1);
  CATCH_CHECK_FALSE(fs::exists(dir / kName));
  for (const char last : {'2', '3', '4'}) CATCH_CHECK(fs::exists(dir / name(last) + "/overlay.png"));
  CATCH_CHECK(fs::exists(elsewhere / "kept"));
  remove_leftovers(dir / "nowhere", false);
  remove_leftovers(elsewhere / "kept", true);
  CATCH_CHECK_FALSE(fs::exists(dir / "nowhere"));
}

CATCH_TEST_CASE("strict output directory: one's own is written, another's, a link and one open to others are refused") {
  const TempDir dir;
  const std::string own = dir / "a/b/own";
  publish(maps_into(own, true));
  CATCH_CHECK(list(own).size() == 1);
  struct stat status {};
  CATCH_REQUIRE(::stat(own.c_str(), &status) == 0);
  CATCH_CHECK((status.st_mode & 07777U) == 0700);
  for (const mode_t mode : {0770, 0702, 0777, 01777, 0720}) {
    CATCH_REQUIRE(::chmod(own.c_str(), mode) == 0);
    GAZE_REQUIRE_REFUSED(publish(maps_into(own, true)), DropReason::OutDir, "that nobody else may write, got mode");
    CATCH_CHECK(list(own).size() == 1);
  }
  CATCH_REQUIRE(::chmod(own.c_str(), 0755) == 0);
  publish(maps_into(own, true));
  CATCH_CHECK(list(own).size() == 2);
  fs::create_directory_symlink(own, dir / "link");
  for (const char* link : {"link", "link/", "link//"}) {
    GAZE_REQUIRE_REFUSED(publish(maps_into(dir / link, true)), DropReason::OutDir, "cannot open the directory");
  }
  publish(maps_into(dir / "link"));
  CATCH_CHECK(list(own).size() == 3);
  if (::geteuid() == 0) {
    CATCH_REQUIRE(::chown(own.c_str(), 12345, 12345) == 0);
    GAZE_REQUIRE_REFUSED(publish(maps_into(own, true)), DropReason::OutDir, "got one of user 12345");
  }
}

CATCH_TEST_CASE("output directory: a relative one stays where the process stood when the sink was made") {
  const TempDir dir, later;
  const WorkingDirectory there(dir.path());
  BundleSink sink(maps_into("./out"));
  std::string published;
  sink.on_published([&](const std::string&, const std::string& path) { published = path; });
  gaze::AttentionRecord record = gaze::test::planted(2, 3, {1});
  picture_of(record) = {};
  fs::current_path(later.path());
  sink.consume(record);
  CATCH_CHECK(list(later.path()).empty());
  CATCH_CHECK(list(dir / "out").size() == 1);
  CATCH_CHECK(fs::path(published).parent_path() == fs::canonical(dir.path()) / "out");
  BundleSink nowhere(maps_into(""));
  GAZE_REQUIRE_REFUSED(nowhere.consume(record), DropReason::OutDir, "expected a path, got an empty string");
}
