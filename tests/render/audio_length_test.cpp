// SPDX-License-Identifier: MIT
// Sound files whose header states no length, a wrong one, or the right one: what is written to a pipe, cut, or whole.
#include <fcntl.h>
#include <sndfile.h>
#include <unistd.h>
#include <gaze/render/audio_file.hpp>

#include <cmath>
#include <random>

#include "records.hpp"
#include "sound/audio_header.hpp"

namespace {

using gaze::DropReason;
using namespace std::string_literals;

std::string put(uint64_t value, size_t bytes, bool big = false) {
  std::string text;
  for (size_t i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * (big ? bytes - 1 - i : i));
  return text;
}

constexpr int64_t kCount = 300;

std::string samples(bool big, int64_t count = kCount) {
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += put(static_cast<uint16_t>(100 * i - 9000), 2, big);
  return text;
}

at::Tensor expected(int64_t count = kCount) {
  return ((at::arange(count, at::kFloat) * 100 - 9000) / 32768).unsqueeze(0);
}

struct Lengths {
  uint64_t data, file;  // as the header says them
};

constexpr auto kTrue = ~uint64_t{0} - 1;  // what is so

/// 16 bits, one channel, 8000 Hz.
std::string wav(Lengths said, const std::string& data = samples(false), const std::string& before = {},
                bool extensible = false, const std::string& behind = {}) {
  std::string fmt = put(extensible ? 0xFFFE : 1, 2) + put(1, 2) + put(8000, 4) + put(16000, 4) + put(2, 2) + put(16, 2);
  if (extensible) {
    fmt += put(22, 2) + put(16, 2) + put(4, 4) + put(1, 2) + "\0\0\0\0\x10\0\x80\0\0\xAA\0\x38\x9B\x71"s;
  }
  const std::string body = "WAVEfmt " + put(fmt.size(), 4) + fmt + before + "data" +
                           put(said.data == kTrue ? data.size() : said.data, 4) + data + behind;
  return "RIFF" + put(said.file == kTrue ? body.size() : said.file, 4) + body;
}

std::string rifx(Lengths said, const std::string& data = samples(true)) {
  const std::string fmt =
      put(1, 2, true) + put(1, 2, true) + put(8000, 4, true) + put(16000, 4, true) + put(2, 2, true) + put(16, 2, true);
  const std::string body =
      "WAVEfmt " + put(16, 4, true) + fmt + "data" + put(said.data == kTrue ? data.size() : said.data, 4, true) + data;
  return "RIFX" + put(said.file == kTrue ? body.size() : said.file, 4, true) + body;
}

/// The sizes of an RF64 are 64 bits wide and stand in a chunk of their own.
std::string rf64(Lengths said, const std::string& data = samples(false)) {
  const std::string fmt = put(1, 2) + put(1, 2) + put(8000, 4) + put(16000, 4) + put(2, 2) + put(16, 2);
  const uint64_t length = said.data == kTrue ? data.size() : said.data;
  const uint64_t whole = 4 + 36 + 24 + 8 + data.size();
  return "RF64\xFF\xFF\xFF\xFFWAVEds64" + put(28, 4) + put(said.file == kTrue ? whole : said.file, 8) + put(length, 8) +
         put(length / 2, 8) + put(0, 4) + "fmt " + put(16, 4) + fmt + "data\xFF\xFF\xFF\xFF" + data;
}

std::string aiff(Lengths said, const std::string& data = samples(true)) {
  const uint64_t length = said.data == kTrue ? data.size() + 8 : said.data;
  const std::string body = "AIFFCOMM" + put(18, 4, true) + put(1, 2, true) +
                           put(said.data == kTrue ? data.size() / 2 : said.data / 2, 4, true) + put(16, 2, true) +
                           "\x40\x0B\xFA\0\0\0\0\0\0\0"s + "SSND" + put(length, 4, true) + put(0, 8) + data;
  return "FORM" + put(said.file == kTrue ? body.size() : said.file, 4, true) + body;
}

std::string au(Lengths said, const std::string& data = samples(true)) {
  return ".snd" + put(28, 4, true) + put(said.data == kTrue ? data.size() : said.data, 4, true) + put(3, 4, true) +
         put(8000, 4, true) + put(1, 4, true) + "note" + data;
}

std::string caf(Lengths said, const std::string& data = samples(true)) {
  // 8000.0 as a double, 'lpcm', no flags, 2 bytes a packet, 1 frame, 1 channel, 16 bits.
  const std::string desc = "\x40\xBF\x40\0\0\0\0\0"s + "lpcm" + put(0, 4, true) + put(2, 4, true) + put(1, 4, true) +
                           put(1, 4, true) + put(16, 4, true);
  return "caff\0\1\0\0desc"s + put(32, 8, true) + desc + "data" +
         put(said.data == kTrue ? data.size() + 4 : said.data, 8, true) + put(0, 4) + data;
}

using Writer = std::string (*)(Lengths, const std::string&);
struct Container {
  const char* name;
  Writer write;
  bool big;
  size_t preface;  // counted in the length, beside the samples
  bool wide;       // 64 bits
};

std::string plain_wav(Lengths said, const std::string& data) { return wav(said, data); }

const Container kContainers[] = {{"WAV", plain_wav, false, 0, false}, {"RIFX", rifx, true, 0, false},
                                 {"RF64", rf64, false, 0, true},      {"AIFF", aiff, true, 8, false},
                                 {"AU", au, true, 0, false},          {"CAF", caf, true, 4, true}};

gaze::Audio read_file(const std::string& bytes) {
  const gaze::test::TempDir dir;
  gaze::test::write_bytes(dir / "a", bytes);
  return gaze::read_audio(dir / "a");
}

void require_whole(const std::string& bytes, const at::Tensor& samples_ct = expected()) {
  const gaze::Audio audio = read_file(bytes);
  CATCH_CHECK(audio.sample_rate_hz == 8000);
  CATCH_CHECK(at::equal(audio.samples_ct, samples_ct));
}

const std::string kUnknown = "its header states no length: read to its end";

}  // namespace

