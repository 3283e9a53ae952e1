// SPDX-License-Identifier: MIT
#include "server_process.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string_view>

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace gaze::serve {
namespace {

std::string read_line(int descriptor) {
  std::string line;
  for (char c = 0; ::read(descriptor, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

std::vector<std::string> environment_with(const std::map<std::string, std::string>& variables) {
  std::vector<std::string> all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("GAZE_")) all.emplace_back(*variable);
  }
  for (const auto& [name, value] : variables) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

ServerProcess::ServerProcess(const std::vector<std::string>& command,
                             const std::map<std::string, std::string>& variables) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  std::vector<std::string> words = command, environment = environment_with(variables);
  const std::vector<char*> arguments = pointers_to(words), settings = pointers_to(environment);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(ends[1], STDOUT_FILENO);
    execve(arguments[0], arguments.data(), settings.data());
    _exit(127);
  }
  ::close(ends[1]);
  output_ = ends[0];
  const std::string line = read_line(output_);
  const size_t colon = line.rfind(':');
  port_ = colon == std::string::npos ? 0 : std::atoi(line.c_str() + colon + 1);
  if (port_ > 0) return;
  end();
  throw std::runtime_error(command[0] + ": expected a server that says its port, got \"" + line + "\"");
}

ServerProcess::~ServerProcess() { end(); }

int ServerProcess::end() {
  if (pid_ <= 0) return 0;
  kill(pid_, SIGTERM);
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  for (std::string line = read_line(output_); !line.empty(); line = read_line(output_))
    std::fprintf(stderr, "gaze_load: the server said: %s\n", line.c_str());
  ::close(output_);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace gaze::serve
