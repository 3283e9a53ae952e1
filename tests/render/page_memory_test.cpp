// SPDX-License-Identifier: MIT
// Pages of one bundle on the memory of the one before.
#include "page/page_memory.hpp"

#include "support/test.hpp"

using gaze::PageMemory;

CATCH_TEST_CASE("page memory: a page that went is drawn on again, one that is held is not") {
  PageMemory memory;
  at::Tensor page_hwc = memory.take(40, 30);
  CATCH_REQUIRE(page_hwc.sizes() == at::IntArrayRef({40, 30, 3}));
  CATCH_CHECK(page_hwc.is_contiguous());
  CATCH_CHECK(page_hwc.scalar_type() == at::kByte);
  const void* const first = page_hwc.data_ptr();
  const at::Tensor other_hwc = memory.take(40, 30);
  CATCH_CHECK(other_hwc.data_ptr() != first);

  at::Tensor part_hwc = page_hwc.narrow(0, 7, 2);
  page_hwc.reset();
  CATCH_CHECK(memory.take(40, 30).data_ptr() != first);  // a part of it is still looked at
  part_hwc.reset();
  page_hwc = memory.take(10, 30);  // smaller ones fit as well
  CATCH_CHECK(page_hwc.data_ptr() == first);
  CATCH_CHECK(page_hwc.size(0) == 10);
}

CATCH_TEST_CASE("page memory: what is kept stays within the limit, and pages above it are given") {
  PageMemory memory;
  const int64_t rows = PageMemory::kMostBytes / 3000;  // of 1000 pixels: nearly all there is
  {
    const at::Tensor page_hwc = memory.take(rows, 1000);
    CATCH_CHECK(memory.kept_bytes() == rows * 3000);
    const at::Tensor more_hwc = memory.take(10, 1000);
    CATCH_CHECK(more_hwc.numel() == 30000);
    CATCH_CHECK(memory.kept_bytes() == rows * 3000);
  }
  const at::Tensor large_hwc = memory.take(rows + 1000, 1000);
  CATCH_CHECK(large_hwc.numel() > PageMemory::kMostBytes);
  CATCH_CHECK(memory.kept_bytes() == 0);  // nothing idle stays beside it
  CATCH_CHECK(memory.take(0, 5).numel() == 0);
}
