// SPDX-License-Identifier: MIT
#include "bundle_list.hpp"

#include <algorithm>
#include <system_error>

#include "bundle_file.hpp"
#include "console.hpp"

namespace gaze::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr size_t kMostText = 2000;  // bytes of a text that a list shows
constexpr size_t kMostWords = 100;
constexpr size_t kMostFiles = 4096;
constexpr size_t kMostNotEntered = 100;
constexpr int kMostDepth = 64;  // folders in one another, each of which is open while it is read

/// Newest first: names begin with the time.
bool is_newer(const FoundBundle& a, const FoundBundle& b) {
  const auto name = [](const FoundBundle& bundle) {
    return std::string_view(bundle.folder).substr(bundle.folder.rfind('/') + 1);
  };
  if (name(a) != name(b)) return name(a) > name(b);
  return a.folder < b.folder;
}

/// Keeps the newest of all it is shown.
class Newest {
 public:
  explicit Newest(size_t limit) : limit_(limit) {}
  void add(FoundBundle bundle) {
    bundles_.push_back(std::move(bundle));
    // The oldest is on top of the heap.
    std::push_heap(bundles_.begin(), bundles_.end(), is_newer);
    if (bundles_.size() <= limit_) return;
    std::pop_heap(bundles_.begin(), bundles_.end(), is_newer);
    bundles_.pop_back();
    ++left_out_;
  }
  FoundBundles take() {
    std::sort(bundles_.begin(), bundles_.end(), is_newer);
    return {std::move(bundles_), left_out_, {}};
  }

 private:
  size_t limit_;
  std::vector<FoundBundle> bundles_;
  uint64_t left_out_ = 0;
};

struct Search {
  Newest newest;
  std::vector<std::string> not_entered;
  size_t root = 0;

  void walk(const fs::path& folder, int depth) {
    std::error_code failed;
    fs::directory_iterator entry(folder, failed);
    for (; !failed && entry != fs::directory_iterator(); entry.increment(failed)) {
      std::error_code ignored;
      if (entry->is_symlink(ignored) || !entry->is_directory(ignored)) continue;
      const std::string name = entry->path().filename().string();
      if (name.starts_with(".tmp-gaze-")) continue;  // one that is being written
      if (is_bundle_name(name) || fs::exists(entry->path() / "request.json", ignored)) {
        newest.add({entry->path().string(), root});
      } else if (depth < kMostDepth) {
        walk(entry->path(), depth + 1);
      } else {
        not_entered_because(entry->path(), "too many folders in one another");
      }
    }
    if (failed) not_entered_because(folder, failed.message());
  }

  void not_entered_because(const fs::path& folder, const std::string& why) {
    if (not_entered.size() < kMostNotEntered) not_entered.push_back(printable(folder.string()) + ": " + why);
  }
};

void expect_apart(const std::vector<std::string>& roots) {
  std::vector<fs::path> real;
  for (const std::string& root : roots) {
    std::error_code failed;
    if (!fs::is_directory(root, failed))
      throw Refusal("DIR: expected a directory, got " + root + ". Bundles lie where GAZE_OUT_DIR says.");
    real.push_back(fs::canonical(root, failed));
    if (failed) throw Refusal("DIR: cannot enter " + root + ": " + failed.message() + ".");
  }
  for (size_t i = 0; i < real.size(); ++i) {
    for (size_t j = 0; j < real.size(); ++j) {
      const fs::path way = real[j].lexically_relative(real[i]);
      if (i != j && !way.empty() && *way.begin() != "..")
        throw Refusal("DIR: expected directories apart from each other, got " + roots[j] + " within " + roots[i] +
                      ". Leave one of them out.");
    }
  }
}

/// At most `kMostText` bytes, cut between two characters.
std::string cut(std::string text) {
  if (text.size() <= kMostText) return text;
  size_t end = kMostText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
  return text + "…";
}

ordered_json number_or_null(std::optional<double> number) {
  return number ? ordered_json(*number) : ordered_json(nullptr);
}

ordered_json flags_of(const nlohmann::json& object) {
  ordered_json flags = ordered_json::array();
  for (const nlohmann::json& flag : list_at(object, "flags")) {
    if (flag.is_string() && flags.size() < 16) flags.push_back(cut(flag.get<std::string>()));
  }
  if (is_true_at(object, "diffuse")) flags.push_back("diffuse");
  if (is_true_at(object, "silence")) flags.push_back("silence");
  return flags;
}

/// Flags of the whole answer and of any of its words, each once.
ordered_json all_flags(const nlohmann::json& request) {
  ordered_json all = flags_of(object_at(request, "summary"));
  for (const nlohmann::json& word : list_at(request, "words")) {
    for (const ordered_json& flag : flags_of(word)) {
      const std::string named = flag.get<std::string>() + (flag == "diffuse" ? " word" : "");
      if (std::find(all.begin(), all.end(), named) == all.end()) all.push_back(named);
    }
    if (all.size() > 32) break;
  }
  return all;
}

