// Session messages as bytes, and back. docs/wire.md gives the grammar.
//
//   frame := "PHUB" version:u16 type:u16 json_bytes:u32 blob_bytes:u32 fd_count:u32 json blob
//
// Integers are little endian. decode never trusts: lengths, JSON types, ranges and string sizes are
// checked, and an error says which.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "exchange/session.h"

namespace phub::exchange {

constexpr size_t kFrameHeaderBytes = 20;
constexpr uint32_t kFrameBytesBeforeAuth = 4096;  // Of anybody who has not proved the secret.
constexpr uint32_t kFrameBytesMax = 256u << 20;
constexpr uint32_t kFrameJsonBytesMax = 128u << 20;
constexpr size_t kFrameFdsMax = 250;            // The kernel's limit for one sendmsg is 253.
constexpr uint64_t kStateFloatsMax = 32 << 20;  // Of one StateQuery: ask for more in pieces.
constexpr uint32_t kTensorCountMax = 1'000'000;
constexpr uint32_t kShardCountMax = 1024;              // Of one hub.
constexpr uint32_t kJoinedShardCountMax = 256 * 1024;  // Of all hubs of a job.
constexpr size_t kReportBytesMax = 1 << 20;            // A text for people.

// The whole frame; descriptors travel beside it. Bytes that are not UTF-8 become U+FFFD; numbers
// out of range are written as they are, and the reader refuses them.
std::string encode(const Body& body);

// Descriptors that travel with a body: the sum of its fd_counts, 0 for bodies without.
size_t fd_count(const Body& body);

struct FrameHeader {
  uint16_t type = 0;
  uint32_t json_bytes = 0;
  uint32_t blob_bytes = 0;
  uint32_t fd_count = 0;

  size_t frame_bytes() const { return kFrameHeaderBytes + size_t{json_bytes} + blob_bytes; }
};

// invalid_argument: bad magic, version, type or descriptor count, or a frame over `limit` bytes.
// REQUIRES: header.size() == kFrameHeaderBytes.
Result<FrameHeader> read_frame_header(std::span<const std::byte> header, uint32_t limit);

// Reads only the header: total bytes of the frame, or invalid_argument (bad magic, version or over
// limit; a wrong version is said by number).
// REQUIRES: header.size() == kFrameHeaderBytes.
Result<size_t> frame_size(std::span<const std::byte> header, uint32_t limit);

// A complete frame. invalid_argument: says which field is missing or wrong.
Result<Body> decode(std::span<const std::byte> frame);

}  // namespace phub::exchange
