// SPDX-License-Identifier: MIT
#include "bundle_verbs.hpp"

#include <CLI/CLI.hpp>

#include <memory>

namespace gaze::cli {
namespace {

std::function<int()> add_report(CLI::App& app) {
  auto arguments = std::make_shared<ReportArguments>();
  CLI::App* verb = app.add_subcommand("report", "Make a page of many answers, the worst grounded first");
  verb->add_option("DIR", arguments->directories,
                   "Directories with bundles, at any depth. Two are also compared, answer by answer, by request id")
      ->required();
  verb->add_option("--out", arguments->out,
                   "The page, or the folder of its index.html (default: the first DIR). Its rows lie beside it, in\n"
                   "<name>-data; pictures stay in the bundles. Run again it is brought up to date")
      ->type_name("FILE|DIR");
  verb->add_option("--table", arguments->table, "Also write CSV, a row for each word of each answer")
      ->type_name("FILE.csv");
  verb->add_option("--limit", arguments->limit, "Bundles at most: the newest")
      ->type_name("N")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  verb->footer(
      "Open the page in a browser: / searches, j and k or the arrows go from answer to answer, Enter opens one.\n"
      "A bundle that cannot be read is listed with the reason.");
  return [arguments, verb] { return verb->parsed() ? report(*arguments) : -1; };
}

std::function<int()> add_diff(CLI::App& app) {
  auto arguments = std::make_shared<DiffArguments>();
  CLI::App* verb = app.add_subcommand("diff", "Show what changed between two answers, and where attention moved");
  verb->add_option("A", arguments->a, "A bundle")->required();
  verb->add_option("B", arguments->b, "Another, of the same picture")->required();
  verb->add_option("--out", arguments->out, "The page, written where there is a difference")
      ->type_name("FILE.html")
      ->capture_default_str();
  verb->add_flag("--json", arguments->json, "Print JSON");
  verb->footer(
      "Prints the answers, words, verdicts, figures, model and profile that differ. The page draws B's attention less\n"
      "A's on the picture: orange where B looked more, blue where it looked less.");
  return [arguments, verb] { return verb->parsed() ? diff(*arguments) : -1; };
}

std::function<int()> add_drift(CLI::App& app) {
  auto arguments = std::make_shared<DriftArguments>();
  CLI::App* verb = app.add_subcommand("drift", "Tell whether attention over many answers is still as it was");
  verb->add_option("A", arguments->a, "A directory with bundles, at any depth, or a file that --save wrote")
      ->required();
  verb->add_option("B", arguments->b, "Likewise: what is compared with A");
  verb->add_option("--save", arguments->save, "Keep A's statistics, to compare with later")->type_name("FILE.json");
  verb->add_option("--html", arguments->html, "A page with the histograms of both")->type_name("FILE.html");
  verb->add_option("--limit", arguments->limit, "Bundles of a directory at most: the newest")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  verb->add_flag("--json", arguments->json, "Print JSON");
  verb->footer(
      "Prints for each model, and for mass, entropy, focus and lift, the population stability index, the distance of\n"
      "Kolmogorov and Smirnov with its chance, and a verdict. Ends with 3 where drift is major, else with 0.");
  return [arguments, verb] { return verb->parsed() ? drift(*arguments) : -1; };
}

std::function<int()> add_pack(CLI::App& app) {
  auto arguments = std::make_shared<PackArguments>();
  CLI::App* verb = app.add_subcommand("pack", "Make one page of an answer, below 1 MB, to mail");
  verb->add_option("BUNDLE", arguments->bundle, "A bundle with report.html")->required();
  verb->add_option("--out", arguments->out, "The page")->type_name("FILE.html")->required();
  verb->add_option("--redact", arguments->redact, "What to leave out: picture, prompt, or both with a comma")
      ->type_name("WHAT")
      ->delimiter(',')
      ->check(CLI::IsMember({"picture", "prompt"}));
  verb->footer(
      "Only what is named is left out. picture: what the model looked at or listened to; its maps lie on grey. "
      "prompt:\n"
      "also where the request id repeats it. The answer and the host's attributes stay.");
  return [arguments, verb] { return verb->parsed() ? pack(*arguments) : -1; };
}

std::function<int()> add_draw(CLI::App& app) {
  auto arguments = std::make_shared<DrawArguments>();
  CLI::App* verb = app.add_subcommand("draw", "Draw a bundle's pictures again: other colours, any size, all words");
  verb->add_option("BUNDLE", arguments->bundle, "A bundle with maps.safetensors")->required();
  verb->add_option("--out", arguments->out, "The folder to write: a bundle of its own")->capture_default_str();
  verb->add_option("--image", arguments->image,
                   "The original picture. Without it the one within report.html, which may be smaller")
      ->type_name("FILE");
  verb->add_option("--audio", arguments->audio,
                   "The original recording, with a bundle of a sound. Without it the one within report.html")
      ->type_name("FILE");
  CLI::Option* site =
      verb->add_option("--site", arguments->site, "One layer alone, as request.json names it (GAZE_DETAIL kept it)");
  site->type_name("NAME");
  verb->add_option("--head", arguments->head, "One head of that site")->type_name("N")->needs(site);
  verb->add_option("--pictures", arguments->pictures, "all, none, or any of overlay,words,sheet")->type_name("WHICH");
  verb->add_option("--colormap", arguments->colormap, "turbo, inferno, viridis, cividis or gray")->type_name("NAME");
  verb->add_option("--ground", arguments->ground, "What lies below the heat: the picture in grey, or its colours")
      ->check(CLI::IsMember({"grey", "colour"}));
  verb->add_option("--cells", arguments->cells, "How cells become pixels")->check(CLI::IsMember({"smooth", "exact"}));
  verb->add_flag("--own-range", arguments->own_range, "Each map from its own minimum to its own maximum");
  verb->add_flag("--raw", arguments->raw, "Without taking the mean of all words off");
  verb->add_option("--format", arguments->format, "Of the pictures")->check(CLI::IsMember({"jpeg", "png", "webp"}));
  verb->add_option("--longest-side", arguments->longest_side, "Pixels, or full: as large as the picture")
      ->type_name("N");
  verb->footer(
      "Everything is drawn from maps.safetensors, and with --site from detail.safetensors: no model is needed. "
      "Without\n"
      "--site heads and layers are what they were reduced to when they were captured.");
  return [arguments, verb] { return verb->parsed() ? draw(*arguments) : -1; };
}

}  // namespace

std::vector<std::function<int()>> add_bundle_verbs(CLI::App& app) {
  return {add_draw(app), add_report(app), add_diff(app), add_drift(app), add_pack(app)};
}

}  // namespace gaze::cli
