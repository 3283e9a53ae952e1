// SPDX-License-Identifier: MIT
#pragma once

#include <fstream>
#include <iostream>
#include <set>
#include <string>

/// Prints the path of every library in the process.
inline void print_libraries() {
  std::ifstream maps("/proc/self/maps");
  std::set<std::string> libraries;
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path != std::string::npos && line.find(".so", path) != std::string::npos) libraries.insert(line.substr(path));
  }
  for (const std::string& library : libraries) std::cout << "library " << library << '\n';
}
