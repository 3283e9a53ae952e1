// SPDX-License-Identifier: MIT
// What the host's thread is in the middle of must not reach what a tap computes. Knows no TorchScript.
#pragma once

#include <c10/core/impl/LocalDispatchKeySet.h>

namespace gaze {

/// While it lives: nothing is cast, traced, batched by functorch, or shown to a mode written in Python.
class InsideTap {
  c10::impl::ExcludeDispatchKeyGuard guard_{
      c10::autocast_dispatch_keyset | c10::python_ks |
      c10::DispatchKeySet({c10::DispatchKey::Tracer, c10::DispatchKey::PythonDispatcher,
                           c10::DispatchKey::FuncTorchDynamicLayerFrontMode,
                           c10::DispatchKey::FuncTorchDynamicLayerBackMode, c10::DispatchKey::FuncTorchVmapMode,
                           c10::DispatchKey::FuncTorchGradWrapper, c10::DispatchKey::VmapMode,
                           c10::DispatchKey::Functionalize})};
};

}  // namespace gaze
