// SPDX-License-Identifier: MIT
// deleted.jsonl stays short: lines of what is gone become one for each run of links, and everything still shows.
#include <fcntl.h>
#include <unistd.h>
#include <nlohmann/json.hpp>
#include <sstream>

#include "ledger/chain.hpp"
#include "ledger/deletions.hpp"
#include "ledger_fixture.hpp"
#include "ledger_keys.hpp"

namespace {

using gaze::test::Bundles;
using gaze::test::bundles_in;
using gaze::test::found_wrong;
using gaze::test::KeyFiles;
using gaze::test::read_bytes;
using gaze::test::TempDir;
using gaze::test::write_bytes;
using nlohmann::json;
using List = std::vector<std::string>;

/// The directory's lines.
std::vector<json> lines_of(const std::string& out) {
  std::vector<json> lines;
  std::istringstream text(read_bytes(out + "/deleted.jsonl"));
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

struct Folder {
  Folder(const std::string& out, const gaze::ledger::Key* key = nullptr)
      : path(out), key(key), root(::open(out.c_str(), O_RDONLY | O_DIRECTORY)) {}
  ~Folder() { ::close(root); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  /// As a deletion does, whatever the size. @param killed  before the head says so
  bool fold(bool killed = false) const {
    auto last = gaze::ledger::fold_deletions(root, key, "2026-01-02T03:04:05Z", 0);
    if (!last) return false;
    if (killed) return true;
    auto head = gaze::ledger::read_head(root);
    CATCH_REQUIRE(head);
    head->deleted = *last;
    gaze::ledger::write_head(root, *head, path);
    return true;
  }
  std::string path;
  const gaze::ledger::Key* key;
  int root;
};

List publish(const std::string& out, int count, const std::shared_ptr<const gaze::ledger::Key>& key = nullptr) {
  Bundles bundles(out, {}, key);
  List names;
  for (int i = 0; i < count; ++i) names.push_back(bundles.put(std::to_string(i)));
  return names;
}

void forget(const std::string& out, std::initializer_list<int> ids, const std::string& key = {}) {
  gaze::DeleteOptions options;
  options.signing_key = key;
  for (const int id : ids) CATCH_REQUIRE(gaze::forget_request(out, std::to_string(id), options).names.size() == 1);
}

/// @param killed  between the new lines and the head that names the last of them
void check_folding(bool killed) {
  const TempDir dir;
  const std::string out = dir / "out";
  const List names = publish(out, 9);
  const Folder folder(out);
  forget(out, {1, 6});
  CATCH_CHECK_FALSE(folder.fold());  // the first lives
  forget(out, {0, 2});
  CATCH_REQUIRE(folder.fold(killed));
  auto lines = lines_of(out);
  CATCH_REQUIRE(lines.size() == 2);
  CATCH_CHECK(lines[0]["folded"]["through"] == 3);
  CATCH_CHECK(lines[0]["folded"]["lines"] == 3);
  CATCH_CHECK(lines[1]["bundle"] == names[6]);
  CATCH_CHECK(found_wrong(out).empty());
  CATCH_CHECK(gaze::verify_bundles(out).deleted == 4);
  CATCH_CHECK_FALSE(folder.fold());  // nothing more to fold
  // Deleting and writing go on behind it, and it folds again.
  forget(out, {3, 4, 5});
  CATCH_CHECK(found_wrong(out).empty());
  CATCH_REQUIRE(folder.fold());
  lines = lines_of(out);
  CATCH_REQUIRE(lines.size() == 1);
  CATCH_CHECK(lines[0]["folded"]["through"] == 7);
  CATCH_CHECK(lines[0]["folded"]["lines"] == 7);
  publish(out, 2);
  forget(out, {7, 8});
  CATCH_CHECK(found_wrong(out).empty());
  CATCH_CHECK(bundles_in(out).size() == 2);
  CATCH_CHECK(gaze::verify_bundles(out).sequence == 11);
  CATCH_REQUIRE(folder.fold());
  CATCH_CHECK(lines_of(out)[0]["folded"]["through"] == 9);
  CATCH_CHECK(found_wrong(out).empty());
}

}  // namespace

CATCH_TEST_CASE("ledger: lines of the chain's beginning are folded into one, those behind what lives stay") {
  check_folding(false);
  check_folding(true);
}

CATCH_TEST_CASE("ledger: what shows without a fold shows with one") {
  const TempDir dir;
  const std::string out = dir / "out", file = out + "/deleted.jsonl";
  const List names = publish(out, 6);
  const Folder folder(out);
  forget(out, {0, 1, 4});
  CATCH_REQUIRE(folder.fold());
  CATCH_REQUIRE(found_wrong(out).empty());
  const std::string whole = read_bytes(file);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    const size_t at = text.find(from);
    CATCH_REQUIRE(at != std::string::npos);
    write_bytes(file, text.replace(at, from.size(), to));
    const List found = found_wrong(out);
    write_bytes(file, whole);
    return found;
  };
  CATCH_CHECK(with("\"through\":2", "\"through\":1") == List{"gap", "order"});
  CATCH_CHECK_FALSE(with("\"through\":2", "\"through\":3").empty());
  CATCH_CHECK_FALSE(with("\"through\":2", "\"through\":9").empty());
  CATCH_CHECK_FALSE(with("\"lines\":2", "\"lines\":3").empty());
  CATCH_CHECK_FALSE(with(whole.substr(0, whole.find('\n') + 1), "").empty());
  CATCH_CHECK_FALSE(with("\"sequence\":5", "\"sequence\":4").empty());
  // A bundle that comes back, one that goes without a word.
  std::filesystem::rename(out + "/" + names[2], dir / "taken");
  CATCH_CHECK(found_wrong(out) == List{"gap"});
  std::filesystem::rename(dir / "taken", out + "/" + names[2]);
  CATCH_CHECK(found_wrong(out).empty());
}

CATCH_TEST_CASE("ledger: what does not follow, or is signed otherwise, is not folded away") {
  const TempDir dir;
  const KeyFiles files(dir.path()), others(dir.path(), "other");
  const auto key = gaze::ledger::Key::read_private(files.secret),
             other = gaze::ledger::Key::read_private(others.secret);
  const std::string out = dir / "out";
  publish(out, 4, key);
  forget(out, {0, 1}, files.secret);
  CATCH_CHECK_FALSE(Folder(out).fold());               // no key, and signed
  CATCH_CHECK_FALSE(Folder(out, other.get()).fold());  // another one
  const std::string whole = read_bytes(out + "/deleted.jsonl");
  std::string edited = whole;
  edited.replace(edited.find("forget"), 6, "quota\"").replace(edited.find("quota\"\""), 7, "quotas\"");
  write_bytes(out + "/deleted.jsonl", edited);
  CATCH_CHECK_FALSE(Folder(out, key.get()).fold());  // not what was signed
  write_bytes(out + "/deleted.jsonl", whole);
  CATCH_REQUIRE(Folder(out, key.get()).fold());
  CATCH_CHECK(found_wrong(out, files.open).empty());
  CATCH_CHECK(found_wrong(out, others.open).size() > 1);
  forget(out, {2}, files.secret);
  CATCH_CHECK(found_wrong(out, files.open).empty());
  CATCH_CHECK(lines_of(out).size() == 2);
}

CATCH_TEST_CASE("ledger: runs behind what lives are folded too, and grow together") {
  const TempDir dir;
  const std::string out = dir / "out", file = out + "/deleted.jsonl";
  const List names = publish(out, 10);
  const Folder folder(out);
  forget(out, {2, 1, 3, 6, 5, 8});
  const bool killed = GENERATE(false, true);
  CATCH_REQUIRE(folder.fold(killed));
  auto lines = lines_of(out);
  CATCH_REQUIRE(lines.size() == 3);
  CATCH_CHECK((lines[0]["folded"]["from"] == 2 && lines[0]["folded"]["through"] == 4));
  CATCH_CHECK((lines[1]["folded"]["from"] == 6 && lines[1]["folded"]["through"] == 7));
  CATCH_CHECK(lines[2]["bundle"] == names[8]);
  CATCH_CHECK(found_wrong(out).empty());
  CATCH_CHECK(gaze::verify_bundles(out).deleted == 6);
  // What shows: a run that is told too short, too long or not at all, one that overlaps, a bundle that comes back or
  // goes.
  const std::string whole = read_bytes(file);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    const size_t at = text.find(from);
    CATCH_REQUIRE(at != std::string::npos);
    write_bytes(file, text.replace(at, from.size(), to));
    const List found = found_wrong(out);
    write_bytes(file, whole);
    return found;
  };
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{R"("from":2)", R"("from":1)"},
                                                        {R"("from":2)", R"("from":3)"},
                                                        {R"("through":4)", R"("through":3)"},
                                                        {R"("through":4)", R"("through":6)"},
                                                        {R"("from":6)", R"("from":4)"},
                                                        {R"("through":7)", R"("through":11)"},
                                                        {R"("from":6,"through":7)", R"("from":0,"through":0)"},
                                                        {R"("from":6,"through":7)", R"("from":7,"through":6)"}}) {
    CATCH_INFO(from << " becomes " << to);
    CATCH_CHECK_FALSE(with(from, to).empty());
  }
  std::filesystem::rename(out + "/" + names[4], dir / "taken");
  CATCH_CHECK(found_wrong(out) == List{"gap"});
  std::filesystem::rename(dir / "taken", out + "/" + names[4]);
  forget(out, {4});
  CATCH_REQUIRE(folder.fold(killed));
  lines = lines_of(out);
  CATCH_REQUIRE(lines.size() == 2);
  CATCH_CHECK((lines[0]["folded"]["from"] == 2 && lines[0]["folded"]["through"] == 7));
  CATCH_CHECK(lines[0]["folded"]["lines"] == 6);
  forget(out, {0, 7, 9});
  CATCH_REQUIRE(folder.fold(killed));
  CATCH_CHECK(lines_of(out).size() == 1);
  CATCH_CHECK(found_wrong(out).empty());
  CATCH_CHECK(gaze::verify_bundles(out).deleted == 10);
  publish(out, 1);
  CATCH_CHECK(found_wrong(out).empty());
}

