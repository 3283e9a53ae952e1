// SPDX-License-Identifier: MIT
#include <gaze/render/redaction.hpp>

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "maps/side_stream.hpp"
#include "redact/redact_media.hpp"
#include "redact/redact_texts.hpp"

namespace gaze {
namespace {

/// Whatever fails is told without its text, which may hold what was to be hidden.
template <class Work>
void or_refuse(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    if (error.reason() == DropReason::RedactionFailed || error.reason() == DropReason::Shutdown) throw;
  } catch (...) {  // refused below
  }
}

/// Who reads the record on another stream waits for what was made here.
void record_here(AttentionRecord& record) {
  if (!record.ready) return;
  const at::Device device = record.device();
  const c10::impl::VirtualGuardImpl guard(device.type());
  auto ready = std::make_shared<c10::Event>(device.type());
  ready->record(guard.getStream(device));
  record.ready = std::move(ready);
}

template <class Work>
void on_record(AttentionRecord& record, const Work& work) {
  bool done = false;
  or_refuse([&] {
    wait_on_stream(record);
    work();
    record_here(record);
    done = true;
  });
  if (!done) refuse_redaction("expected to leave out what was named, could not.");
}

void black_out_medium(const Redaction& redaction, const AttentionRecord& record, MediumMap& map) {
  if (auto* picture = std::get_if<PictureMedium>(&map.medium)) black_out(redaction, record, *picture, map);
  if (auto* sound = std::get_if<SoundMedium>(&map.medium)) black_out(redaction, *sound);
  if (auto* text = std::get_if<TextMedium>(&map.medium)) black_out_prompt(redaction, record, *text, map);
}

void leave_out(const HashText& hash, const AttentionRecord& record, MediumMap& map) {
  if (auto* picture = std::get_if<PictureMedium>(&map.medium)) leave_out_content(*picture);
  if (auto* sound = std::get_if<SoundMedium>(&map.medium)) leave_out_content(*sound);
  if (auto* text = std::get_if<TextMedium>(&map.medium)) leave_out_prompt(hash, record, *text, map);
}

template <class M>
bool has(const AttentionRecord& record) {
  for (const MediumMap& map : record.maps) {
    if (std::holds_alternative<M>(map.medium)) return true;
  }
  return false;
}

/// Of an answer that could not be captured nothing is drawn: what it was asked with is given up.
bool is_drawn(const AttentionRecord& record) {
  return record.error.empty() && !record.maps.empty() && record.maps.front().tokens() > 0;
}

void expect_places(const Redaction& redaction, const AttentionRecord& record) {
  const bool pixels = !redaction.boxes.empty() || redaction.mask_yx.defined();
  if (pixels && !has<PictureMedium>(record)) refuse_redaction("expected a picture, as regions of one are named.");
  if (!redaction.seconds.empty() && !has<SoundMedium>(record))
    refuse_redaction("expected a recording, as seconds of one are named.");
  const bool texts = !redaction.prompt_tokens.empty() || !redaction.passages.empty();
  if (texts && !has<TextMedium>(record)) refuse_redaction("expected a text, as tokens of one are named.");
}

}  // namespace

void apply(const Redaction& redaction, AttentionRecord& record) {
  on_record(record, [&] {
    if (is_drawn(record)) {
      expect_places(redaction, record);
      for (MediumMap& map : record.maps) black_out_medium(redaction, record, map);
    } else {
      record.maps.clear();
    }
    black_out_answer(redaction, record);
    if (redaction.prompt || !redaction.prompt_tokens.empty() || !redaction.passages.empty()) record.prompt = kRedacted;
    for (const std::string& attribute : redaction.attributes) record.attributes.erase(attribute);
    record.redacted = true;
  });
}

void limit(Content content, const HashText& hash, AttentionRecord& record) {
  if (content == Content::Full) return;
  on_record(record, [&] {
    if (content == Content::Hashed && !hash) refuse_redaction("expected a key where texts are hashed, got none.");
    const HashText none;
    const HashText& by = content == Content::Hashed ? hash : none;
    if (is_drawn(record)) {
      for (MediumMap& map : record.maps) leave_out(by, record, map);
    } else {
      record.maps.clear();
    }
    leave_out_answer(by, record);
    record.style.align_to_energy = false;  // of silence nothing is told
    record.content = content;
  });
}

const char* name(Content content) noexcept {
  switch (content) {
    case Content::Maps:
      return "maps";
    case Content::Hashed:
      return "hashed";
    default:
      return "full";
  }
}

}  // namespace gaze
