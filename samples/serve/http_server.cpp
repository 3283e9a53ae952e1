// SPDX-License-Identifier: MIT
#include "http_server.hpp"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "connection.hpp"
#include "connection_pool.hpp"
#include "http_error.hpp"

namespace gaze::serve {
namespace {

constexpr const char* kJson = "application/json";
constexpr const char* kContentType = "Gaze-Content-Type";  // where a request's Content-Type is kept
constexpr std::chrono::milliseconds kRefusedLinger{50};    // others wait to be refused
constexpr int kBacklog = 128;
constexpr int kMostRequests = 1000;  // of one connection

thread_local bool answered_with_error = false;
thread_local const Connection* served = nullptr;  // while its request is

std::string text_of(int status) {
  switch (status) {
    case 400:
      return "the request cannot be understood";
    case 404:
      return "there is nothing here";
    case 408:
      return "the request did not come in time";
    case 413:
      return "the body is too large";
    case 414:
      return "the address is too long";
    case 416:
      return "the range cannot be understood";
    default:
      return "refused";
  }
}

void answer_error(httplib::Response& response, int status, const std::string& text) {
  response.status = status;
  response.set_content(error_json(text), kJson);
}

/// Other names are those of a page elsewhere that makes a browser call this server.
bool is_loopback(std::string host) {
  const size_t port = host.rfind(':');
  if (port != std::string::npos) host.resize(port);
  return host == "127.0.0.1" || host == "localhost";
}

void expect_well_formed(const httplib::Request& request, const Limits& limits) {
  if (request.get_header_value_count("Host") != 1) throw HttpError(400, "Host: expected once");
  if (!is_loopback(request.get_header_value("Host"))) throw HttpError(421, "Host: expected 127.0.0.1 or localhost");
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (!reads && request.method != "POST") throw HttpError(405, "expected GET, HEAD or POST");
  if (request.has_header("Transfer-Encoding")) throw HttpError(411, "expected Content-Length, got Transfer-Encoding");
  if (request.has_header("Content-Encoding")) throw HttpError(415, "Content-Encoding: expected none");
  const size_t lengths = request.get_header_value_count("Content-Length");
  if (lengths > 1) throw HttpError(400, "Content-Length: expected once");
  if (lengths == 0 && !reads) throw HttpError(411, "expected Content-Length");
  const std::string length = request.get_header_value("Content-Length");
  const bool digits = std::all_of(length.begin(), length.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (lengths == 1 && (length.empty() || !digits)) throw HttpError(400, "Content-Length: expected digits");
  if (length.size() > 12 || std::strtoull(length.c_str(), nullptr, 10) > limits.body_bytes)
    throw HttpError(413, "the body is too large: expected at most " + std::to_string(limits.body_bytes) + " bytes");
  if (reads && std::strtoull(length.c_str(), nullptr, 10) > 0) throw HttpError(400, "expected no body");
}

/// Before cpp-httplib looks at the body: multipart is read elsewhere, and of pages there are no ranges.
void keep_raw(httplib::Request& request) {
  request.headers.erase(kContentType);
  const auto types = request.headers.equal_range("Content-Type");
  std::vector<std::string> values;
  for (auto header = types.first; header != types.second; ++header) values.push_back(header->second);
  request.headers.erase("Content-Type");
  for (const std::string& value : values) request.headers.emplace(kContentType, value);
  request.ranges.clear();
}

}  // namespace

std::string content_type_of(const httplib::Request& request) {
  if (request.get_header_value_count(kContentType) > 1) throw HttpError(400, "Content-Type: expected once");
  return request.get_header_value(kContentType);
}

HttpServer::HttpServer(const Limits& limits) : limits_(limits), stop_event_(eventfd(0, EFD_CLOEXEC)) {
  if (stop_event_ < 0) throw std::runtime_error("eventfd failed");
  new_task_queue = [this] { return new ConnectionPool(limits_.connections, limits_.waiting); };
  set_payload_max_length(limits_.body_bytes);
  set_handlers();
}

HttpServer::~HttpServer() { ::close(stop_event_); }

void HttpServer::set_handlers() {
  set_pre_routing_handler([this](const httplib::Request& request, httplib::Response&) {
    expect_well_formed(request, limits_);
    if (ending()) throw HttpError(503, "the server is ending");
    return HandlerResponse::Unhandled;
  });
  set_expect_100_continue_handler([this](const httplib::Request& request, httplib::Response& response) {
    try {
      expect_well_formed(request, limits_);
    } catch (const HttpError& error) {
      answer_error(response, error.status(), error.what());
      return error.status();
    }
    return 100;
  });
  set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr thrown) {
    try {
      std::rethrow_exception(std::move(thrown));
    } catch (const HttpError& error) {
      answer_error(response, error.status(), error.what());
    } catch (const std::exception& error) {
      std::fprintf(stderr, "gaze_serve: %s\n", error.what());
      answer_error(response, 500, "the server failed");
    } catch (...) {
      answer_error(response, 500, "the server failed");
    }
  });
  set_error_handler(HandlerWithResponse([](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty()) return HandlerResponse::Unhandled;
    // Of a body that did not come cpp-httplib knows only that it is not whole.
    if (response.status == 400 && served != nullptr && served->late()) response.status = 408;
    answer_error(response, response.status, text_of(response.status));
    return HandlerResponse::Handled;
  }));
  set_post_routing_handler([this](const httplib::Request&, httplib::Response& response) {
    answered_with_error = response.status >= 400;
    response.headers.erase("Keep-Alive");  // cpp-httplib says its own limits there
    if (answered_with_error || ending()) response.headers.erase("Connection");
    if (answered_with_error || ending()) response.set_header("Connection", "close");
    if (response.status == 503) response.set_header("Retry-After", "1");
    response.set_header("X-Content-Type-Options", "nosniff");
    response.set_header("Cache-Control", "no-store");
  });
}

