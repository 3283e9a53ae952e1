// SPDX-License-Identifier: MIT
// An HTTP server on the loopback that stands what a network sends: limits, and a JSON error for whatever is refused.
#pragma once

#include <httplib.h>

#include <atomic>
#include <functional>
#include <string>

#include "limits.hpp"

namespace gaze::serve {

class HttpServer final : public httplib::Server {
 public:
  explicit HttpServer(const Limits& limits);
  ~HttpServer() override;

  /// Of 127.0.0.1; 0: any. @return the port. @throws std::runtime_error where it cannot be had
  int bind(int port);
  /// Serves until `end`, and until every connection is closed.
  void run();
  /// No more connections; requests that began are answered. From any thread, once.
  void end();
  [[nodiscard]] bool ending() const noexcept { return ending_.load(); }
  [[nodiscard]] int64_t connections() const noexcept { return open_.load(); }

  /// Called with the status of every answer that is given before a route is found.
  std::function<void(int status)> on_refused = [](int) {};

 private:
  bool process_and_close_socket(socket_t socket) override;
  void set_handlers();

  const Limits limits_;
  int stop_event_;
  std::atomic<bool> ending_{false};
  std::atomic<int64_t> open_{0};
};

/// What the client said of its body. cpp-httplib is not told: its own reading of multipart has no limits.
std::string content_type_of(const httplib::Request& request);

}  // namespace gaze::serve