ordered_json word_row(const nlohmann::json& word) {
  const StoredVerdict grounding = grounding_of(word);
  ordered_json flags = flags_of(word);
  return {cut(text_at(word, "text")),
          number_or_null(number_at(word, "mass")),
          number_or_null(number_at(word, "max_lift")),
          number_or_null(number_at(word, "entropy")),
          grounding.verdict,
          number_or_null(grounding.score),
          std::move(flags)};
}

/// How many of the files that a bundle says it has are gone.
int64_t missing_files(const fs::path& folder, const nlohmann::json& request) {
  int64_t missing = 0;
  size_t looked = 0;
  for (const nlohmann::json& file : list_at(request, "files")) {
    if (!file.is_string() || ++looked > kMostFiles) continue;
    const auto inner = inner_file(file.get<std::string>());
    std::error_code failed;
    if (!inner || !fs::exists(folder / *inner, failed)) ++missing;
  }
  return missing;
}

ordered_json facts_row(const fs::path& folder, const nlohmann::json& request) {
  ordered_json row;
  for (const char* field : {"request_id", "prompt", "answer", "created", "profile", "profile_sha256"})
    row[field] = cut(text_at(request, field));
  const nlohmann::json& model = object_at(request, "model");
  row["model"] = cut(fs::path(text_at(model, "path")).filename().string());
  row["model_sha256"] =
      cut(text_at(model, "sha256").empty() ? text_at(model, "parameters_sha256") : text_at(model, "sha256"));
  const nlohmann::json& error = object_at(request, "error");
  row["error"] = error.empty() ? "" : cut(text_at(error, "reason") + ": " + text_at(error, "message"));
  const nlohmann::json& summary = object_at(request, "summary");
  const StoredVerdict grounding = grounding_of(request);
  row["verdict"] = cut(grounding.verdict);
  row["score"] = number_or_null(grounding.score);
  row["why"] = cut(grounding.why);
  row["rank"] = rank_of(request);
  row["diffuse_share"] = number_or_null(diffuse_share(request));
  for (const char* field : {"mass", "max_lift", "entropy"}) row[field] = number_or_null(number_at(summary, field));
  row["flags"] = all_flags(request);
  row["drops"] = ordered_json::object();
  for (const auto& [reason, count] : object_at(request, "drops").items()) {
    if (count.is_number() && row["drops"].size() < 64) row["drops"][cut(reason)] = count;
  }
  row["missing"] = missing_files(folder, request);
  const auto picture = inner_file(text_at(summary, "file"));
  std::error_code failed;
  const auto there = [&](const std::string& file) { return fs::is_regular_file(folder / file, failed); };
  row["picture"] = picture && there(*picture) ? address_of(folder / *picture, folder) : "";
  row["page"] = there("report.html") ? "report.html" : "";
  const nlohmann::json& words = list_at(request, "words");
  row["words"] = ordered_json::array();
  for (size_t w = 0; w < std::min(words.size(), kMostWords); ++w) row["words"].push_back(word_row(words[w]));
  row["more_words"] = words.size() - row["words"].size();
  return row;
}

}  // namespace

FoundBundles find_bundles(const std::vector<std::string>& roots, size_t limit) {
  expect_apart(roots);
  Search search{Newest(limit), {}};
  for (; search.root < roots.size(); ++search.root) {
    const fs::path root = fs::canonical(roots[search.root]);
    std::error_code ignored;
    if (fs::exists(root / "request.json", ignored)) {
      search.newest.add({root.string(), search.root});
    } else {
      search.walk(root, 0);
    }
  }
  FoundBundles found = search.newest.take();
  found.not_entered = std::move(search.not_entered);
  return found;
}

std::string address_of(const fs::path& path, const fs::path& from) {
  constexpr std::string_view kPlain = "-._~/";
  std::string address;
  for (const char c : path.lexically_relative(from).string()) {
    const bool letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter || kPlain.find(c) != std::string_view::npos) {
      address += c;
      continue;
    }
    char code[4];
    std::snprintf(code, sizeof code, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
    address += code;
  }
  return address;
}

std::string stamp_of(const fs::path& folder) {
  std::string stamp;
  for (const fs::path& path : {folder, folder / "request.json"}) {
    std::error_code failed;
    const auto time = fs::last_write_time(path, failed);
    stamp += std::to_string(failed ? 0 : time.time_since_epoch().count()) + "-";
  }
  std::error_code failed;
  const auto size = fs::file_size(folder / "request.json", failed);
  return stamp + (failed ? "none" : std::to_string(size));
}

ordered_json row_of(const fs::path& folder) {
  try {
    return facts_row(folder, read_request(folder));
  } catch (const Refusal& refusal) {
    return {{"unreadable", cut(refusal.what())}};
  } catch (const std::exception& error) {
    return {{"unreadable", cut("cannot read it: " + std::string(error.what()))}};
  }
}

}  // namespace gaze::cli
