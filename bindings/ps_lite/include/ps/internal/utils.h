// Small things that everybody includes.
#pragma once

#include <cinttypes>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include <dmlc/logging.h>
#include <ps/internal/env.h>

namespace ps {

// The variable's value, or `fallback`.
template <typename V>
inline V GetEnv(const char* name, V fallback) {
  const char* const value = Environment::Get()->find(name);
  return value == nullptr ? fallback : V(value);
}
inline int GetEnv(const char* name, int fallback) {
  const char* const value = Environment::Get()->find(name);
  return value == nullptr ? fallback : std::atoi(value);
}

#ifndef DISALLOW_COPY_AND_ASSIGN
#define DISALLOW_COPY_AND_ASSIGN(TypeName) \
  TypeName(const TypeName&) = delete;      \
  void operator=(const TypeName&) = delete
#endif

#define LL LOG(ERROR)

}  // namespace ps
