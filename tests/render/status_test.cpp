// SPDX-License-Identifier: MIT
// Why something was dropped, told by the type of what was thrown.
#include <c10/util/Exception.h>
#include <gaze/ops/device.hpp>

#include <array>
#include <functional>
#include <new>

#include "../hooks/allocation_count.hpp"
#include "records.hpp"

namespace {

using gaze::DropReason;

const c10::SourceLocation kHere{"status_test", __FILE__, __LINE__};

struct Said {
  std::string reason, text;
};

/// What both functions tell of what `work` throws; without an allocation.
Said told(const std::function<void()>& work, size_t room = 256) {
  std::array<char, 256> text{};
  DropReason reason = DropReason::kCount;
  int64_t allocations = -1;
  try {
    work();
  } catch (...) {
    allocations = hooks_test::allocations_of([&] {
      reason = gaze::reason_of_current_exception(DropReason::SelfCheck);
      gaze::text_of_current_exception(text.data(), room);
    });
  }
  CATCH_CHECK(allocations == 0);
  return {gaze::name(reason), text.data()};
}

struct Case {
  std::function<void()> work;
  const char* reason;
  const char* text;
};

}  // namespace

CATCH_TEST_CASE("status: an exception's type decides the reason, whatever its text speaks of") {
  const Case cases[] = {
      {[] { throw gaze::Error("no space", DropReason::DiskFull); }, "disk_full", "no space"},
      {[] { throw gaze::Error("CUDA error: out of memory", DropReason::OutDir); }, "out_dir",
       "CUDA error: out of memory"},
      {[] { throw c10::OutOfMemoryError(kHere, "none left"); }, "cuda_oom", "none left"},
      {[] { throw c10::AcceleratorError(kHere, 2, "none left"); }, "cuda_oom", "none left"},
      {[] { throw c10::AcceleratorError(kHere, 700, "an illegal address"); }, "cuda_error", "an illegal address"},
      {[] { throw gaze::ops::LaunchError(kHere, "no kernel image"); }, "cuda_error", "no kernel image"},
      {[] { throw c10::ValueError(kHere, "CUDA error: out of memory"); }, "self_check", "CUDA error: out of memory"},
      {[] { TORCH_CHECK(false, "expected CUDA, out of memory"); }, "self_check", "expected CUDA, out of memory"},
      {[] { throw std::bad_alloc(); }, "host_budget", "not enough memory"},
      {[] { throw std::bad_array_new_length(); }, "host_budget", "not enough memory"},
      {[] { throw std::runtime_error("anything"); }, "self_check", "anything"},
      {[] { throw 5; }, "self_check", "unknown exception"},
  };
  for (const Case& one : cases) {
    const Said said = told(one.work);
    CATCH_CHECK(said.reason == one.reason);
    CATCH_CHECK(said.text == one.text);
  }
}

#ifndef __SANITIZE_ADDRESS__  // which ends the process instead
CATCH_TEST_CASE("status: memory that torch's host allocator was not given is the host's") {
  CATCH_CHECK(told([] { (void)at::empty({int64_t{1} << 46}, at::kByte); }).reason == "host_budget");
}
#endif

CATCH_TEST_CASE("status: a text is cut between characters, and where nothing is handled nothing is told") {
  const auto umlauts = [] { throw std::runtime_error("a\xC3\xBC\xE2\x82\xAC"); };
  const char* whole = "a\xC3\xBC\xE2\x82\xAC";
  const size_t kept[] = {0, 1, 1, 3, 3, 3, 6, 6};  // with room for 1, 2, ... bytes and the NUL
  for (size_t room = 1; room <= 8; ++room) {
    CATCH_CHECK(told(umlauts, room).text == std::string(whole).substr(0, kept[room - 1]));
  }
  std::array<char, 32> text{};
  CATCH_CHECK(gaze::reason_of_current_exception(DropReason::RenderError) == DropReason::RenderError);
  gaze::text_of_current_exception(text.data(), text.size());
  CATCH_CHECK(std::string(text.data()) == "no exception");
}
