// SPDX-License-Identifier: MIT
#include "codecs/file_kinds.hpp"

#include <algorithm>

namespace gaze {
namespace {

using namespace std::string_view_literals;

constexpr const char *kConvert = "Convert it: convert FILE photo.png (ImageMagick).",
                     *kConvertOne = "Save one picture of it: convert 'FILE[0]' photo.png (ImageMagick).",
                     *kHeif = "Convert it: heif-convert FILE photo.png (libheif-examples).",
                     *kFrame = "Save one frame of it: ffmpeg -i FILE -frames:v 1 photo.png.",
                     *kNoPicture = "Give the picture's own file.";

struct Mark {
  size_t at;
  std::string_view bytes;
  FileKind kind;
};

constexpr Mark kMarks[] = {
    {0, "GIF8"sv, {"a GIF", kConvertOne}},
    {0, "BM"sv, {"a BMP", kConvert}},
    {0, "II*\0"sv, {"a TIFF", kConvertOne}},
    {0, "MM\0*"sv, {"a TIFF", kConvertOne}},
    {0, "II+\0"sv, {"a BigTIFF", kConvertOne}},
    {0, "MM\0+"sv, {"a BigTIFF", kConvertOne}},
    {4, "ftypavif"sv, {"an AVIF", kHeif}},
    {4, "ftypavis"sv, {"an animated AVIF", kHeif}},
    {4, "ftyphe"sv, {"a HEIC", kHeif}},
    {4, "ftypmif1"sv, {"a HEIF", kHeif}},
    {4, "ftypmsf1"sv, {"a HEIF", kHeif}},
    {4, "ftyp"sv, {"a video", kFrame}},
    {0, "\x1A\x45\xDF\xA3"sv, {"a video", kFrame}},
    {8, "AVI "sv, {"a video", kFrame}},
    {0, "\0\0\0\x0CjP  "sv, {"a JPEG 2000", kConvert}},
    {0, "\xFF\x4F\xFF\x51"sv, {"a JPEG 2000", kConvert}},
    {0, "\0\0\0\x0CJXL "sv, {"a JPEG XL", "Convert it: djxl FILE photo.png (libjxl-tools)."}},
    {0, "\xFF\x0A"sv, {"a JPEG XL", "Convert it: djxl FILE photo.png (libjxl-tools)."}},
    {0, "8BPS"sv, {"a Photoshop file", kConvertOne}},
    {0, "\0\0\x01\0"sv, {"an icon", kConvertOne}},
    {0, "\x76\x2F\x31\x01"sv, {"an OpenEXR picture", kConvert}},
    {0, "#?RADIANCE"sv, {"a Radiance picture", kConvert}},
    {128, "DICM"sv, {"a DICOM file", kConvertOne}},
    {0, "%PDF"sv, {"a PDF", "Save one page of it: pdftoppm -r 150 -png FILE page (poppler-utils)."}},
    {0, "\x93NUMPY"sv, {"a NumPy array", "Give the picture as a tensor, or save it as PNG."}},
    {0, "PK\x03\x04"sv, {"a ZIP archive, as torch.save writes it", "Give the picture as a tensor, or save it as PNG."}},
    {0, "version https://git-lfs"sv, {"a Git LFS pointer, not the file itself", "Fetch the file: git lfs pull."}},
    {0, "RIFF"sv, {"a RIFF file of another kind", kNoPicture}},
};

// "P1" to "P7", then a space or a comment.
bool is_portable_map(std::string_view bytes) {
  return bytes.size() > 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7' &&
         " \t\r\n#"sv.find(bytes[2]) != std::string_view::npos;
}

// Behind a byte order mark and blanks.
std::string_view markup(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF"sv)) bytes.remove_prefix(3);
  bytes.remove_prefix(std::min(bytes.size(), bytes.find_first_not_of(" \t\r\n")));
  return bytes.substr(0, 1024);
}

}  // namespace

FileKind kind_of_file(std::string_view bytes) {
  for (const Mark& mark : kMarks) {
    if (bytes.size() > mark.at && bytes.substr(mark.at).starts_with(mark.bytes)) return mark.kind;
  }
  if (is_portable_map(bytes)) return {"a PNM", kConvert};
  const std::string_view text = markup(bytes);
  if (text.starts_with("<svg") || (text.starts_with("<?xml") && text.find("<svg") != std::string_view::npos))
    return {"an SVG drawing", "Draw it first: rsvg-convert FILE -o photo.png (librsvg2-bin)."};
  if (text.starts_with("<")) return {"a page of HTML or XML", kNoPicture};
  if (text.starts_with("data:image/")) return {"a data URL", "Give the bytes behind the comma, base64 undone."};
  return {"something else", "Convert it to PNG, or give the picture as a tensor."};
}

}  // namespace gaze
