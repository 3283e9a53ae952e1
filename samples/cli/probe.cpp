// SPDX-License-Identifier: MIT
#include <ATen/core/Tensor.h>
#include <gaze/hooks/probe.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "console.hpp"
#include "probe_picture.hpp"
#include "profile_file.hpp"
#include "script.hpp"
#include "verbs.hpp"

namespace gaze::cli {
namespace {

nlohmann::ordered_json report(const ProbeResult& result) {
  nlohmann::ordered_json json = {{"method", result.method},
                                 {"argument", result.argument},
                                 {"width", result.width},
                                 {"height", result.height},
                                 {"parts", result.parts},
                                 {"unit", result.unit},
                                 {"strip", {result.strip_width, result.strip_height}},
                                 {"runs", result.runs},
                                 {"seconds", result.seconds},
                                 {"sites", nlohmann::json::array()}};
  for (const ProbedSite& site : result.sites) {
    nlohmann::ordered_json entry = {{"name", site.site.name},          {"proposed", site.site.proposed},
                                    {"keys", site.keys.size()},        {"responding", site.responding},
                                    {"local_share", site.local_share}, {"verdict", site.verdict}};
    if (site.geometry) entry["geometry"] = to_json(*site.geometry);
    for (const ProbedKey& key : site.keys) {
      nlohmann::ordered_json place;
      if (key.local && result.parts > 1) {
        place = {key.x, key.y, key.part};
      } else if (key.local) {
        place = {key.x, key.y};
      }
      entry["centres"].push_back(place);
    }
    json["sites"].push_back(std::move(entry));
  }
  return json;
}

void print(const ProbeResult& result) {
  size_t width = 0;
  for (const ProbedSite& site : result.sites) width = std::max(width, printable(site.site.name).size());
  for (const ProbedSite& site : result.sites) {
    std::printf("%s %-*s  %s\n", site.site.proposed ? "*" : " ", static_cast<int>(width),
                printable(site.site.name).c_str(), printable(site.verdict).c_str());
  }
  const std::string strips =
      result.medium == ProbeMedium::Sound
          ? std::to_string(result.strip_width) + " " + result.unit
          : std::to_string(result.strip_width) + " x " + std::to_string(result.strip_height) + " " + result.unit;
  std::printf("\n%lld runs of %s in %.1f s, strips of %s. * would make the overlay\n",
              static_cast<long long>(result.runs), result.method.c_str(), result.seconds, strips.c_str());
}

}  // namespace

int probe(const ProbeArguments& arguments) {
  if (!arguments.profile.empty() && !arguments.out.empty())
    throw Refusal("--out: expected without --profile, which verifies instead of measuring; got both. Give one.");
  if (!arguments.picture.empty()) expect_pictures();
  if (!arguments.picture.empty() && arguments.options.medium != ProbeMedium::Picture)
    throw Refusal("--picture: expected a single picture to draw on, got another kind of input. Leave the flag out.");
  const at::Device device = parse_device(arguments.device);
  Model model(arguments.model, device);
  Call call(model, arguments.method, arguments.inputs, device);
  Profile stated;
  if (!arguments.profile.empty()) stated = read_profile(arguments.profile);
  ProbeOptions options = arguments.options;
  auto progress = std::make_unique<Progress>("probe", "runs");
  options.progress = [&](int64_t done, int64_t runs, double) { progress->show(done, runs); };
  ProbeResult result;
  try {
    result = probe(model.module(), arguments.method, call.arguments(), arguments.argument, options);
  } catch (const Error&) {
    throw;
  } catch (const std::exception&) {
    call.run();  // where the model itself throws, this says it better
    throw;
  }
  progress.reset();

  std::vector<std::string> wrong;
  if (!arguments.profile.empty()) wrong = differences(result, stated);
  if (arguments.json) {
    nlohmann::ordered_json json = report(result);
    if (!arguments.profile.empty()) json["differences"] = wrong;
    std::printf("%s\n", json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    print(result);
    for (const std::string& each : wrong) std::printf("differs: %s\n", printable(each).c_str());
    if (!arguments.profile.empty() && wrong.empty())
      std::printf("verified: the geometry of %s\n", printable(arguments.profile).c_str());
  }
  if (!arguments.picture.empty()) {
    const at::Tensor input = call.tensor_argument(arguments.argument);
    const bool spectrogram = input.dim() == 3;
    write_probe_picture(arguments.picture, spectrogram ? input.narrow(0, 0, 1) : input.flatten(0, -4)[0], result);
  }
  if (!arguments.out.empty()) {
    write_profile(arguments.out, proposed_profile(result));
    if (!arguments.json)
      std::printf(
          "profile   %s%s\n", printable(arguments.out).c_str(),
          arguments.options.medium == ProbeMedium::Sound ? "" : " (not measured: geometry.fit, image.mean, image.std)");
  }
  return wrong.empty() ? 0 : 1;
}

}  // namespace gaze::cli
