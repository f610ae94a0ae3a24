#include "exchange/mail_frame.h"

#include <bit>
#include <cstring>
#include <string>

namespace phub::exchange {
namespace {

static_assert(std::endian::native == std::endian::little);
constexpr uint64_t kMessageBytesMax = uint64_t{1} << 48;

template <typename T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}
template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

Status broken(const std::string& what) {
  return Status(Code::invalid_argument, "mailbox frame " + what);
}

}  // namespace

uint64_t MailHead::payload_bytes() const {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < part_count; ++i) bytes += part_bytes[i];
  return bytes;
}

void write_mail_head(const MailHead& head, std::byte* to) {
  store<uint32_t>(to, static_cast<uint32_t>(head.head_bytes()));
  store<uint16_t>(to + 4, static_cast<uint16_t>(head.kind));
  store<uint16_t>(to + 6, head.part_count);
  store<uint32_t>(to + 8, head.id);
  store<uint32_t>(to + 12, 0);
  store<uint64_t>(to + 16, head.tag);
  std::memcpy(to + 24, head.part_bytes.data(), size_t{head.part_count} * 8);
}

Result<MailHead> read_mail_head(std::span<const std::byte> frame) {
  if (frame.size() < 24) return broken("of " + std::to_string(frame.size()) + " bytes");
  std::array<std::byte, 24> fixed;
  std::memcpy(fixed.data(), frame.data(), fixed.size());
  MailHead head;
  const auto kind = load<uint16_t>(fixed.data() + 4);
  if (kind < 1 || kind > 3) return broken("of unknown kind " + std::to_string(kind));
  head.kind = MailKind{kind};
  head.part_count = load<uint16_t>(fixed.data() + 6);
  head.id = load<uint32_t>(fixed.data() + 8);
  head.tag = load<uint64_t>(fixed.data() + 16);
  if (head.part_count > kMailPartsMax) {
    return broken("with " + std::to_string(head.part_count) + " parts; at most " +
                  std::to_string(kMailPartsMax));
  }
  if (load<uint32_t>(fixed.data()) != head.head_bytes() || frame.size() < head.head_bytes()) {
    return broken("with a head of " + std::to_string(load<uint32_t>(fixed.data())) +
                  " bytes instead of " + std::to_string(head.head_bytes()));
  }
  std::memcpy(head.part_bytes.data(), frame.data() + 24, size_t{head.part_count} * 8);
  for (uint32_t i = 0; i < head.part_count; ++i) {
    if (head.part_bytes[i] > kMessageBytesMax) return broken("with a part of over 2^48 bytes");
  }
  const uint64_t payload = frame.size() - head.head_bytes();
  const uint64_t wanted = head.kind == MailKind::eager ? head.payload_bytes() : 0;
  if (payload != wanted) {
    return broken("with " + std::to_string(payload) + " bytes of payload instead of " +
                  std::to_string(wanted));
  }
  if (head.kind == MailKind::announce && (head.id >= kMailIdCount || head.payload_bytes() == 0)) {
    return broken("announces place " + std::to_string(head.id) + " with " +
                  std::to_string(head.payload_bytes()) + " bytes");
  }
  return head;
}

}  // namespace phub::exchange
