// Checks that the bootstraps of several fabrics share: is it one, of our version, with our numbers?
#pragma once

#include <phub/status.h>

#include <span>
#include <string>
#include <string_view>

#include "base/byte_codec.h"

namespace phub::transport {

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}
inline std::span<std::byte> bytes_of(std::string& text) {
  return std::as_writable_bytes(std::span(text));
}

// what: "shm offer". Takes magic and version off the front.
inline Status check_head(base::ByteReader& reader, uint32_t magic, uint32_t version,
                         const std::string& what) {
  if (reader.number<uint32_t>() != magic) return Status(Code::invalid_argument, "not a " + what);
  const uint32_t theirs = reader.number<uint32_t>();
  if (theirs == version) return {};
  return Status(Code::invalid_argument, what + " of version " + std::to_string(theirs) +
                                            ", but this build speaks " + std::to_string(version));
}

inline Status check_equal(const char* what, uint64_t theirs, uint64_t ours) {
  if (theirs == ours) return {};
  return Status(Code::invalid_argument, std::string("the peer says ") + what + " = " +
                                            std::to_string(theirs) + ", but here it is " +
                                            std::to_string(ours));
}

}  // namespace phub::transport
