// SPDX-License-Identifier: MIT
// gaze: attention overlays from the command line. Exit 0: done; 1: refused, with the reason on stderr; 2: wrong usage.
#include <CLI/CLI.hpp>

#include <gaze/ops/api.hpp>
#include <gaze/render/bundle.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bundle_verbs.hpp"
#include "console.hpp"
#include "ledger_verbs.hpp"
#include "operate_verbs.hpp"
#include "script.hpp"
#include "verbs.hpp"

namespace {

constexpr int kRefused = 1;
constexpr int kUsage = 2;

void add_device(CLI::App& verb, std::string& device) {
  verb.add_option("--device", device, "Where the model runs: cpu, cuda or cuda:N")
      ->type_name("D")
      ->capture_default_str();
}

/// Loaded when the verb begins, before its model.
using OpLibraries = std::shared_ptr<std::vector<std::string>>;

OpLibraries add_op_libraries(CLI::App& verb) {
  auto libraries = std::make_shared<std::vector<std::string>>();
  verb.add_option("--op-library", *libraries,
                  "A shared library that registers operators the model calls (torchvision's, your own); repeatable")
      ->type_name("FILE.so")
      ->allow_extra_args(false)
      ->take_all();
  return libraries;
}

void load(const std::vector<std::string>& libraries) {
  for (const std::string& library : libraries) gaze::cli::load_op_library(library);
}

std::function<int()> add_demo(CLI::App& app) {
  auto arguments = std::make_shared<gaze::cli::DemoArguments>();
  CLI::App* verb =
      app.add_subcommand("demo", "Ask the sample model about the shipped photographs and draw where it looked");
  verb->add_option("--out", arguments->out_dir, "Folder for the overlays (default: GAZE_OUT_DIR, else ./overlays)")
      ->type_name("DIR");
  verb->add_option("--data", arguments->data_dir,
                   "Folder that holds models/ and data/ (default: what came with this program)")
      ->type_name("DIR");
  CLI::Option* speech = verb->add_flag("--speech", arguments->speech,
                                       "The speech sample instead: recordings, and when each word of them was heard");
  verb->add_option("--audio", arguments->audio,
                   "Recordings of your own instead of the shipped ones: WAV, FLAC, OGG, MP3, any rate and length. The\n"
                   "sample knows 45 words of synthetic voices, so expect it to mishear people")
      ->type_name("FILE")
      ->needs(speech);
  add_device(*verb, arguments->device);
  verb->footer(
      "Prints, for each question: what was asked, what the model answered, the truth, and the folder with the\n"
      "overlays. Open report.html in it: point at a word of the answer to see where the model looked for it.");
  return [arguments, verb] {
    if (!verb->parsed()) return -1;
    return arguments->speech ? gaze::cli::demo_speech(*arguments) : gaze::cli::demo(*arguments);
  };
}

std::function<int()> add_sites(CLI::App& app) {
  auto arguments = std::make_shared<gaze::cli::SitesArguments>();
  CLI::App* verb = app.add_subcommand("sites", "Show every attention call of a TorchScript model");
  verb->add_option("MODEL.pt", arguments->model, "A file that torch.jit.save wrote")->required();
  verb->add_option("--out", arguments->out, "Write a profile of the proposed sites, to add a geometry to")
      ->type_name("PROFILE");
  verb->add_flag("--json", arguments->json, "Print JSON");
  const OpLibraries libraries = add_op_libraries(*verb);
  verb->footer(
      "Start here with a model of your own: the names are what a profile's sites.match selects. The model is read,\n"
      "not run.");
  return [arguments, libraries, verb] {
    if (!verb->parsed()) return -1;
    load(*libraries);
    return gaze::cli::sites(*arguments);
  };
}

/// Which rows of the attention calls are the answer's tokens.
void add_rows(CLI::App& verb, gaze::cli::RunArguments& arguments) {
  verb.add_option("--rows", arguments.rows,
                  "Which rows of every attention call are tokens: last, first (a class token's), all (learned\n"
                  "queries), or A-B, counted from 0. Default: the profile's, else found: the prompt's last row, then\n"
                  "the last of every call")
      ->type_name("WHICH")
      ->check([](const std::string& text) {
        return gaze::parse_token_rows(text) ? std::string() : "expected last, first, all or A-B, got " + text;
      });
  verb.add_option("--calls-per-token", arguments.calls_per_token,
                  "Calls of one site that make one token: of a block that runs several times")
      ->type_name("N")
      ->check(CLI::Range(1, 256));
  verb.add_option("--passes", arguments.passes,
                  "Passes that take turns for every token, as with a picture and without one; N:K keeps pass K, from 0")
      ->type_name("N[:K]");
  verb.add_option("--prompt-tokens", arguments.prompt_tokens,
                  "The first call holds a prompt of N tokens and the answer behind it (teacher forcing)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000'000));
}

/// A host's loop instead of one method.
void add_loop(CLI::App& verb, gaze::cli::LoopSettings& loop) {
  CLI::Option* generate =
      verb.add_option(
              "--generate", loop.methods,
              "Decode greedily, as a host would: ENCODE,DECODE, of which --inputs holds the arguments of the\n"
              "first, or one method that takes all. DECODE takes tokens [batch, n], what was encoded and, where\n"
              "it has one, a cache (then only new tokens), and returns logits, or logits and the cache. Prints\n"
              "the answer")
          ->type_name("METHODS")
          ->excludes("--method");
  verb.add_option("--bos", loop.bos, "Ids that decoding begins with, with commas (default: those among the inputs)")
      ->type_name("IDS")
      ->delimiter(',')
      ->needs(generate);
  verb.add_option("--eos", loop.eos, "Id that ends an answer (default: the profile's)")
      ->type_name("ID")
      ->needs(generate);
  verb.add_option("--max", loop.most, "Tokens of an answer at most")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str()
      ->needs(generate);
}

std::function<int()> add_run(CLI::App& app) {
  auto arguments = std::make_shared<gaze::cli::RunArguments>();
  CLI::App* verb =
      app.add_subcommand("run", "Run one method of a model under capture; write overlays, exact weights, or both");
  verb->add_option("MODEL.pt", arguments->model, "A file that torch.jit.save wrote")->required();
  verb->add_option("--inputs", arguments->inputs,
                   "The method's arguments, written by Python's torch.save: a tuple or list in order, a dict by\n"
                   "name, or one tensor. Tensors, numbers, booleans, None, and lists of them. Not needed where\n"
                   "--generate names one method and --text has the prompt's ids")
      ->type_name("FILE");
  verb->callback([arguments] {
    const bool prompted = arguments->texts.size() == 1 && !arguments->loop.methods.empty() &&
                          arguments->loop.methods.find(',') == std::string::npos;
    if (arguments->inputs.empty() && !prompted) throw CLI::RequiredError("--inputs");
  });
  verb->add_option("--method", arguments->method, "The method to call")->type_name("M")->capture_default_str();
  verb->add_option(
          "--image", arguments->images,
          "The original picture, to draw on; once per row of the batch. Default: the model's own input, where the\n"
          "profile says which argument that is")
      ->type_name("PIC")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_option(
          "--audio", arguments->audio,
          "The original recording, to draw on; once per row of the batch. Default: the model's own input, where the\n"
          "profile says which argument that is")
      ->type_name("FILE")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_option("--text", arguments->texts,
                   "The prompt as JSON: its ids or tokens, and its sources, to see which of them the answer rests on\n"
                   "(docs/text.md); once per row of the batch. Default: the ids that the profile's text.argument names")
      ->type_name("FILE")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_option("--word-files", arguments->word_files,
                   "For sounds, also write the words' times for other programs: any of vtt,srt,textgrid (default:\n"
                   "GAZE_WORD_FILES)")
      ->type_name("KINDS")
      ->check([](const std::string& kinds) {
        return gaze::parse_word_files(kinds) ? std::string() : "expected any of vtt,srt,textgrid, got " + kinds;
      });
  verb->add_flag("--align-to-energy", arguments->align_to_energy,
                 "For sounds, move the words' marks to where the sound itself rises and falls nearby");
  verb->add_option("--profile", arguments->profile,
                   "Which sites, which keys, which grid (default: GAZE_PROFILE, else profile.json beside the model)")
      ->type_name("P");
  verb->add_option(
          "--labels", arguments->labels,
          "The answer's tokens, one text per line (default: the profile's vocabulary, when the method returns ids)")
      ->type_name("FILE");
  add_rows(*verb, *arguments);
  add_loop(*verb, arguments->loop);
  verb->add_option("--out", arguments->out_dir, "Folder for the overlays (default: GAZE_OUT_DIR, else ./overlays)")
      ->type_name("DIR");
  verb->add_option(
          "--weights", arguments->weights,
          "Also write every attention call's exact weights, float32 [batch, heads, queries, keys], to this\n"
          "safetensors file: key <site>, or <site>#<call> for a site that ran several times. Needs no profile.\n"
          "The method runs twice without capture first: the result must stay byte for byte the same. With a profile "
          "it\n"
          "runs once more for the overlays")
      ->type_name("FILE");
  add_device(*verb, arguments->device);
  const OpLibraries libraries = add_op_libraries(*verb);
  verb->footer(
      "Example:\n"
      "  python3 -c \"import torch; torch.save((image, prompt, 11), 'inputs.pt')\"\n"
      "  gaze run model.pt --inputs inputs.pt --method generate --image photo.jpg");
  return [arguments, libraries, verb] {
    if (!verb->parsed()) return -1;
    load(*libraries);
    return gaze::cli::run(*arguments);
  };
}

/// One of the flags that name the argument, at least `least` of them, and what belongs to it.
void add_media(CLI::App& verb, gaze::cli::ProbeArguments& arguments, int least) {
  using gaze::ProbeMedium;
  gaze::ProbeOptions& options = arguments.options;
  CLI::Option_group* media = verb.add_option_group("input", "What is probed: one of");
  const auto medium = [&](const std::string& flag, ProbeMedium kind, const std::string& text) {
    return media
        ->add_option_function<int64_t>(
            flag,
            [&arguments, kind](int64_t argument) {
              arguments.argument = argument;
              arguments.options.medium = kind;
            },
            text)
        ->type_name("N");
  };
  medium("--image-arg", ProbeMedium::Picture,
         "Which argument is the picture, counted from 0: floating point [batch, channels, height, width], or a\n"
         "spectrogram that the model reads as one, [batch, height, width]");
  CLI::Option* tiles =
      medium("--tiles-arg", ProbeMedium::Tiles, "A picture cut into tiles: [batch, tiles, channels, height, width]");
  medium("--video-arg", ProbeMedium::Video, "Frames: [batch, frames, channels, height, width]");
  CLI::Option* patches =
      medium("--patches-arg", ProbeMedium::Patches,
             "A list of patches: [patches, values] or [batch, patches, values]; with --patch-grid, or each beginning\n"
             "with its row and column");
  CLI::Option* sound =
      medium("--audio-arg", ProbeMedium::Sound, "A waveform [batch, samples], or a spectrogram [batch, bins, frames]");
  media->require_option(least, 1);
  verb.add_option_function<std::vector<int64_t>>(
          "--tiles",
          [&options](const std::vector<int64_t>& n) {
            options.tiles.rows = n[0];
            options.tiles.cols = n[1];
          },
          "How the tiles lie, where the keys do not tell")
      ->type_name("ROWS COLS")
      ->expected(2)
      ->check(CLI::Range(1, 4096))
      ->needs(tiles);
  verb.add_option_function<std::string>(
          "--thumbnail", [&options](const std::string& at) { options.tiles.thumbnail_first = at == "first"; },
          "One tile more is the whole picture: before the others, or behind them")
      ->check(CLI::IsMember({"first", "last"}))
      ->needs(tiles);
  verb.add_option_function<std::vector<int64_t>>(
          "--patch-grid",
          [&options](const std::vector<int64_t>& n) {
            options.patches.frames = n[0];
            options.patches.rows = n[1];
            options.patches.cols = n[2];
          },
          "The grid that the patches are listed in, as in grid_thw")
      ->type_name("FRAMES ROWS COLS")
      ->expected(3)
      ->check(CLI::Range(1, 65536))
      ->needs(patches);
  verb.add_option("--patch-merge", options.patches.merge,
                  "Patches are listed in groups of M x M, which are merged later (2 in Qwen2-VL)")
      ->type_name("M")
      ->check(CLI::Range(1, 64))
      ->needs(patches);
  verb.add_option_function<double>(
          "--sample-rate", [&options](double hz) { options.seconds_per_step = 1 / hz; }, "Of a waveform")
      ->type_name("HZ")
      ->check(CLI::PositiveNumber)
      ->needs(sound);
  verb.add_option("--hop-seconds", options.seconds_per_step, "Of a spectrogram: from one frame to the next")
      ->type_name("S")
      ->check(CLI::PositiveNumber)
      ->needs(sound)
      ->excludes("--sample-rate");
  verb.add_flag("--time-first", options.time_first, "The spectrogram is [batch, frames, bins]")->needs(sound);
}

std::function<int()> add_probe(CLI::App& app) {
  auto arguments = std::make_shared<gaze::cli::ProbeArguments>();
  CLI::App* verb = app.add_subcommand(
      "probe", "Measure which keys stand for which part of a picture or a sound; write or verify a profile");
  verb->add_option("MODEL.pt", arguments->model, "A file that torch.jit.save wrote")->required();
  verb->add_option("--inputs", arguments->inputs, "The method's arguments, as for gaze run")
      ->type_name("FILE")
      ->required();
  add_media(*verb, *arguments, 1);
  verb->add_option("--method", arguments->method, "The method to call")->type_name("M")->capture_default_str();
  verb->add_option("--profile", arguments->profile,
                   "Verify this profile's geometry instead. Exit 0: verified; 1: it differs")
      ->type_name("P");
  verb->add_option("--out", arguments->out, "Write a profile that gaze run accepts")->type_name("PROFILE");
  verb->add_option("--picture", arguments->picture,
                   "Draw the picture argument with the cells that were found and the centres of their keys")
      ->type_name("FILE.png");
  verb->add_option("--bands", arguments->options.bands,
                   "Most strips per axis. A cell should be three strips wide or more; each strip is a run")
      ->type_name("B")
      ->check(CLI::Range(2, 4096))
      ->capture_default_str();
  add_device(*verb, arguments->device);
  verb->add_flag("--json", arguments->json, "Print JSON");
  const OpLibraries libraries = add_op_libraries(*verb);
  verb->footer(
      "Changes the input strip by strip, in its own structure, and watches which keys of each attention site change\n"
      "most. The method runs twice, and once more per strip.\n"
      "Example:\n"
      "  gaze probe model.pt --inputs inputs.pt --image-arg 0 --out profile.json");
  return [arguments, libraries, verb] {
    if (!verb->parsed()) return -1;
    load(*libraries);
    return gaze::cli::probe(*arguments);
  };
}

std::function<int()> add_init(CLI::App& app) {
  auto arguments = std::make_shared<gaze::cli::InitArguments>();
  gaze::cli::ProbeArguments& probe = arguments->probe;
  CLI::App* verb =
      app.add_subcommand("init", "From a model and its inputs to a profile and a host, in one go: sites, probe, files");
  verb->add_option("MODEL.pt", probe.model, "A file that torch.jit.save wrote")->required();
  verb->add_option("--inputs", probe.inputs, "The method's arguments, as for gaze run")->type_name("FILE")->required();
  add_media(*verb, probe, 0);
  verb->add_option("--method", probe.method, "The method to call")->type_name("M")->capture_default_str();
  verb->add_option("--bands", probe.options.bands, "Most strips per axis, as for gaze probe")
      ->type_name("B")
      ->check(CLI::Range(2, 4096))
      ->capture_default_str();
  verb->add_option("--out", arguments->out_dir, "Folder for profile.json, host.cpp and CMakeLists.txt")
      ->type_name("DIR")
      ->capture_default_str();
  add_device(*verb, probe.device);
  const OpLibraries libraries = add_op_libraries(*verb);
  verb->footer(
      "The only picture among the inputs is probed, unless a flag names the argument. A host.cpp that is there stays.\n"
      "Example:\n"
      "  gaze init model.pt --inputs inputs.pt --out first");
  return [arguments, libraries, verb] {
    if (!verb->parsed()) return -1;
    load(*libraries);
    for (const char* flag : {"--image-arg", "--tiles-arg", "--video-arg", "--patches-arg", "--audio-arg"})
      arguments->names_argument = arguments->names_argument || verb->get_option(flag)->count() > 0;
    return gaze::cli::init(*arguments);
  };
}

std::function<int()> add_heads(CLI::App& app) {
  auto arguments = std::make_shared<gaze::cli::HeadsArguments>();
  CLI::App* verb =
      app.add_subcommand("heads", "Find the few heads that point at what an answer is about; write a profile");
  verb->add_option("MODEL.pt", arguments->model, "A file that torch.jit.save wrote")->required();
  verb->add_option("--inputs", arguments->inputs,
                   "The method's arguments, as for gaze run; one file for each run. Different pictures and questions,\n"
                   "ten or more; no labels are needed")
      ->type_name("FILE")
      ->required();
  verb->add_option("--method", arguments->method, "The method to call")->type_name("M")->capture_default_str();
  add_loop(*verb, arguments->loop);
  verb->add_option("--profile", arguments->profile,
                   "Which sites to look at, and which keys are the picture (default: profile.json beside the model)")
      ->type_name("P");
  verb->add_option("--top", arguments->top, "Most heads to choose")
      ->type_name("N")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  verb->add_option("--out", arguments->out, "Write the profile with the chosen heads")->type_name("PROFILE");
  verb->add_option("--picture", arguments->picture, "Draw the mean maps of the best heads")->type_name("FILE.png");
  add_device(*verb, arguments->device);
  verb->add_flag("--json", arguments->json, "Print JSON");
  const OpLibraries libraries = add_op_libraries(*verb);
  verb->footer(
      "Runs the method once for each file and measures every head of the profile's sites. Exit 1 when no head points.\n"
      "Example:\n"
      "  gaze heads model.pt --inputs a.pt b.pt c.pt --method generate --profile profile.json --out heads.json");
  return [arguments, libraries, verb] {
    if (!verb->parsed()) return -1;
    load(*libraries);
    return gaze::cli::heads(*arguments);
  };
}

std::function<int()> add_ground(CLI::App& app) {
  auto arguments = std::make_shared<gaze::cli::GroundArguments>();
  CLI::App* verb = app.add_subcommand(
      "ground", "Measure the limits by which words are called grounded or not; write a profile with them");
  verb->add_option("MODEL.pt", arguments->model, "A file that torch.jit.save wrote")->required();
  verb->add_option(
          "--inputs", arguments->inputs,
          "The method's arguments, as for gaze run, of one answer each; one file for each run. Twenty or more\n"
          "that the model answers well; no labels are needed")
      ->type_name("FILE")
      ->required();
  verb->add_option("--method", arguments->method, "The method to call")->type_name("M")->capture_default_str();
  add_loop(*verb, arguments->loop);
  verb->add_option("--profile", arguments->profile,
                   "The profile that the limits are for (default: profile.json beside the model)")
      ->type_name("P");
  verb->add_option("--out", arguments->out, "Write the profile with the limits")->type_name("PROFILE");
  add_device(*verb, arguments->device);
  verb->add_flag("--json", arguments->json, "Print JSON");
  const OpLibraries libraries = add_op_libraries(*verb);
  verb->footer(
      "Runs the method three times for each file: as it is, with a picture or sound of one value, and with one whose\n"
      "spectrum has random phases. Exit 1 when attention cannot tell these from those.\n"
      "Example:\n"
      "  gaze ground model.pt --inputs in*.pt --method generate --out profile.json");
  return [arguments, libraries, verb] {
    if (!verb->parsed()) return -1;
    load(*libraries);
    return gaze::cli::ground(*arguments);
  };
}

std::function<int()> add_evaluate(CLI::App& app) {
  auto arguments = std::make_shared<gaze::cli::EvaluateArguments>();
  CLI::App* verb = app.add_subcommand("evaluate", "Measure the sample model: exact answers and the pointing game");
  verb->add_flag("--speech", arguments->speech,
                 "The speech sample: word errors, and how well each word's overlay and marks lie in time");
  verb->add_flag("--align-to-energy", arguments->align_to_energy,
                 "With --speech: move the words' marks to where the sound itself rises and falls nearby");
  verb->add_flag("--grounding", arguments->grounding,
                 "How well the verdicts tell right answers from answers to inputs that show nothing");
  verb->add_flag("--sources", arguments->sources,
                 "The retrieval reader: exact answers, and whether the passage with the largest mass holds the fact")
      ->excludes("--speech")
      ->excludes("--grounding");
  verb->add_option("--scenes,--recordings,--questions", arguments->scenes,
                   "How many scenes, or recordings with --speech")
      ->type_name("N")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  verb->add_option("--seed", arguments->seed, "Seed of the first scene")
      ->type_name("S")
      ->check(CLI::Range(0, 1000000000))
      ->capture_default_str();
  verb->add_option("--model", arguments->model,
                   "A stickers model with its profile.json beside it (default: the shipped one); with --grounding the "
                   "captioner too")
      ->type_name("FILE");
  add_device(*verb, arguments->device);
  verb->add_flag("--json", arguments->json, "Print JSON");
  verb->footer(
      "Scenes are composed from digits and photographs that training never saw. The pointing game asks whether the\n"
      "hottest pixel of a word's overlay lies on that word's sticker, at most half a cell beside it.");
  return [arguments, verb] {
    if (!verb->parsed()) return -1;
    if (arguments->sources) return gaze::cli::evaluate_sources(*arguments);
    if (arguments->grounding) {
      return arguments->speech ? gaze::cli::evaluate_speech_grounding(*arguments)
                               : gaze::cli::evaluate_grounding(*arguments);
    }
    return arguments->speech ? gaze::cli::evaluate_speech(*arguments) : gaze::cli::evaluate(*arguments);
  };
}

/// Names of the verbs, or of a verb's flags.
std::vector<std::string> names_in(const CLI::App& app, bool flags) {
  std::vector<std::string> names;
  if (flags) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    // A group of flags of which one is given is a nameless verb.
    for (const CLI::App* group : app.get_subcommands({})) {
      const std::vector<std::string> more = names_in(*group, true);
      names.insert(names.end(), more.begin(), more.end());
    }
    return names;
  }
  for (const CLI::App* verb : app.get_subcommands({})) names.push_back(verb->get_name());
  return names;
}

/// Says of a word that no verb and no flag is which one it may have been meant to be. False: the trouble is another.
bool said_what_was_meant(const CLI::App& app, int argc, char** argv) {
  if (argc < 2) return false;
  const std::vector<std::string> verbs = names_in(app, false);
  const std::string first = argv[1];
  const auto say = [](const std::string& expected, const std::string& got, const std::string& meant,
                      const std::string& help) {
    std::fprintf(stderr, "gaze: expected %s, got %s.%s %s\n", expected.c_str(), gaze::cli::printable(got).c_str(),
                 meant.empty() ? "" : (" Did you mean " + meant + "?").c_str(), help.c_str());
    return true;
  };
  if (std::find(verbs.begin(), verbs.end(), first) == verbs.end()) {
    if (first.starts_with("-")) return false;
    std::string all;
    for (const std::string& verb : verbs) all += (all.empty() ? "" : ", ") + verb;
    return say("a verb (" + all + ")", first, gaze::cli::nearest(first, verbs), "`gaze --help` explains them.");
  }
  const std::vector<std::string> flags = names_in(*app.get_subcommand(first), true);
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i], flag = word.substr(0, word.find('='));
    if (!flag.starts_with("--") || flag == "--" || std::find(flags.begin(), flags.end(), flag) != flags.end()) continue;
    return say("a flag of gaze " + first, flag, gaze::cli::nearest(flag, flags),
               "`gaze " + first + " --help` lists them.");
  }
  return false;
}

