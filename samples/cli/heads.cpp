// SPDX-License-Identifier: MIT
#include <ATen/core/ivalue.h>
#include <gaze/hooks/heads.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "console.hpp"
#include "heads_picture.hpp"
#include "probe_picture.hpp"
#include "profile_file.hpp"
#include "samples.hpp"
#include "script.hpp"
#include "settings.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

constexpr int64_t kListed = 12;  // heads beside the chosen that a person wants to see

nlohmann::ordered_json report(const HeadsResult& result) {
  nlohmann::ordered_json json = {
      {"method", result.method},           {"samples", result.samples},           {"rows", result.rows},
      {"least_share", result.least_share}, {"least_change", result.least_change}, {"most_entropy", result.most_entropy},
      {"seconds", result.seconds},         {"heads", nlohmann::json::array()}};
  for (const MeasuredHead& head : result.heads) {
    json["heads"].push_back(
        {{"site", head.site},
         {"head", head.head},
         {"share", head.share},
         {"spatial_entropy", head.spatial_entropy},
         {"entropy", head.entropy},
         {"change", head.change},
         {"votes", head.votes},
         {"chosen", head.chosen},
         {"discarded", head.discarded.empty() ? nlohmann::json(nullptr) : nlohmann::json(head.discarded)}});
  }
  return json;
}

void print(const HeadsResult& result) {
  size_t width = 4;
  for (const MeasuredHead& head : result.heads) width = std::max(width, printable(head.site).size());
  const int column = static_cast<int>(width);
  std::printf("  %-*s  head   share  spatial  entropy  change  votes\n", column, "site");
  int64_t others = 0;
  for (const MeasuredHead& head : result.heads) {
    if (!head.chosen && ++others > kListed) continue;
    std::printf("%s %-*s  %4lld  %5.1f %%  %7.2f  %7.2f  %6.2f  %5lld  %s\n", head.chosen ? "*" : " ", column,
                printable(head.site).c_str(), static_cast<long long>(head.head), 100 * head.share, head.spatial_entropy,
                head.entropy, head.change, static_cast<long long>(head.votes), head.discarded.c_str());
  }
  if (others > kListed) std::printf("  ... %lld more; --json has them all\n", static_cast<long long>(others - kListed));
  std::printf(
      "\n%lld heads on %lld rows of %lld answers in %.1f s. Discarded: share below %.1f %%, entropy above %.2f, change "
      "below %.2f. * chosen\n",
      static_cast<long long>(result.heads.size()), static_cast<long long>(result.rows),
      static_cast<long long>(result.samples), result.seconds, 100 * result.least_share, result.most_entropy,
      result.least_change);
}

}  // namespace

int heads(const HeadsArguments& arguments) {
  if (!arguments.picture.empty()) expect_pictures();
  const std::string path = arguments.profile.empty() ? profile_beside(arguments.model) : arguments.profile;
  if (path.empty())
    throw Refusal(
        "--profile: expected a profile, whose geometry says what the picture's keys are, got none, and no profile.json "
        "beside the model. `gaze probe` makes one.");
  const Profile profile = read_profile(path);
  const at::Device device = parse_device(arguments.device);
  Model model(arguments.model, device);
  const bool loops = !arguments.loop.methods.empty();
  const std::string method = loops ? arguments.loop.first_method() : arguments.method;
  std::vector<std::unique_ptr<Call>> calls;
  std::vector<std::vector<c10::IValue>> inputs;
  for (const std::string& file : arguments.inputs) {
    calls.push_back(std::make_unique<Call>(model, method, file, device));
    inputs.push_back(calls.back()->arguments());
    if (loops) {
      LoopSettings loop = arguments.loop;
      if (loop.eos < 0) loop.eos = profile.eos;
      calls.back()->drive(std::move(loop));
    }
  }
  HeadsOptions options;
  options.top = arguments.top;
  if (loops) options.drive = [&](size_t input) { calls[input]->run(); };
  auto progress = std::make_unique<Progress>("heads", "inputs");
  options.progress = [&](int64_t done, int64_t all, double) { progress->show(done, all); };
  HeadsResult result;
  try {
    result = find_heads(model.module(), method, profile, inputs, options);
  } catch (const Error&) {
    throw;
  } catch (const std::exception&) {
    for (const auto& call : calls) call->run();  // where the model itself throws, this says it better
    throw;
  }
  progress.reset();
  if (arguments.json) {
    std::printf("%s\n", report(result).dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    print(result);
  }
  if (!arguments.picture.empty()) write_heads_picture(arguments.picture, result);
  const std::vector<SiteHeads> selected = selected_heads(result);
  if (!arguments.out.empty()) {
    write_selected_heads(path, selected, arguments.out);
    if (!arguments.json) std::printf("profile   %s\n", printable(arguments.out).c_str());
  }
  return 0;
}

}  // namespace gaze::cli
