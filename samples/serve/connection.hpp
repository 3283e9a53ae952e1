// SPDX-License-Identifier: MIT
// One client's socket, which reads no more and waits no longer than the limits say: cpp-httplib bounds neither a
// request's head nor the time that a client takes.
#pragma once

#include <httplib.h>

#include <chrono>
#include <string>

#include "limits.hpp"

namespace gaze::serve {

class Connection final : public httplib::Stream {
 public:
  enum class Head { Ready, Gone, TooLarge, TooSlow };

  /// Takes the socket. @param stop_event  a descriptor that becomes readable when the server ends
  Connection(socket_t socket, const Limits& limits, int stop_event);
  ~Connection() override;  ///< closes at once; call `close` first so that the client gets what was written
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Waits for the next request until its whole head is here. Gone: the client left, was idle, or the server ends.
  Head await_head();
  /// Whether the time for the request's body has passed.
  [[nodiscard]] bool late() const { return Clock::now() >= body_end_; }
  /// Answers without looking at the request.
  void refuse(int status, const std::string& text);
  /// Says that nothing more comes, and throws away what the client still sends, for a moment: a socket that is closed
  /// over unread bytes takes back what was written.
  void close(std::chrono::milliseconds moment = std::chrono::milliseconds(500));

  [[nodiscard]] bool is_readable() const override { return true; }
  [[nodiscard]] bool is_writable() const override { return true; }
  ssize_t read(char* to, size_t size) override;
  ssize_t write(const char* from, size_t size) override;
  using httplib::Stream::write;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  [[nodiscard]] socket_t socket() const override { return socket_; }

 private:
  using Clock = std::chrono::steady_clock;
  /// More bytes into the buffer. @return what recv returned, or -1 when none came in time
  ssize_t receive(Clock::time_point until, bool until_stop);

  socket_t socket_;
  const Limits& limits_;
  int stop_event_;
  std::string buffer_;
  size_t taken_ = 0;            // of the buffer
  Clock::time_point body_end_;  // when the request must be here
};

}  // namespace gaze::serve
