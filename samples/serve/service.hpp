// SPDX-License-Identifier: MIT
// The server's addresses, and what stands behind each.
#pragma once

#include <atomic>
#include <cstddef>

#include "batcher.hpp"
#include "http_server.hpp"
#include "metrics.hpp"
#include "reader.hpp"
#include "reports.hpp"

namespace gaze::serve {

class Service {
 public:
  struct Settings {
    std::string model, profile, bundles;
    size_t threads = 2, max_batch = 8;
    std::chrono::milliseconds max_wait{5};
  };

  Service(HttpServer& server, const Settings& settings);
  /// Once the server has ended: answers what is queued, writes what was captured, and says what became of all.
  void end();

 private:
  void add_routes();
  void answer(const httplib::Request& request, httplib::Response& response);
  void set_capture(const httplib::Request& request, httplib::Response& response);
  void report(const httplib::Request& request, httplib::Response& response) const;
  void list(httplib::Response& response) const;

  HttpServer& server_;
  Metrics metrics_;
  Reports reports_;
  Reader reader_;
  std::unique_ptr<Batcher> batcher_;
  std::atomic<int64_t> answered_{0};
};

}  // namespace gaze::serve
