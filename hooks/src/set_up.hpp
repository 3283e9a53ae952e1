// SPDX-License-Identifier: MIT
// What every attach does, whatever finds the attention calls. Knows no TorchScript.
#pragma once

#include <c10/util/FunctionRef.h>
#include <gaze/hooks/options.hpp>

#include <memory>
#include <string>

#include "config/log.hpp"
#include "operate/operations.hpp"
#include "request/recorder.hpp"

namespace gaze {

/// A fault of set-up that a variable of the environment is to blame for, not the host's code.
class SetFromOutside : public Error {
 public:
  SetFromOutside(const char* variable, const Error& error)
      : Error(std::string(variable) + ": capture stays off: " + error.what(), error.reason()) {}
};

/// Which variable said what `error` complains of; null where the host's code did.
const char* variable_behind(const Error& error, const Options& options);

/// Work that the profile, layers, heads and the signing key decide about.
template <class Work>
auto as_options_say(const Options& options, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    if (const char* variable = variable_behind(error, options)) throw SetFromOutside(variable, error);
    throw;
  }
}

/// Of the code, the file, or none. @throws gaze::Error where it cannot be read, or another option is out of its range
Profile checked_profile(const Options& options);

/// What stands behind a recorder: started before a model is touched, for without a thread it stays as it was.
struct RecordDelivery {
  std::shared_ptr<Counters> counters;
  std::shared_ptr<HeldAnswers> held;
  std::shared_ptr<ControlState> control;
  std::shared_ptr<Operations> operations;
  std::unique_ptr<Worker> worker;
};
/// @throws gaze::Error, std::bad_alloc
RecordDelivery start_delivery(const Options& options, const std::shared_ptr<const Log>& log);

/// Its model's one live capture, which counts with `delivery`; nothing is captured yet.
/// @throws gaze::Error when another is live
void claim(const std::shared_ptr<Recorder>& recorder, const RecordDelivery& delivery);

/// From now on calls are captured, which the log says. @param model  its name; empty: it has none
void go_live(Recorder& recorder, RecordDelivery&& delivery, const std::string& model, const Log& log);

/// Runs `attach` under the options as the environment has them, unless capture is off: then nothing is touched, and not
/// even memory allocated, which would move everything the host allocates later.
/// @return null where capture stays off
/// @throws what `attach` throws, but for SetFromOutside, which must not keep a server from starting: it is logged
std::shared_ptr<Recorder> when_wanted(
    Options options,
    c10::function_ref<std::shared_ptr<Recorder>(const Options&, const std::shared_ptr<const Log>&)> attach);

}  // namespace gaze
