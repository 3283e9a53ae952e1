// SPDX-License-Identifier: MIT
// A capture of a model that is told of instead of read. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/hooks/front_end.hpp>

#include <memory>

#include "config/log.hpp"
#include "request/attached_model.hpp"
#include "request/recorder.hpp"

namespace gaze {

/// @param complete  what the description does not say; before anything is started
/// @throws as attach
std::shared_ptr<Recorder> attach_described(const ModelDescription& model, const Options& options,
                                           const std::shared_ptr<const Log>& log,
                                           c10::function_ref<void(AttachedModel&)> complete);

}  // namespace gaze