std::function<int()> add_preload(CLI::App& app) {
  auto arguments = std::make_shared<gaze::cli::PreloadArguments>();
  CLI::App* verb =
      app.add_subcommand("preload", "Start a program so that every TorchScript model it loads is attached");
  verb->add_option("COMMAND", arguments->command, "The program and its arguments, behind --")->required();
  verb->footer(
      "gaze preload -- COMMAND... sets LD_PRELOAD, GAZE_CAPTURE=1 and, where it is not set, GAZE_LOG=info, and "
      "becomes\n"
      "the program. GAZE_PROFILE says what to draw; docs/hosts.md what such a program must be like.");
  return [arguments, verb] { return verb->parsed() ? gaze::cli::preload(*arguments) : -1; };
}

int dispatch(int argc, char** argv) {
  CLI::App app("Shows where a TorchScript model looked while it answered. Overlays are evidence, not proof.", "gaze");
  app.set_version_flag("--version", "gaze " GAZE_VERSION);
  app.require_subcommand(1);
  app.footer("gaze VERB --help explains a verb. First time: gaze demo");
  std::vector<std::function<int()>> verbs = {add_demo(app),   add_init(app),     add_sites(app),
                                             add_run(app),    add_probe(app),    add_heads(app),
                                             add_ground(app), add_evaluate(app), add_preload(app)};
  for (auto& verb : gaze::cli::add_bundle_verbs(app)) verbs.push_back(std::move(verb));
  for (auto& verb : gaze::cli::add_ledger_verbs(app)) verbs.push_back(std::move(verb));
  for (auto& verb : gaze::cli::add_operate_verbs(app)) verbs.push_back(std::move(verb));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0 && said_what_was_meant(app, argc, argv)) return kUsage;
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  for (const auto& verb : verbs) {
    if (const int status = verb(); status >= 0) return status;
  }
  return kUsage;
}

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int status = dispatch(argc, argv);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      std::fputs("gaze: standard output: expected to be writable, got an error. Is the disk full?\n", stderr);
      return kRefused;
    }
    return status;
  } catch (const std::exception& error) {
    std::fflush(stdout);
    const auto* own = dynamic_cast<const gaze::Error*>(&error);
    const bool ours = own != nullptr || dynamic_cast<const gaze::cli::Refusal*>(&error) != nullptr;
    const std::string text = ours ? one_line(error.what()) : gaze::cli::brief(error.what());
    std::fprintf(stderr, "gaze: %s\n", gaze::cli::printable(text).c_str());
    return kRefused;
  }
}
