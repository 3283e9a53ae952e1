// SPDX-License-Identifier: MIT
#include "file_guess.hpp"

#include <caffe2/serialize/inline_container.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "pickle_stream.hpp"

namespace gaze::cli {
namespace {

using namespace std::string_view_literals;
namespace fs = std::filesystem;

constexpr const char
    *kScript = "Make one where the module is: torch.jit.script(model.eval()).save(\"model.pt\").",
    *kTrace = "Make one where the module is: torch.jit.trace(model.eval(), example_inputs).save(\"model.pt\").",
    *kSaved = "Write the arguments with torch.save((image, tokens), \"inputs.pt\").",
    *kPlainDict = "Save a plain dict of tensors: torch.save(dict(inputs), \"inputs.pt\").",
    *kFromNumpy = "Save tensors: torch.save({k: torch.as_tensor(v) for k, v in inputs.items()}, \"inputs.pt\").",
    *kLfs = "Fetch the file itself: git lfs pull.";

std::string head_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string head(512, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
  return head;
}

struct Magic {
  size_t at;
  std::string_view bytes;
  FileGuess guess;
};

const std::vector<Magic>& magics() {
  static const std::vector<Magic> all = {
      {0, "version https://git-lfs"sv, {"a Git LFS pointer, not the file itself", kLfs, kLfs}},
      {0,
       "\x93NUMPY"sv,
       {"a NumPy array", "", "Save a tensor: torch.save(torch.from_numpy(numpy.load(FILE)), \"inputs.pt\")."}},
      {0,
       "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv,
       {"what torch.save wrote in its old format", kScript,
        "Write it anew: torch.save(torch.load(FILE), \"inputs.pt\"), without _use_new_zipfile_serialization=False."}},
      {0, "\x80"sv, {"a plain pickle", kScript, kSaved}},
      {0, "GGUF"sv, {"a GGUF file of llama.cpp", kTrace, ""}},
      {0, "\x89HDF\r\n"sv, {"an HDF5 file (Keras weights)", kTrace, ""}},
      {4, "TFL3"sv, {"a TensorFlow Lite model", kTrace, ""}},
      {257, "ustar"sv, {"a tar archive", kScript, kSaved}},
      {0, "\x1F\x8B"sv, {"a gzip archive", "Unpack it first: gunzip FILE.", "Unpack it first: gunzip FILE."}},
      {0,
       "\x89PNG"sv,
       {"a picture", "",
        "Save what the processor makes of it: torch.save((image, tokens), \"inputs.pt\"). The picture itself goes to "
        "--image."}},
      {0,
       "\xFF\xD8\xFF"sv,
       {"a picture", "",
        "Save what the processor makes of it: torch.save((image, tokens), \"inputs.pt\"). The picture itself goes to "
        "--image."}},
      {0,
       "RIFF"sv,
       {"a recording or a picture", "",
        "Save what the processor makes of it: torch.save((samples, tokens), \"inputs.pt\"). The file itself goes to "
        "--audio or --image."}},
      {0,
       "\x7F"
       "ELF"sv,
       {"a program or a library", "A library of operators goes to --op-library.", ""}},
  };
  return all;
}

bool is_safetensors(const std::string& head) {
  return head.size() > 9 && head[8] == '{' &&
         std::string_view(head).substr(2, 6) == std::string_view("\0\0\0\0\0\0", 6);
}

// CTranslate2: the version of its format, then the length and name of a "...Spec".
bool is_ctranslate2(const std::string& head) {
  return head.size() > 40 && head[1] == 0 && head[2] == 0 && head.substr(6, 60).find("Spec") != std::string::npos;
}

// Protocol buffers: ir_version, a small number, then the producer's name or further fields.
bool is_onnx(const std::string& path, const std::string& head) {
  return fs::path(path).extension() == ".onnx" ||
         (head.size() > 4 && head[0] == 8 && head[1] > 2 && head[1] < 20 && head[2] == 0x12);
}

bool is_text(const std::string& head) {
  return std::all_of(head.begin(), head.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\r' || c == '\t';
  });
}

FileGuess guess_folder(const std::string& path) {
  const auto has = [&](const char* name) {
    std::error_code failed;
    return fs::exists(fs::path(path) / name, failed);
  };
  if (has("model.bin") && (has("vocabulary.json") || has("vocabulary.txt") || has("shared_vocabulary.json")))
    return {"a folder with a CTranslate2 model, which is no TorchScript", kTrace, ""};
  if (has("saved_model.pb")) return {"a folder with a TensorFlow SavedModel", kTrace, ""};
  if (has("config.json"))
    return {"a folder of Hugging Face's, whose weights need Python's module",
            "Load it there with torchscript=True and trace it: torch.jit.trace(model.eval(), "
            "example_inputs).save(\"model.pt\").",
            ""};
  return {"a folder", "Give the file in it that torch.jit.save wrote.", "Give the file in it that torch.save wrote."};
}

std::string record(caffe2::serialize::PyTorchStreamReader& reader, const std::string& name) {
  const auto [data, size] = reader.getRecord(name);
  return {static_cast<const char*>(data.get()), size};
}

FileGuess guess_pickle(const std::string& pickle) {
  const std::string foreign = foreign_class(pickle);
  const std::vector<std::string> names = named_in(pickle);
  if (foreign.starts_with("numpy")) return {"a file with NumPy arrays, saved by torch.save", kScript, kFromNumpy};
  if (foreign.starts_with("PIL."))
    return {"a file with PIL pictures, saved by torch.save", "",
            "Save the tensors that the processor makes of them: torch.save(dict(processor(...)), \"inputs.pt\"). The "
            "picture itself goes to --image."};
  if (foreign == "torch._utils._rebuild_sparse_tensor" || foreign == "torch.serialization._get_layout")
    return {"a file with sparse tensors", kScript, "Save them dense: tensor.to_dense()."};
  if (foreign.starts_with("transformers.") || foreign.starts_with("tokenizers."))
    return {"a file with an object of " + foreign, kScript, kPlainDict};
  if (!foreign.empty())
    return {"a pickled object of the class " + foreign + ", saved by torch.save",
            "It needs Python: load it there, and " + std::string("torch.jit.script(model.eval()).save(\"model.pt\")."),
            "Save tensors alone: torch.save((image, tokens), \"inputs.pt\")."};
  if (std::find(names.begin(), names.end(), "collections.OrderedDict") != names.end() &&
      pickle.find(".weight") != std::string::npos)
    return {"a state_dict, saved by torch.save: weights without a program",
            "Load them into the module, and save that: model.load_state_dict(torch.load(FILE)); "
            "torch.jit.script(model.eval()).save(\"model.pt\").",
            kSaved};
  return {
      kSavedValues,
      "That is for --inputs. A model is what torch.jit.save wrote: torch.jit.script(model.eval()).save(\"model.pt\").",
      kSaved};
}

FileGuess guess_archive(const std::string& path) {
  std::vector<std::string> records;
  try {
    caffe2::serialize::PyTorchStreamReader reader(path);
    records = reader.getAllRecords();
    const auto any = [&](std::string_view begin) {
      return std::any_of(records.begin(), records.end(),
                         [&](const std::string& name) { return name.starts_with(begin); });
    };
    if (any("code/")) return {kTorchScriptFile, "", "That is the model. " + std::string(kSaved)};
    if (any("archive_format") || any("models/") || any("serialized_exported_program"))
      return {"a package of torch.export, which holds no TorchScript", kTrace, kSaved};
    if (reader.hasRecord("data.pkl")) return guess_pickle(record(reader, "data.pkl"));
  } catch (const std::exception& error) {
    const std::string_view text = error.what();
    if (text.find("not in a subdirectory") != std::string_view::npos)
      return {"a ZIP archive of another kind (NumPy's .npz, say)", kScript, kFromNumpy};
    return {"a ZIP archive that is cut short or damaged",
            "Copy it again, or save it again: torch.jit.script(model.eval()).save(\"model.pt\").",
            "Copy it again, or save it again with torch.save."};
  }
  return {"a ZIP archive without TorchScript", kScript, kSaved};
}

}  // namespace

