// SPDX-License-Identifier: MIT
// gaze_serve: the sample model behind HTTP, with Gaze attached. Exit 0: ended by SIGTERM or SIGINT; 1: refused; 2:
// wrong usage.
#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdio>
#include <exception>
#include <thread>

#include "http_server.hpp"
#include "service.hpp"

namespace {

struct Arguments {
  gaze::serve::Service::Settings service;
  gaze::serve::Limits limits;
  int port = 0;
  int max_wait_ms = 5;
  int patience_ms = 10'000;
};

void add_options(CLI::App& app, Arguments& arguments) {
  auto& service = arguments.service;
  app.add_option("--model", service.model, "A stickers model")->required()->check(CLI::ExistingFile);
  app.add_option("--profile", service.profile, "Its profile")->required()->check(CLI::ExistingFile);
  app.add_option("--port", arguments.port, "Of 127.0.0.1; 0: any that is free")->check(CLI::Range(0, 65535));
  app.add_option("--threads", service.threads, "That run the model")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--max-batch", service.max_batch, "Rows of a batch")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--max-wait-ms", arguments.max_wait_ms, "How long a request waits for others to go with it")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_option("--bundles", service.bundles, "Folder for overlays (default: GAZE_OUT_DIR, else ./overlays)");
  app.add_option("--max-connections", arguments.limits.connections, "At once; others are told 503")
      ->check(CLI::Range(1, 512))
      ->capture_default_str();
  app.add_option("--patience-ms", arguments.patience_ms, "How long a client may take to send a request")
      ->check(CLI::Range(10, 600'000))
      ->capture_default_str();
}

/// Blocked here, and so in every thread that is started later: they are waited for.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void serve(Arguments& arguments) {
  const sigset_t signals = block_signals();
  arguments.service.max_wait = std::chrono::milliseconds(arguments.max_wait_ms);
  arguments.limits.patience = std::chrono::milliseconds(arguments.patience_ms);
  gaze::serve::HttpServer server(arguments.limits);
  gaze::serve::Service service(server, arguments.service);
  const int port = server.bind(arguments.port);
  std::thread listening([&] { server.run(); });
  std::printf("gaze_serve: http://127.0.0.1:%d\n", port);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  server.end();
  listening.join();
  service.end();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The sample model behind HTTP on 127.0.0.1, with Gaze attached");
  Arguments arguments;
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    serve(arguments);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gaze_serve: %s\n", error.what());
    return 1;
  }
}
