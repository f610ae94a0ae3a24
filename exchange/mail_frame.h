// What a mailbox puts on its link: tags, and the heads of its frames.
//
//   tag   := kind:3 value:29         value: a sequence number of the kind's ring, or of grants
//   frame := size:u32 kind:u16 parts:u16 id:u32 reserved:u32 tag:u64 part_bytes:u64[parts] payload
//
// Integers are little endian. An eager frame carries its payload; an announcement says only how
// long it is, and `id` is the place at the sender from which it will come.
#pragma once

#include <phub/status.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace phub::exchange {

constexpr uint32_t kMailPartsMax = 8;
constexpr uint32_t kMailIdCount = 64;  // Announced messages of one direction at once.

enum class MailTag : uint8_t { eager = 0, bulk, grant, eager_credit, bulk_credit };
constexpr uint32_t kMailValueMask = (1u << 29) - 1;

constexpr uint32_t make_mail_tag(MailTag kind, uint32_t value) {
  return static_cast<uint32_t>(kind) << 29 | (value & kMailValueMask);
}
constexpr uint32_t mail_kind(uint32_t tag) { return tag >> 29; }  // May be none of MailTag.
constexpr uint32_t mail_value(uint32_t tag) { return tag & kMailValueMask; }

// A grant's value: which place at the sender, and the how manieth grant it is, modulo 2^23.
constexpr uint32_t kGrantMask = (1u << 23) - 1;
constexpr uint32_t make_grant(uint32_t id, uint32_t sequence) {
  return (sequence & kGrantMask) * kMailIdCount + id;
}

enum class MailKind : uint16_t { eager = 1, announce = 2, farewell = 3 };

struct MailHead {
  MailKind kind = MailKind::eager;
  uint16_t part_count = 0;
  uint32_t id = 0;
  uint64_t tag = 0;
  std::array<uint64_t, kMailPartsMax> part_bytes = {};

  size_t head_bytes() const { return 24 + size_t{part_count} * 8; }
  uint64_t payload_bytes() const;
};

// Writes head.head_bytes() bytes. REQUIRES: room for them.
void write_mail_head(const MailHead& head, std::byte* to);
// The head of a frame that came; it is copied before it is judged, since its memory may be the
// peer's. invalid_argument: says what is wrong with it. An eager frame's parts end where the
// frame does.
Result<MailHead> read_mail_head(std::span<const std::byte> frame);

}  // namespace phub::exchange