CATCH_TEST_CASE("audio: a file whose header states the length has just that, whatever it is in") {
  for (const Container& container : kContainers) {
    CATCH_INFO(container.name);
    const std::string bytes = container.write({kTrue, kTrue}, samples(container.big));
    require_whole(bytes);
    CATCH_CHECK(read_file(bytes).note.empty());
  }
}

CATCH_TEST_CASE("audio: a file whose writer could not go back is read to its end, and that is said") {
  // ffmpeg, sox, arecord, espeak, gstreamer, faad, and those who count the header in.
  const uint64_t placeholders[] = {0,          0xFFFFFFFF, 0x7FFFF000, 0x7FFFEFFF, 0x80000000, 0x7FFFFFFF,
                                   0x7FFF0000, 0xFFFFFF00, 0xFFFFFFDB, 0x7FFFFFDB, 0x7FFFF024, 0x80000024};
  for (const Container& container : kContainers) {
    for (const uint64_t data : placeholders) {
      for (const uint64_t file : {data, kTrue, uint64_t{0}, uint64_t{0x7FFFF024}, uint64_t{0xFFFFFFFF}}) {
        CATCH_INFO(container.name << " says " << data << " of " << file);
        const std::string bytes = container.write({data, file}, samples(container.big));
        require_whole(bytes);
        CATCH_CHECK(read_file(bytes).note == kUnknown);
      }
    }
    if (container.wide) require_whole(container.write({~uint64_t{0}, ~uint64_t{0}}, samples(container.big)));
  }
  CATCH_CHECK(read_file(aiff({0x7F000008, 0x7F00002E})).note == kUnknown);  // sox
}

CATCH_TEST_CASE("audio: chunks before the samples, and WAVE_FORMAT_EXTENSIBLE, change nothing about it") {
  const std::string list = "LIST" + put(26, 4) + "INFOISFT" + put(14, 4) + "Lavf59.27.100\0"s;
  const std::string fact = "fact" + put(4, 4) + put(0xFFFFFFFF, 4);
  for (const bool extensible : {false, true}) {
    for (const std::string& before : {list, fact, list + fact, "junk"s + put(3, 4) + "abc\0"s}) {
      for (const uint64_t data : {uint64_t{0}, uint64_t{0xFFFFFFFF}, uint64_t{0x7FFFF000}, kTrue})
        require_whole(wav({data, data == kTrue ? kTrue : 0xFFFFFFFF}, samples(false), before, extensible));
    }
  }
  // A sample that was begun when the pipe closed.
  require_whole(wav({0xFFFFFFFF, 0xFFFFFFFF}, samples(false) + "\x11"));
}

