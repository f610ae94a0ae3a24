#include <ps/internal/env.h>

namespace ps {

Environment* Environment::Get() {
  static Environment* const environment = new Environment;  // Outlives every user's statics.
  return environment;
}

Environment* Environment::Init(const std::unordered_map<std::string, std::string>& values) {
  Get()->values_ = values;
  return Get();
}

const char* Environment::find(const char* name) {
  const auto found = values_.find(name);
  return found == values_.end() ? std::getenv(name) : found->second.c_str();
}

}  // namespace ps