FileGuess guess_file(const std::string& path) {
  std::error_code failed;
  if (fs::is_directory(path, failed)) return guess_folder(path);
  const std::string head = head_of(path);
  if (head.empty())
    return {"an empty file", "Copy it again, or save it again: torch.jit.script(model.eval()).save(\"model.pt\").",
            "Copy it again, or save it again with torch.save."};
  if (head.starts_with("PK\x03\x04")) return guess_archive(path);
  for (const Magic& magic : magics()) {
    if (head.size() > magic.at && std::string_view(head).substr(magic.at).starts_with(magic.bytes)) return magic.guess;
  }
  if (is_safetensors(head))
    return {"a safetensors file: weights without a program",
            "Load them into the module, and save that: torch.jit.script(model.eval()).save(\"model.pt\").",
            "Read it in Python: torch.save(safetensors.torch.load_file(FILE), \"inputs.pt\")."};
  if (is_ctranslate2(head)) return {"a CTranslate2 model, which is no TorchScript", kTrace, ""};
  if (is_onnx(path, head)) return {"an ONNX model, which is no TorchScript", kTrace, ""};
  if (is_text(head)) return {"a text file", "", ""};
  return {};
}

bool is_optimised(const std::string& path) {
  try {
    caffe2::serialize::PyTorchStreamReader reader(path);
    for (const std::string& name : reader.getAllRecords()) {
      if (!name.starts_with("code/") || !name.ends_with(".py")) continue;
      const std::string code = record(reader, name);
      if (code.find("MKLDNN") != std::string::npos || code.find("mkldnn") != std::string::npos) return true;
    }
  } catch (const std::exception&) {  // then it is not known to be
  }
  return false;
}

}  // namespace gaze::cli