CATCH_TEST_CASE("audio: a file that was cut is refused with both lengths") {
  for (const Container& container : kContainers) {
    const std::string whole = container.write({kTrue, kTrue}, samples(container.big));
    for (const size_t lost : {size_t{1}, size_t{2}, size_t{100}, size_t{599}}) {
      CATCH_INFO(container.name << " lacks " << lost);
      const std::string cut = whole.substr(0, whole.size() - lost);
      GAZE_REQUIRE_REFUSED(read_file(cut), DropReason::DecodeFailed, "truncated");
      const std::string follow =
          container.name == "CAF"s ? std::to_string(600 - lost) : std::to_string((600 - lost) / 2);
      const std::string says = container.name == "CAF"s ? "says 600 bytes of sound while " : "says 300 samples while ";
      GAZE_REQUIRE_REFUSED(read_file(cut), DropReason::DecodeFailed,
                           "its header " + says + follow + " follow. Copy it");
    }
    for (size_t length = 0; length < whole.size(); length += length < 100 ? 1 : 37) {
      CATCH_INFO(container.name << " cut to " << length);
      GAZE_REQUIRE_REFUSED(read_file(whole.substr(0, length)), DropReason::DecodeFailed, "expected");
    }
  }
  // Lengths that may be true of a longer file are no placeholders.
  for (const uint64_t data :
       {uint64_t{1} << 20, uint64_t{1} << 30, uint64_t{0x70000000}, uint64_t{0xA0000000}, uint64_t{0xF0000000}})
    GAZE_REQUIRE_REFUSED(read_file(wav({data, data + 36})), DropReason::DecodeFailed, "truncated");
}

CATCH_TEST_CASE("audio: a file without samples is refused, and one that was closed so is not read on") {
  for (const Container& container : kContainers) {
    CATCH_INFO(container.name);
    GAZE_REQUIRE_REFUSED(read_file(container.write({kTrue, kTrue}, "")), DropReason::DecodeFailed, "expected");
    GAZE_REQUIRE_REFUSED(read_file(container.write({0xFFFFFFFF, 0xFFFFFFFF}, "")), DropReason::DecodeFailed,
                         "expected");
  }
  const std::string tags = "LIST" + put(26, 4) + "INFOISFT" + put(14, 4) + "Lavf59.27.100\0"s;
  GAZE_REQUIRE_REFUSED(read_file(wav({0, kTrue}, "", "", false, tags)), DropReason::DecodeFailed, "got 0");
}

