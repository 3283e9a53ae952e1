// SPDX-License-Identifier: MIT
// A gaze_serve that the load starts, and ends by SIGTERM.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace gaze::serve {

class ServerProcess {
 public:
  /// Waits for its port. @param variables  of Gaze; others that begin with GAZE_ are taken from it
  /// @throws std::runtime_error where it does not start
  ServerProcess(const std::vector<std::string>& command, const std::map<std::string, std::string>& variables);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// Waits until it is gone. @return its exit status, -1 where it was killed
  int end();

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  int port_ = 0;
};

}  // namespace gaze::serve
