// What travels on a TCP link: frames, each with the heads of its puts before their payloads, so
// that the receiver knows where many payloads go and takes them in few system calls.
//
//   frame := mark:u32 count:u32 {tag:u32 slot:u32 bytes:u32}{count} payload{count}    little endian
//
// A frame has what was waiting when it was made: nothing waits for a frame to become full.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace phub::transport {

constexpr uint32_t kTcpFrameMark = 0x32465450;  // "PTF2"
constexpr uint32_t kTcpFramePutsMax = 64;

struct TcpPutHead {
  uint32_t tag = 0;
  uint32_t slot = 0;
  uint32_t bytes = 0;
};

struct TcpFrameHead {
  uint32_t mark = kTcpFrameMark;
  uint32_t count = 0;  // 1 to kTcpFramePutsMax; so many of `puts` travel.
  std::array<TcpPutHead, kTcpFramePutsMax> puts;

  static constexpr size_t kFixedBytes = 8;
  static constexpr size_t bytes_for(uint32_t count) {
    return kFixedBytes + count * sizeof(TcpPutHead);
  }
};
static_assert(sizeof(TcpPutHead) == 12);
static_assert(sizeof(TcpFrameHead) == TcpFrameHead::bytes_for(kTcpFramePutsMax));
static_assert(std::endian::native == std::endian::little, "frames are sent as they lie in memory");

}  // namespace phub::transport
