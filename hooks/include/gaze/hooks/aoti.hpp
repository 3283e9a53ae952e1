// SPDX-License-Identifier: MIT
// Capture of AOTInductor packages: models that were compiled to a library.
#pragma once

#include <gaze/gaze.hpp>

namespace torch::inductor {
class AOTIModelPackageLoader;
}

namespace gaze {

/// Captures the attention that a package leaves to torch, and what nodes of `gaze.export_ready` show of the rest. What
/// is looked at is where its own code calls torch for it: the addresses of these functions in the package's table of
/// imports are replaced, in this package alone, and stay so; each call goes on to torch as it is, so outputs are the
/// same bytes. A call's place in the code is its site. Names come from nodes, and from the package's metadata where
/// `gaze.export_names` put them; else sites are attention0, attention1, ... in the order in which they first run, and
/// all of them count unless a profile says otherwise. Of a package without nodes, products on the processor whose first
/// operand has rows as weights have are proposed too, never by name.
///
/// Within a request that the host opens, the runs of its thread are captured. The package may be unloaded before or
/// after the handle is gone; several runners and threads may run it. Inert unless capture is on.
/// @throws gaze::Error when capture is on and the package calls torch for no attention, the profile does not fit, or
///         another capture of the package is live
GAZE_API Gaze attach(torch::inductor::AOTIModelPackageLoader& package, Options options = {});

}  // namespace gaze
