// Session messages as bytes, and back. docs/wire.md gives the grammar.
//
//   frame  := "PHUB" version:u16 type:u16 json_bytes:u32 blob_bytes:u32 json blob     (little
//   endian)
//
// decode never trusts: lengths, JSON types, ranges and string sizes are checked, and an error says
// which.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "exchange/session.h"

namespace phub::exchange {

constexpr size_t kFrameHeaderBytes = 16;
constexpr uint32_t kFrameBytesBeforeAuth = 4096;  // Of anybody who has not proved the secret.
constexpr uint32_t kFrameBytesMax = 256u << 20;
constexpr size_t kFrameFdsMax = 250;  // The kernel's limit for one sendmsg is 253.

// The whole frame; descriptors travel beside it.
std::string encode(const Body& body);

// Reads only the header: total bytes of the frame, or invalid_argument (bad magic, version or over
// limit; a wrong version is said by number).
// REQUIRES: header.size() == kFrameHeaderBytes.
Result<size_t> frame_size(std::span<const std::byte> header, uint32_t limit);

// A complete frame. invalid_argument: says which field is missing or wrong.
Result<Body> decode(std::span<const std::byte> frame);

}  // namespace phub::exchange