int HttpServer::bind(int port) {
  const std::string host = "127.0.0.1";
  if (port == 0) {
    port = bind_to_any_port(host);
  } else if (!bind_to_port(host, port)) {
    port = -1;
  }
  if (port < 0) throw std::runtime_error("--port: expected one that is free");
  ::listen(svr_sock_, kBacklog);  // cpp-httplib says 5
  return port;
}

void HttpServer::run() { listen_after_bind(); }

void HttpServer::end() {
  ending_ = true;
  const uint64_t one = 1;
  if (::write(stop_event_, &one, sizeof one) < 0) std::perror("gaze_serve: eventfd");
  // As `stop` does, which does nothing while `run` has not come to its loop.
  const socket_t listening = svr_sock_.exchange(INVALID_SOCKET);
  ::shutdown(listening, SHUT_RDWR);
  ::close(listening);
}

bool HttpServer::process_and_close_socket(socket_t socket) {
  Connection connection(socket, limits_, stop_event_);
  if (ConnectionPool::turn() == ConnectionPool::Turn::Drop) return false;
  if (ConnectionPool::turn() == ConnectionPool::Turn::Refuse) {
    on_refused(503);
    connection.refuse(503, "too many connections");
    connection.close(kRefusedLinger);
    return false;
  }
  ++open_;
  for (int count = 1; count <= kMostRequests; ++count) {
    const Connection::Head head = connection.await_head();
    if (head == Connection::Head::TooLarge) connection.refuse(431, "the request's head is too large");
    if (head == Connection::Head::TooSlow) connection.refuse(408, "the request did not come in time");
    if (head == Connection::Head::TooLarge) on_refused(431);
    if (head == Connection::Head::TooSlow) on_refused(408);
    if (head != Connection::Head::Ready) break;
    bool closed = false;
    served = &connection;
    answered_with_error = false;
    const bool went = process_request(connection, count == kMostRequests || ending(), closed, keep_raw);
    served = nullptr;
    if (!went || closed || answered_with_error || ending()) break;
  }
  connection.close();
  --open_;
  return true;
}

}  // namespace gaze::serve
