// SPDX-License-Identifier: MIT
#include "request/media_intake.hpp"

#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <utility>

#include "capture/token_capture.hpp"
#include "request/row_layout.hpp"

namespace gaze {

std::shared_ptr<c10::Event> event_on(at::Device device) {
  if (device.is_cpu()) return nullptr;
  auto event = std::make_shared<c10::Event>(device.type());
  event->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  return event;
}

namespace {

// What the current stream of `device` fills is not to be read before it has.
void note_ready(at::Device device, RequestRow& row) {
  if (auto ready = event_on(device)) row.media_ready.push_back(std::move(ready));
}

}  // namespace

std::string generated_id() {
  static std::atomic<uint64_t> count{0};
  return "call-" + std::to_string(count.fetch_add(1) + 1);
}

void MediaIntake::open(RequestSpec spec, bool captured, std::vector<RequestRow>& rows) {
  RequestRow& row = rows.emplace_back();
  row.captured = captured;
  row.spec = std::move(spec);
  if (row.spec.id.empty()) row.spec.id = generated_id();
  if (!captured) return;
  for (at::Tensor* given : {&row.spec.image.tensor, &row.spec.sound.samples}) {
    if (!given->defined()) continue;
    refuse_while_capturing(given->device());
    const c10::InferenceMode normal(false);
    const at::NoGradGuard no_grad;
    *given = given->detach().clone();
    note_ready(given->device(), row);
  }
}

void MediaIntake::take(int64_t method, int64_t argument, const at::Tensor& input, bool placed,
                       std::vector<RequestRow>& rows) {
  if (recorder_.image_argument(method) == argument) take_pictures(input, placed, rows);
  if (recorder_.sound_argument(method) == argument) take_sounds(input, placed, rows);
  if (recorder_.ids_argument(method) == argument && !placed) take_ids(input, rows);
  if (recorder_.text_argument(method) == argument) take_text(input, placed, rows);
}

int64_t MediaIntake::rows_of(const at::Tensor& input, bool placed, std::vector<RequestRow>& rows) const {
  const int64_t batch = input.size(0);
  if (!placed) fit(batch, rows);
  return batch == static_cast<int64_t>(rows.size()) ? batch : 0;
}

void MediaIntake::take_pictures(const at::Tensor& input, bool placed, std::vector<RequestRow>& rows) const {
  if (input.dim() != 4) return;
  refuse_while_capturing(input.device());
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const int64_t batch = rows_of(input, placed, rows);
  for (int64_t b = 0; b < batch; ++b) {
    RequestRow& row = rows[static_cast<size_t>(b)];
    row.input = {input.size(3), input.size(2)};
    Picture& picture = row.spec.image;
    if (!row.captured || !picture.empty()) continue;
    picture.tensor = input[b].detach().clone();
    note_ready(input.device(), row);
    picture.mean = recorder_.profile.image->mean;
    picture.std = recorder_.profile.image->std;
  }
}

void MediaIntake::take_sounds(const at::Tensor& input, bool placed, std::vector<RequestRow>& rows) const {
  if (input.dim() < 2 || input.dim() > 3 || !input.is_floating_point()) return;
  refuse_while_capturing(input.device());
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const int64_t batch = rows_of(input, placed, rows);
  for (int64_t b = 0; b < batch; ++b) {
    RequestRow& row = rows[static_cast<size_t>(b)];
    if (!row.captured || !row.spec.sound.empty()) continue;
    row.spec.sound.samples = input[b].detach().clone();
    row.spec.sound.sample_rate_hz = recorder_.profile.sound->sample_rate_hz;
    row.spec.sound.padded = true;
    note_ready(input.device(), row);
  }
}

void MediaIntake::take_ids(const at::Tensor& input, std::vector<RequestRow>& rows) {
  if (input.dim() == 2) fit(input.size(0), rows);
  const auto wanted = [&](const RequestRow& row) { return placed_by_ids(row, recorder_.profile); };
  if (std::none_of(rows.begin(), rows.end(), wanted)) return;
  refuse_while_capturing(input.device());
  prompt_spans_.read(input, recorder_.profile.spans->placeholder);
}

// A prompt may come in pieces, and of an answer that is computed anew for every token each call has all of it: which
// of them are the prompt is told at the end, when its length is known.
void MediaIntake::take_text(const at::Tensor& input, bool placed, std::vector<RequestRow>& rows) const {
  constexpr size_t kMostPieces = 4096;
  if (input.dim() != 2 || !at::isIntegralType(input.scalar_type(), /*includeBool=*/false)) return;
  refuse_while_capturing(input.device());
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const auto keep = [&](const at::Tensor& ids_t, RequestRow& row) {
    if (row.text_ids.size() == kMostPieces) return;
    if (ids_t.size(0) < 2 && !row.text_ids.empty()) return;
    row.text_ids.push_back(ids_t.detach().to(at::kLong, /*non_blocking=*/true, /*copy=*/true));
    note_ready(input.device(), row);
  };
  // One passage in each row of an encoder's batch, whose positions then follow one another.
  if (rows.size() == 1 && !automatic_) return keep(input.flatten(), rows.front());
  const int64_t batch = rows_of(input, placed, rows);
  for (int64_t b = 0; b < batch; ++b) keep(input[b], rows[static_cast<size_t>(b)]);
}

void MediaIntake::fit(int64_t batch, std::vector<RequestRow>& rows) const {
  const int64_t more = batch - static_cast<int64_t>(rows.size());
  if (!automatic_ || more <= 0) return;
  std::vector<RequestRow> added(static_cast<size_t>(more));
  for (RequestRow& row : added) row.spec.id = generated_id();
  rows.insert(rows.end(), std::make_move_iterator(added.begin()), std::make_move_iterator(added.end()));
  // Counted when they are there: each is to end under a count of its own.
  recorder_.counters->sampled(more);
}

void MediaIntake::sound(Sound recording, RequestRow& row) const {
  if (recording.samples.defined()) {
    refuse_while_capturing(recording.samples.device());
    note_ready(recording.samples.device(), row);
  }
  row.spec.sound = std::move(recording);
}

}  // namespace gaze