CATCH_TEST_CASE("ledger: lines of gone bundles outside the chain become one") {
  const TempDir dir;
  const std::string out = dir / "out";
  publish(out, 3);
  {
    const Folder folder(out);
    const gaze::ledger::ChainLock held(folder.root, 100);
    CATCH_REQUIRE(held.held());
    Bundles others(out);
    for (int i = 10; i < 13; ++i) others.put(std::to_string(i));
  }
  const Folder folder(out);
  forget(out, {10, 1, 11});
  CATCH_REQUIRE(folder.fold());
  auto lines = lines_of(out);
  CATCH_REQUIRE(lines.size() == 2);
  CATCH_CHECK((lines[0]["folded"]["through"] == 0 && lines[0]["folded"]["lines"] == 2));
  CATCH_CHECK(lines[1]["sequence"] == 2);
  CATCH_CHECK(found_wrong(out).size() == 1);  // the one that stands outside still
  forget(out, {12, 2, 0});
  CATCH_REQUIRE(folder.fold());
  lines = lines_of(out);
  CATCH_REQUIRE(lines.size() == 2);
  CATCH_CHECK(lines[0]["folded"]["lines"] == 3);
  CATCH_CHECK((lines[1]["folded"]["from"] == 1 && lines[1]["folded"]["through"] == 3));
  CATCH_CHECK(found_wrong(out).empty());
}

