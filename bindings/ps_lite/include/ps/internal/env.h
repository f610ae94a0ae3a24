// Environment variables, which a program may set for this library alone.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <unordered_map>

namespace ps {

class Environment {
 public:
  static Environment* Get();
  // Values that come before those of the process. Pointers from find() live until the next Init().
  static Environment* Init(const std::unordered_map<std::string, std::string>& values);

  const char* find(const char* name);  // Null: not set.

 private:
  Environment() = default;
  std::unordered_map<std::string, std::string> values_;
};

}  // namespace ps
