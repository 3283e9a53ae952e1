"""Mistakes that newcomers make with the gaze program, and the sentence each of them gets: what was expected, what was found, what mends it.

Usage: mistakes_test.py --gaze PROGRAM --source DIR --op-library FILE.so --python PYTHON_WITH_TORCH
The rows that need torch to make their files are left out where --python is empty.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPT = 'torch.jit.script(model.eval()).save("model.pt")'
SAVE = 'Write the arguments with torch.save((image, tokens), "inputs.pt").'
FORWARD = "--inputs: expected the arguments of forward(image: Tensor, scale: float), got "
RUN = ["run", "model.pt", "--weights", "w", "--inputs"]
DRAW = ["run", "model.pt", "--inputs", "inputs.pt", "--profile", "p.json"]
# Words given to gaze, and what it says behind "gaze: ". "..." stands for any text.
PLAIN = [
    ([], "A subcommand is required..."),
    (["porbe"], "expected a verb (demo, init, sites, run, probe, heads, ground, evaluate, preload, draw, report, diff, drift, pack, verify, purge, forget, ctl), got porbe. Did you mean probe? `gaze --help` explains them."),
    (["qqqqqqqq"], "expected a verb (demo, init, sites, run, probe, heads, ground, evaluate, preload, draw, report, diff, drift, pack, verify, purge, forget, ctl), got qqqqqqqq. `gaze --help` explains them."),
    (["sites", "model.pt", "--jsno"], "expected a flag of gaze sites, got --jsno. Did you mean --json? `gaze sites --help` lists them."),
    (["run", "model.pt", "--input", "x.pt"], "expected a flag of gaze run, got --input. Did you mean --inputs? `gaze run --help` lists them."),
    (["drift", "gone", "folder"], "A: expected a folder of bundles, or a file of gaze drift --save, got gone, which is neither."),
    (["drift", "folder", "folder"], "A: expected bundles below folder, found none. GAZE_CAPTURE=1 makes a host write them."),
    (["drift", "text.pt", "folder"], "A: text.pt: expected JSON, got: ..."),
    (["drift", "folder"], "B: expected what to compare with, found none. With --save FILE A alone is counted and kept."),
    (["sites", "gone.pt"], f"model: expected a file, got gone.pt, which does not exist. Save it with {SCRIPT}."),
    (["sites", "empty.pt"], f"model: expected a TorchScript file, got empty.pt, which is an empty file. Copy it again, or save it again: {SCRIPT}."),
    (["sites", "lfs.pt"], "model: expected a TorchScript file, got lfs.pt, which is a Git LFS pointer, not the file itself. Fetch the file itself: git lfs pull."),
    (["sites", "text.pt"], f"model: expected a TorchScript file, got text.pt, which is a text file. Save it with {SCRIPT}."),
    (["sites", "model.safetensors"], f"model: expected a TorchScript file, got model.safetensors, which is a safetensors file: weights without a program. Load them into the module, and save that: {SCRIPT}."),
    (["sites", "model.onnx"], 'model: expected a TorchScript file, got model.onnx, which is an ONNX model, which is no TorchScript. Make one where the module is: torch.jit.trace(model.eval(), example_inputs).save("model.pt").'),
    (["sites", "model.gguf"], 'model: expected a TorchScript file, got model.gguf, which is a GGUF file of llama.cpp. Make one where the module is: ...'),
    (["sites", "model.bin"], 'model: expected a TorchScript file, got model.bin, which is a CTranslate2 model, which is no TorchScript. Make one where the module is: ...'),
    (["sites", "ct2"], 'model: expected a TorchScript file, got ct2, which is a folder with a CTranslate2 model, which is no TorchScript. Make one where the module is: ...'),
    (["sites", "hf"], "model: expected a TorchScript file, got hf, which is a folder of Hugging Face's, whose weights need Python's module. Load it there with torchscript=True and trace it: ..."),
    (["sites", "folder"], "model: expected a TorchScript file, got folder, which is a folder. Give the file in it that torch.jit.save wrote."),
    (["sites", "plain.pkl"], f"model: expected a TorchScript file, got plain.pkl, which is a plain pickle. Make one where the module is: {SCRIPT}."),
    (["sites", "cut.pt"], f"model: expected a TorchScript file, got cut.pt, which is a ZIP archive that is cut short or damaged. Copy it again, or save it again: {SCRIPT}."),
    (["sites", "MODEL", "--op-library", "gone.so"], "--op-library: expected a file, got .../gone.so, which does not exist. Give the library that registers the model's operators."),
    (["sites", "MODEL", "--op-library", "text.pt"], "--op-library: expected a library that registers operators, got text.pt, which cannot be loaded: ... Build it against this LibTorch (...)."),
]
LEDGER = [
    (["verify", "gone"], "DIR: expected a directory, got gone. Bundles lie where GAZE_OUT_DIR says."),
    (["verify", "folder", "--key", "gone.pem"], "key: file 'gone.pem': expected a readable file, got: No such file or directory. Correct the path."),
    (["verify", "folder", "--key", "text.pt"], "key: expected a file with an Ed25519 public key in PEM, got 'text.pt', which holds none. Make it of the private one: openssl pkey -in key.pem -pubout -out public.pem."),
    (["verify", "folder", "--jsn"], "expected a flag of gaze verify, got --jsn. Did you mean --json? `gaze verify --help` lists them."),
    (["purge", "gone", "--bytes", "1"], "DIR: expected a directory, got gone. Bundles lie where GAZE_OUT_DIR says."),
    (["purge", "folder"], "--older-than, --bytes or --free is required..."),
    (["purge", "folder", "--older-than", "7"], "--older-than: expected a time such as 90s, 15m, 12h or 7d, got 7..."),
    (["purge", "folder", "--bytes", "-1"], "--bytes: ..."),
    (["purge", "folder", "--free", "1", "--signing-key", "text.pt"], "signing_key: expected a file that only its owner may read, got 'text.pt', which others may. chmod 600 it."),
    (["forget", "folder"], "--request is required..."),
    (["forget", "--request", "7"], "DIR is required..."),
    (["forget", "gone", "--request", "7"], "DIR: expected a directory, got gone. Bundles lie where GAZE_OUT_DIR says."),
    (["forget", "bundle", "--request", "7"], "DIR: expected a directory of bundles, got bundle, which is a bundle itself."),
]
TORCH = [
    (["sites", "pickled.pt"], f"model: expected a TorchScript file, got pickled.pt, which is a pickled object of the class __main__.Net, saved by torch.save. It needs Python: load it there, and {SCRIPT}."),
    (["sites", "state.pt"], f"model: expected a TorchScript file, got state.pt, which is a state_dict, saved by torch.save: weights without a program. Load them into the module, and save that: model.load_state_dict(torch.load(FILE)); {SCRIPT}."),
    (["sites", "checkpoint.pt"], "model: expected a TorchScript file, got checkpoint.pt, which is a state_dict, saved by torch.save: weights without a program. ..."),
    (["sites", "legacy.pt"], f"model: expected a TorchScript file, got legacy.pt, which is what torch.save wrote in its old format. Make one where the module is: {SCRIPT}."),
    (["sites", "optimised.pt"], f"model: expected a file that LibTorch can load again, got optimised.pt, which was saved after torch.jit.optimize_for_inference. Save the model before it: {SCRIPT}, and optimise after loading."),
    (["sites", "exported.pt2"], 'model: expected a TorchScript file, got exported.pt2, which is a package of torch.export, which holds no TorchScript. Make one where the module is: torch.jit.trace(model.eval(), example_inputs).save("model.pt").'),
    (["sites", "inputs.pt"], f"model: expected a TorchScript file, got inputs.pt, which is what torch.save wrote: values without a program. That is for --inputs. A model is what torch.jit.save wrote: {SCRIPT}."),
    (["sites", "custom.pt"], "model: expected operators of LibTorch or of a loaded library, got custom.pt, which calls gaze_mistakes::twice. Load the library that registers it: --op-library FILE.so. An operator that only Python registers has none; write it with torch's own before torch.jit.script."),
    (["sites", "custom.pt", "--op-library", "OP"], None),
    (["run", "custom.pt", "--inputs", "custom_inputs.pt", "--weights", "w", "--op-library", "OP"], None),
    (RUN + ["ordered.pt"], None),
    (RUN + ["feature.pt"], None),
    (RUN + ["encoding.pt"], None),
    (RUN + ["inputs.pt", "--method", "forwad"], "--method: expected one of forward(image: Tensor, scale: float), got forwad. Did you mean forward?"),
    (RUN + ["model.pt"], f"--inputs: expected tensors as torch.save writes them, got model.pt, which is a TorchScript file. That is the model. {SAVE}"),
    (RUN + ["gone.pt"], f"--inputs: expected a file, got gone.pt, which does not exist. {SAVE}"),
    (RUN + ["empty.pt"], "--inputs: expected tensors as torch.save writes them, got empty.pt, which is an empty file. Copy it again, or save it again with torch.save."),
    (RUN + ["photo.png"], "--inputs: expected tensors as torch.save writes them, got photo.png, which is a picture. Save what the processor makes of it: torch.save((image, tokens), \"inputs.pt\"). The picture itself goes to --image."),
    (RUN + ["numpy.pt"], '--inputs: expected tensors as torch.save writes them, got numpy.pt, which is a file with NumPy arrays, saved by torch.save. Save tensors: torch.save({k: torch.as_tensor(v) for k, v in inputs.items()}, "inputs.pt").'),
    (RUN + ["array.npy"], '--inputs: expected tensors as torch.save writes them, got array.npy, which is a NumPy array. Save a tensor: torch.save(torch.from_numpy(numpy.load(FILE)), "inputs.pt").'),
    (RUN + ["arrays.npz"], "--inputs: expected tensors as torch.save writes them, got arrays.npz, which is a ZIP archive of another kind (NumPy's .npz, say). Save tensors: ..."),
    (RUN + ["legacy.pt"], '--inputs: expected tensors as torch.save writes them, got legacy.pt, which is what torch.save wrote in its old format. Write it anew: torch.save(torch.load(FILE), "inputs.pt"), without _use_new_zipfile_serialization=False.'),
    (RUN + ["sparse.pt"], "--inputs: expected tensors as torch.save writes them, got sparse.pt, which is a file with sparse tensors. Save them dense: tensor.to_dense()."),
    (RUN + ["pickled.pt"], '--inputs: expected tensors as torch.save writes them, got pickled.pt, which is a pickled object of the class __main__.Net, saved by torch.save. Save tensors alone: torch.save((image, tokens), "inputs.pt").'),
    (RUN + ["path.pt"], FORWARD + "for image a str. Save a value of that type."),
    (RUN + ["tensor_for_number.pt"], FORWARD + "for scale a Tensor float32 [3]. Save a value of that type."),
    (RUN + ["mask_too.pt"], FORWARD + "also pixel_mask. Remove it, or name another --method."),
    (RUN + ["misspelt.pt"], FORWARD + "nothing for image (the file has imge). Add it to the file."),
    (RUN + ["missing.pt"], FORWARD + "nothing for image (the file has scale). Add it to the file."),
    (RUN + ["numbered.pt"], '--inputs: expected a dict from argument names to values, got a key that is no text. Save names: torch.save({"image": image}, "inputs.pt").'),
    (RUN + ["channels.pt"], "forward: expected the model to accept these inputs (Tensor float32 [1, 2, 32, 47], float), got an error from it: RuntimeError: Given groups=1, weight of size [16, 3, 8, 8], expected input[1, 2, 32, 47] to have 3 channels, but got 2 channels instead. Check the sizes in the file given with --inputs."),
    (RUN + ["half_inputs.pt"], "forward: expected the model to accept these inputs (Tensor float16 [1, 3, 32, 48], float), got an error from it: ... The inputs are in half precision and the model is not: save tensor.float()."),
    (RUN + ["double_inputs.pt"], "forward: expected the model to accept these inputs (Tensor float64 [1, 3, 32, 48], float), got an error from it: ... Check the types in the file given with --inputs."),
    (["run", "half_model.pt", "--inputs", "inputs.pt", "--weights", "w"], "forward: expected ... The model is in half precision and the inputs are not: save tensor.half(), or the model as model.float()."),
    (["run", "words.pt", "--inputs", "ids.pt", "--weights", "w"], "forward: expected the model to accept these inputs (Tensor int64 [1, 2]), got an error from it: ...index out of range in self. Check the ids in the file given with --inputs: one of them is beyond the model's vocabulary."),
    (["run", "model.pt", "--inputs", "inputs.pt"], "run: expected a profile, which says what the attention keys stand for, or --weights FILE; got neither. Give --profile P, or put profile.json beside the model (docs/profiles.md)."),
    (["heads", "model.pt", "--inputs", "inputs.pt"], "--profile: expected a profile, whose geometry says what the picture's keys are, got none, and no profile.json beside the model. `gaze probe` makes one."),
    (["probe", "model.pt", "--inputs", "inputs.pt", "--image-arg", "3"], "probe: argument: expected an index below 2, got 3. Count the method's arguments from 0, without self."),
    (["probe", "model.pt", "--inputs", "inputs.pt", "--image-arg", "1"], "probe: argument 1: expected a picture, floating point or uint8 [batch, channels, height, width], got Double. Count the method's arguments from 0, without self."),
]
PROFILES = [  # the profile's text, further words, and the sentence
    ('{"sites": ', [], "profile 'p.json': ..."),
    ('{"gaze_profile": 1, "sites": {"match": ["*"]}, "geometri": {"rows": 4, "cols": 6}}', [], "profile 'p.json': ...geometri..."),
    ('{"gaze_profile": 1, "sites": {"match": ["*"]}, "geometry": {"rows": "four", "cols": 6}}', [], "profile 'p.json': geometry.rows: expected ..."),
    ('{"gaze_profile": 1, "sites": {"match": ["attentoin"]}, "geometry": {"rows": 4, "cols": 6}}', [], "profile: sites.match: expected a pattern of sites this model has (attention), got \"attentoin\". `gaze sites MODEL.pt` lists them."),
    ('{"gaze_profile": 1, "sites": {"match": ["*"]}, "geometry": {"rows": 5, "cols": 5}}', ["--image", "photo.png"], "geometry: expected 25 keys (5 x 5 cells), got 24. Correct rows and cols, or select another site. (see ...)"),
    ('{"gaze_profile": 1, "sites": {"match": ["*"]}}', ["--image", "photo.png"], "geometry: expected what the keys stand for, got none from the profile or the request: nothing is drawn. Measure it: `gaze probe MODEL.pt --inputs inputs.pt --image-arg 0 --out profile.json`, and set GAZE_PROFILE=profile.json."),
    ('{"gaze_profile": 1, "sites": {"match": ["*"]}, "geometry": {"rows": 4, "cols": 6}, "rows": {"of_call": "last"}}', ["--image", "gone.png"], "picture 'gone.png': expected a readable file, got: No such file or directory..."),
    ('{"gaze_profile": 1, "sites": {"match": ["*"]}, "geometry": {"rows": 4, "cols": 6}, "rows": {"of_call": "last"}}', ["--image", "text.pt"], "picture 'text.pt': expected a JPEG, PNG or WebP image, got 23 bytes of something else. ..."),
    ('{"gaze_profile": 1, "sites": {"match": ["*"]}, "geometry": {"rows": 4, "cols": 6}}', ["--audio", "gone.wav"], "--audio: expected a profile whose keys are those of a sound, got one of a picture. Give --image instead."),
    ('{"gaze_profile": 1, "sites": {"match": ["*"]}, "geometry": {"time": {"keys": 24, "seconds_per_key": 0.1}}, "rows": {"of_call": "last"}}', ["--audio", "gone.wav"], "audio 'gone.wav': expected a readable file, got: No such file or directory..."),
    ('{"gaze_profile": 1, "sites": {"match": ["*"]}, "geometry": {"rows": 4, "cols": 6}}', ["--image", "photo.png", "--labels", "empty.pt"], "--labels: expected a text file with one token per line, got empty.pt, which holds none. Leave the flag out to draw without texts."),
    ('{"gaze_profile": 1, "sites": {"match": ["*"]}, "geometry": {"rows": 4, "cols": 6}}', ["--image", "photo.png", "--out", "text.pt/out"], "...text.pt/out..."),
]
# What is for those who work on LibTorch.
INNARDS = re.compile(r"INTERNAL ASSERT|report a bug|registered at|Exception raised|frame #\d|\.cpp:\d|aten/src")


def write_plain(source: Path) -> None:
    Path("empty.pt").write_bytes(b"")
    Path("lfs.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    Path("text.pt").write_text("this is not a model...\n")
    Path("model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}" + bytes(8))
    Path("model.onnx").write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x05")
    Path("model.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(40))
    Path("model.bin").write_bytes(b"\x06\0\0\0\x0c\0WhisperSpec\0" + bytes(64))
    Path("plain.pkl").write_bytes(b"\x80\x04\x95\x01\0\0\0\0\0\0\0N.")
    Path("cut.pt").write_bytes((source / "samples/models/stickers/stickers_sdpa.pt").read_bytes()[:5000])
    shutil.copy(source / "samples/data/digits.png", "photo.png")
    for folder, files in (("bundle", ["request.json"]), ("folder", []), ("hf", ["config.json", "model.safetensors"]), ("ct2", ["model.bin", "vocabulary.json", "config.json"])):
        os.mkdir(folder)
        for name in files:
            Path(folder, name).write_text("{}")


def says(pattern: str, line: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("..."))), line) is not None


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("gaze", "source", "op-library", "python"):
        parser.add_argument("--" + name, required=True)
    arguments = parser.parse_args()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GAZE_")}
    source = Path(arguments.source).resolve()
    for name in ("gaze", "op_library"):
        setattr(arguments, name, str(Path(getattr(arguments, name)).resolve()))
    model = str(source / "samples/models/stickers/stickers_sdpa.pt")
    problems, tried = [], 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_plain(source)
        rows = [(words, sentence, None) for words, sentence in PLAIN + LEDGER]
        if arguments.python:
            subprocess.run([arguments.python, "-B", "-W", "ignore", HERE / "mistakes_models.py"], check=True, env=clean, stdout=subprocess.DEVNULL)
            rows += [(words, sentence, None) for words, sentence in TORCH]
            rows += [(DRAW + words + ([] if "--out" in words else ["--out", "out"]), sentence, profile) for profile, words, sentence in PROFILES]
        for words, sentence, profile in rows:
            if words[-1:] in (["feature.pt"], ["encoding.pt"]) and not Path(words[-1]).exists():
                continue
            tried += 1
            if profile is not None:
                Path("p.json").write_text(profile)
            words = [model if word == "MODEL" else arguments.op_library if word == "OP" else word for word in words]
            done = subprocess.run([arguments.gaze, *words], env=clean, capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL)
            told = done.stderr.strip()
            shown = f"gaze {' '.join(words)}\n  said  {told}\n"
            if sentence is None:
                if done.returncode != 0 or told:
                    problems.append(shown + "  should have run")
                continue
            line = told.removeprefix("gaze: ")
            if done.returncode == 0 or not says(sentence, line.replace("\n", " ")) or INNARDS.search(told) or len(told) > 900:
                problems.append(shown + f"  not   {sentence}")
        os.chdir("/")
    for problem in problems:
        print(problem)
    print(f"{tried} mistakes made, {len(problems)} told otherwise" + ("" if arguments.python else "; those that need torch left out: no GAZE_TEST_PYTHON"))
    sys.exit(1 if problems or tried < 15 else 0)


main()
