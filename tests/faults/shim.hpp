// SPDX-License-Identifier: MIT
// Control of the library that makes allocations and system calls fail. Link it first, or preload it.
#pragma once

#include <sys/types.h>

extern "C" {

/// Where the call came from that was made to fail last; lies in memory that outlives the process when it is shared.
struct GazeFaultTrace {
  void* frames[64];
  int depth;
};

/// Counts the allocations of `thread` from now on and makes the one numbered `at` (from 1; 0: none) fail, and all
/// later ones too when `for_ever`. With `under_gaze` only those count that have a Gaze library in their call path.
void gaze_fault_memory(pid_t thread, long at, bool for_ever, bool under_gaze);
/// Likewise for the system calls that Gaze writes bundles with, which fail with `error` (an errno).
void gaze_fault_calls(pid_t thread, long at, bool for_ever, int error);
/// Until gaze_fault_end every write of `thread` beyond one byte writes a part only.
void gaze_fault_short_writes(pid_t thread);
/// Ends all of it. Returns how many failed, and in `seen` how many were counted.
long gaze_fault_end(long* seen);
/// Allocations of the whole process that were not freed yet.
long gaze_fault_live();
/// Where every failure from now on is told.
void gaze_fault_trace(GazeFaultTrace* trace);
}