CATCH_TEST_CASE("audio: a FLAC from a pipe is read to its end") {
  SF_INFO info{};
  info.samplerate = 8000;
  info.channels = 1;
  info.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
  const gaze::test::TempDir dir;
  SNDFILE* const file = sf_open((dir / "a").c_str(), SFM_WRITE, &info);
  CATCH_REQUIRE(file != nullptr);
  std::vector<float> values(50000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(std::sin(0.1 * static_cast<double>(i)) / 2);
  CATCH_REQUIRE(sf_write_float(file, values.data(), 50000) == 50000);
  sf_close(file);
  std::string bytes = gaze::test::read_bytes(dir / "a");
  const gaze::Audio known = read_file(bytes);
  // The number of samples in STREAMINFO: 4 bits of one byte and the four behind.
  bytes[21] = static_cast<char>(bytes[21] & 0xF0);
  bytes.replace(22, 4, std::string(4, '\0'));
  const gaze::Audio unknown = read_file(bytes);
  CATCH_CHECK(at::equal(unknown.samples_ct, known.samples_ct));
  CATCH_CHECK(known.note.empty());
  CATCH_CHECK(unknown.note == kUnknown);
  // A number that is far too large must not become memory.
  bytes[21] = static_cast<char>(bytes[21] | 0x0F);
  bytes.replace(22, 4, std::string(4, '\xFF'));
  GAZE_REQUIRE_REFUSED(read_file(bytes), DropReason::DecodeFailed, "expected");
}

namespace {

/// A second of a tone; empty when this libsndfile cannot write the format.
std::string compressed(int format) {
  SF_INFO info{};
  info.samplerate = 16000;
  info.channels = 1;
  info.format = format;
  if (sf_format_check(&info) == 0) return {};
  const gaze::test::TempDir dir;
  SNDFILE* const file = sf_open((dir / "a").c_str(), SFM_WRITE, &info);
  std::vector<float> values(16000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(std::sin(0.1 * static_cast<double>(i)) / 2);
  CATCH_REQUIRE(sf_write_float(file, values.data(), 16000) == 16000);
  sf_close(file);
  return gaze::test::read_bytes(dir / "a");
}

/// What the process writes to its standard output and standard error while it lives, in bytes.
class Silence {
 public:
  Silence() {
    std::fflush(nullptr);
    for (const int fd : {1, 2}) {
      kept_[fd - 1] = ::dup(fd);
      ::dup2(heard_, fd);
    }
  }
  int64_t broken_by() {
    std::fflush(nullptr);
    for (const int fd : {1, 2}) {
      ::dup2(kept_[fd - 1], fd);
      ::close(kept_[fd - 1]);
    }
    const int64_t bytes = ::lseek(heard_, 0, SEEK_END);
    ::close(heard_);
    return bytes;
  }

 private:
  gaze::test::TempDir dir_;
  int heard_ = ::open(dir_.path().c_str(), O_TMPFILE | O_RDWR, 0600), kept_[2] = {};
};

}  // namespace

CATCH_TEST_CASE("audio: whatever a file holds, it is read or refused, and nothing is printed") {
  std::mt19937 random(21);
  std::vector<std::pair<const char*, std::string>> files;
  for (const Container& container : kContainers)
    files.emplace_back(container.name, container.write({kTrue, kTrue}, samples(container.big)));
  for (const auto& [name, format] : {std::pair{"FLAC", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
                                     {"Ogg Vorbis", SF_FORMAT_OGG | SF_FORMAT_VORBIS},
                                     {"Ogg Opus", SF_FORMAT_OGG | SF_FORMAT_OPUS},
                                     {"W64", SF_FORMAT_W64 | SF_FORMAT_PCM_16},
                                     {"ADPCM", SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM},
                                     {"MP3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III}}) {
    if (const std::string whole = compressed(format); !whole.empty()) files.emplace_back(name, whole);
  }
  for (const auto& [name, whole] : files) {
    CATCH_INFO(name);
    int64_t refused = 0, read = 0;
    Silence silence;
    for (int i = 0; i < 300; ++i) {
      std::string damaged = whole;
      const size_t changes = 1 + random() % 3;
      for (size_t c = 0; c < changes; ++c) {
        const size_t reach = random() % 2 == 0 ? std::min<size_t>(90, damaged.size()) : damaged.size();
        damaged[random() % reach] = static_cast<char>(random() % 3 == 0 ? 0xFF : random());
      }
      if (i % 4 == 0) damaged.resize(1 + random() % damaged.size());
      if (i % 7 == 0) damaged.insert(random() % damaged.size(), std::string(random() % 40, '\x2A'));
      try {
        read += read_file(damaged).samples_ct.numel() > 0 ? 1 : 0;
      } catch (const gaze::Error& error) {
        refused += error.reason() == DropReason::DecodeFailed ? 1 : 0;
      }
    }
    CATCH_CHECK(silence.broken_by() == 0);
    CATCH_CHECK(read + refused == 300);
    CATCH_CHECK(refused > 0);
  }
}

CATCH_TEST_CASE("audio: an MP3 behind a tag, and one without a head of its own, are read") {
  const std::string whole = compressed(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III);
  if (whole.empty()) return;  // an older libsndfile
  const gaze::Audio plain = read_file(whole);
  CATCH_CHECK(plain.sample_rate_hz == 16000);
  CATCH_CHECK(std::abs(plain.samples_ct.size(1) - 16000) <= 1152);
  const std::string tag = "ID3\4\0\0\0\0\1\x10"s + std::string(144, 't');
  CATCH_CHECK(at::equal(read_file(tag + whole).samples_ct, plain.samples_ct));
  CATCH_CHECK(at::equal(read_file(whole + "TAG" + std::string(125, ' ')).samples_ct, plain.samples_ct));
  std::string headless = whole;
  const size_t head = headless.find("Xing") != std::string::npos ? headless.find("Xing") : headless.find("Info");
  CATCH_REQUIRE(head != std::string::npos);
  headless.replace(head, 4, "none");
  CATCH_CHECK(read_file(headless).samples_ct.size(1) >= 16000);
  for (const size_t length : {whole.size() / 2, whole.size() * 3 / 4, whole.size() * 9 / 10})
    GAZE_REQUIRE_REFUSED(read_file(whole.substr(0, length)), DropReason::DecodeFailed, "its header says");
}
