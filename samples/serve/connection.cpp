// SPDX-License-Identifier: MIT
#include "connection.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "http_error.hpp"

namespace gaze::serve {
namespace {

constexpr size_t kPiece = 64 << 10;

int milliseconds_until(std::chrono::steady_clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
  return static_cast<int>(std::max<int64_t>(0, left.count()));
}

void address_of(int (*ask)(int, sockaddr*, socklen_t*), int socket, std::string& ip, int& port) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  char text[INET_ADDRSTRLEN] = "";
  if (ask(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.sin_family != AF_INET) return;
  ip = inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
  port = ntohs(address.sin_port);
}

}  // namespace

Connection::Connection(socket_t socket, const Limits& limits, int stop_event)
    : socket_(socket), limits_(limits), stop_event_(stop_event) {
  const int on = 1;  // an answer's head and body are two writes
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Connection::~Connection() { ::close(socket_); }

ssize_t Connection::receive(Clock::time_point until, bool until_stop) {
  pollfd events[] = {{socket_, POLLIN, 0}, {stop_event_, POLLIN, 0}};
  int ready = 0;
  do {
    ready = poll(events, until_stop ? 2 : 1, milliseconds_until(until));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0 || events[0].revents == 0) return -1;
  buffer_.erase(0, taken_);
  taken_ = 0;
  const size_t size = buffer_.size();
  buffer_.resize(size + kPiece);
  const ssize_t got = recv(socket_, buffer_.data() + size, kPiece, MSG_DONTWAIT);
  buffer_.resize(size + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return got;
}

Connection::Head Connection::await_head() {
  auto end = Clock::now() + limits_.patience;
  while (true) {
    const std::string_view here = std::string_view(buffer_).substr(taken_);
    const size_t head = here.find("\r\n\r\n");
    const auto lines =
        std::count(here.begin(), here.begin() + static_cast<std::ptrdiff_t>(std::min(head, here.size())), '\n');
    if (std::min(head, here.size()) > limits_.head_bytes || static_cast<size_t>(lines) > limits_.head_lines)
      return Head::TooLarge;
    if (head != std::string_view::npos) break;
    const bool idle = here.empty();
    if (receive(end, idle) <= 0) return idle || milliseconds_until(end) > 0 ? Head::Gone : Head::TooSlow;
    if (idle) end = Clock::now() + limits_.patience;
  }
  body_end_ = Clock::now() + limits_.patience;
  return Head::Ready;
}

ssize_t Connection::read(char* to, size_t size) {
  if (taken_ == buffer_.size()) {
    const ssize_t got = receive(body_end_, false);
    if (got <= 0) return got;
  }
  const size_t count = std::min(size, buffer_.size() - taken_);
  std::memcpy(to, buffer_.data() + taken_, count);
  taken_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t Connection::write(const char* from, size_t size) {
  const auto end = Clock::now() + limits_.patience;
  size_t done = 0;
  while (done < size) {
    pollfd event{socket_, POLLOUT, 0};
    if (poll(&event, 1, milliseconds_until(end)) == 0) return -1;
    const ssize_t sent = send(socket_, from + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return -1;
    done += static_cast<size_t>(std::max<ssize_t>(sent, 0));
  }
  return static_cast<ssize_t>(size);
}

void Connection::refuse(int status, const std::string& text) {
  const std::string body = error_json(text);
  write("HTTP/1.1 " + std::to_string(status) + " Refused\r\nContent-Type: application/json\r\nConnection: close\r\n" +
        (status == 503 ? "Retry-After: 1\r\n" : "") + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
        body);
}

void Connection::close(std::chrono::milliseconds moment) {
  shutdown(socket_, SHUT_WR);
  const auto end = Clock::now() + moment;
  do {
    buffer_.clear();
    taken_ = 0;
  } while (receive(end, false) > 0);
}

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  address_of(getpeername, socket_, ip, port);
}
void Connection::get_local_ip_and_port(std::string& ip, int& port) const { address_of(getsockname, socket_, ip, port); }

}  // namespace gaze::serve
