// SPDX-License-Identifier: MIT
// Capture below TorchScript: models in eager C++ or Python, scripted, traced, frozen or compiled, whose attention runs
// as torch's own operators.
#pragma once

#include <gaze/gaze.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gaze {

/// An attention call of every step of a model. A step is one run of the model: of a prompt, or for a token.
struct StepSite {
  Site site = {};         ///< name; relation and heads where they are known
  int64_t head_size = 0;  ///< of queries and keys; 0: not known
  bool in_step = true;    ///< false: it runs before the first step of a request, as an encoder that a host's loop calls
};

/// Captures what attention the operators of torch run on the host's threads while requests are open, whatever calls
/// them. The first attach of a process puts kernels before those of the attention operators, softmax, and the products
/// that take its result; they stay for the process's life, and hand everything on: outputs and gradients are the same
/// bytes. Without an open request they look at one number.
///
/// Calls have no names there. They are told apart by their order within a step, which Gaze::step() marks, or by keys
/// that grow by the queries of each step; where neither tells, the request is refused as `site_order`. A request's
/// calls are those of its thread.
///
/// @param sites  the calls of one step, in their order: what a profile's `sites.match` names. Empty: they are found in
///               the first step of a request, and are called attention0, attention1, ...; then all of them count
///               unless a profile says otherwise
/// One live capture of a process. Inert unless capture is on.
/// @throws gaze::Error when capture is on and the sites are not well-formed, the profile does not fit them, another
///         such capture is live, or torch has kernels of others where these belong
GAZE_API Gaze attach_dispatcher(Options options = {}, std::vector<StepSite> sites = {});

}  // namespace gaze