CATCH_TEST_CASE("ledger: a file that has grown long is folded with the next deletion") {
  const TempDir dir;
  const std::string out = dir / "out";
  Bundles(out).put("first");
  const Folder folder(out);
  // The first bundle goes, or holds what keeps it from being deleted.
  const bool stays = GENERATE(false, true);
  gaze::ledger::Head head;
  if (stays) {
    head = *gaze::ledger::read_head(folder.root);
  } else {
    std::filesystem::remove_all(out + "/" + bundles_in(out)[0]);
  }
  // A server that ran for long: of each bundle a line, and none is left.
  std::string text, before;
  while (static_cast<int64_t>(text.size()) < gaze::ledger::kMostDeletedBytes - 100) {
    const int64_t sequence = head.last.sequence + 1;
    const std::string manifest = gaze::sha256_of(std::to_string(sequence));
    const gaze::ledger::Deletion gone{"20260102T030405Z-0123456789abcdef0123456789abcdef",
                                      sequence,
                                      manifest,
                                      head.last.manifest,
                                      "age",
                                      "2026-01-02T03:04:05Z"};
    const std::string line = gaze::ledger::deletion_line(gone, before, nullptr);
    before = gaze::sha256_of(line);
    text += line + "\n";
    head.last = {sequence, manifest, gone.bundle};
  }
  head.deleted = before;
  write_bytes(out + "/deleted.jsonl", text);
  gaze::ledger::write_head(folder.root, head, out);
  CATCH_REQUIRE(found_wrong(out).empty());
  publish(out, 2);
  forget(out, {0});
  const auto lines = lines_of(out);
  CATCH_REQUIRE(lines.size() == 2);
  CATCH_CHECK(lines[0]["folded"]["from"] == (stays ? 2 : 1));
  CATCH_CHECK(lines[0]["folded"]["through"] == head.last.sequence);
  CATCH_CHECK(lines[1]["sequence"] == head.last.sequence + 1);
  CATCH_CHECK(found_wrong(out).empty());
  const gaze::Verification sum = gaze::verify_bundles(out);
  CATCH_CHECK(sum.deleted == head.last.sequence + (stays ? 0 : 1));
  CATCH_CHECK(sum.bundles == (stays ? 2 : 1));
}
