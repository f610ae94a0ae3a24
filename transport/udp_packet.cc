#include "transport/udp_packet.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

// The sum is the only loop over all bytes of a packet, so it is worth the wide registers that the
// machine has. Sanitizers run before the choice between versions could be made.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) && \
    defined(__GNUC__) && !defined(__clang__)
#define PHUB_WIDE \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3")))
#else
#define PHUB_WIDE
#endif

namespace phub::transport {
namespace {

constexpr uint16_t kTypeIpv4 = 0x0800;
constexpr uint16_t kTypeIpv6 = 0x86dd;
constexpr std::byte kProtocolUdp{17};
constexpr std::byte kHops{64};
constexpr std::byte kEct0{0x02};  // ECN-capable.
constexpr std::byte kEcnBits{0x03};
constexpr uint16_t kTailMagic = 0x7048;

void put16(std::byte* at, uint16_t value) {
  at[0] = static_cast<std::byte>(value >> 8);
  at[1] = static_cast<std::byte>(value & 0xff);
}
uint16_t get16(const std::byte* at) {
  return static_cast<uint16_t>(static_cast<uint16_t>(at[0]) << 8 | static_cast<uint16_t>(at[1]));
}

uint16_t fold(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}
// Sums are taken over words as they lie in memory, and written back the same way.
void put_sum(std::byte* at, uint16_t sum) { std::memcpy(at, &sum, sizeof(sum)); }

// Addresses, protocol and length: what UDP's checksum covers besides the packet.
uint64_t pseudo_sum(std::span<const std::byte> addresses, size_t udp_bytes) {
  std::array<std::byte, 4> rest{std::byte{0}, kProtocolUdp};
  put16(rest.data() + 2, static_cast<uint16_t>(udp_bytes));
  return internet_sum(addresses) + internet_sum(rest);
}

PHUB_WIDE uint64_t sum_words(const std::byte* bytes, size_t word_count) {
  // Four-byte words into eight-byte sums: folding makes it the sum of two-byte words.
  uint64_t sum = 0;
  for (size_t i = 0; i < word_count; ++i) {
    uint32_t word = 0;
    std::memcpy(&word, bytes + i * sizeof(word), sizeof(word));
    sum += word;
  }
  return sum;
}

struct Ip {
  std::array<std::byte, 16> from{};
  std::array<std::byte, 16> to{};
  bool is_marked = false;
  std::span<const std::byte> udp;  // And what follows it.
  uint64_t pseudo = 0;
};

std::array<std::byte, 16> mapped(const std::byte* ipv4) {
  std::array<std::byte, 16> ip{};
  ip[10] = ip[11] = std::byte{0xff};
  std::copy(ipv4, ipv4 + 4, ip.begin() + 12);
  return ip;
}

std::optional<Ip> parse_ipv4(std::span<const std::byte> bytes, bool is_checked) {
  if (bytes.size() < kIpv4Bytes || (bytes[0] >> 4) != std::byte{4}) return std::nullopt;
  const size_t head_bytes = 4 * static_cast<size_t>(bytes[0] & std::byte{0x0f});
  const size_t total_bytes = get16(&bytes[2]);
  if (head_bytes < kIpv4Bytes || total_bytes < head_bytes + kUdpBytes ||
      total_bytes > bytes.size()) {
    return std::nullopt;
  }
  constexpr uint16_t kFragmentBits = 0x3fff;  // "More follow", and the offset.
  if ((get16(&bytes[6]) & kFragmentBits) != 0 || bytes[9] != kProtocolUdp) return std::nullopt;
  if (!is_checked && fold(internet_sum(bytes.first(head_bytes))) != 0xffff) return std::nullopt;
  Ip ip;
  ip.from = mapped(&bytes[12]);
  ip.to = mapped(&bytes[16]);
  ip.is_marked = (bytes[1] & kEcnBits) == kEcnBits;
  ip.udp = bytes.subspan(head_bytes, total_bytes - head_bytes);
  ip.pseudo = pseudo_sum(bytes.subspan(12, 8), ip.udp.size());
  return ip;
}

std::optional<Ip> parse_ipv6(std::span<const std::byte> bytes) {
  if (bytes.size() < kIpv6Bytes || (bytes[0] >> 4) != std::byte{6}) return std::nullopt;
  const size_t payload_bytes = get16(&bytes[4]);
  // Nobody of ours sends extension headers.
  if (payload_bytes < kUdpBytes || payload_bytes > bytes.size() - kIpv6Bytes ||
      bytes[6] != kProtocolUdp) {
    return std::nullopt;
  }
  Ip ip;
  std::copy(&bytes[8], &bytes[24], ip.from.begin());
  std::copy(&bytes[24], &bytes[40], ip.to.begin());
  ip.is_marked = (bytes[1] >> 4 & kEcnBits) == kEcnBits;
  ip.udp = bytes.subspan(kIpv6Bytes, payload_bytes);
  ip.pseudo = pseudo_sum(bytes.subspan(8, 32), ip.udp.size());
  return ip;
}

std::byte* write_ipv4(const UdpPlace& from, const UdpPlace& to, bool device_sums, size_t bytes,
                      std::span<std::byte> ip) {
  PHUB_DCHECK(bytes <= UINT16_MAX);
  std::fill_n(ip.begin(), kIpv4Bytes, std::byte{0});
  ip[0] = std::byte{0x45};
  ip[1] = kEct0;
  put16(&ip[2], static_cast<uint16_t>(bytes));
  ip[6] = std::byte{0x40};  // Never in fragments.
  ip[8] = kHops;
  ip[9] = kProtocolUdp;
  std::copy(from.ip.begin() + 12, from.ip.end(), &ip[12]);
  std::copy(to.ip.begin() + 12, to.ip.end(), &ip[16]);
  if (!device_sums) {
    put_sum(&ip[10], static_cast<uint16_t>(~fold(internet_sum(ip.first(kIpv4Bytes)))));
  }
  return &ip[12];
}

std::byte* write_ipv6(const UdpPlace& from, const UdpPlace& to, size_t bytes,
                      std::span<std::byte> ip) {
  ip[0] = std::byte{0x60};
  ip[1] = kEct0 << 4;
  // The flow label: routers may hash it instead of the port.
  ip[2] = std::byte{0};
  ip[3] = std::byte{0};
  put16(&ip[4], static_cast<uint16_t>(bytes - kIpv6Bytes));
  ip[6] = kProtocolUdp;
  ip[7] = kHops;
  std::copy(from.ip.begin(), from.ip.end(), &ip[8]);
  std::copy(to.ip.begin(), to.ip.end(), &ip[24]);
  return &ip[8];
}

}  // namespace

uint64_t internet_sum(std::span<const std::byte> bytes) {
  const size_t word_count = bytes.size() / 4;
  uint64_t sum = sum_words(bytes.data(), word_count);
  uint32_t rest = 0;
  if (bytes.size() % 4 != 0) std::memcpy(&rest, bytes.data() + word_count * 4, bytes.size() % 4);
  sum += rest;
  return sum;
}

size_t frame_head_bytes(const UdpPlace& from) {
  return kEthernetBytes + (from.is_ipv4() ? kIpv4Bytes : kIpv6Bytes) + kUdpBytes + kTailBytes;
}

void write_frame_head(const UdpPlace& from, const UdpPlace& to, const FrameOptions& options,
                      std::span<std::byte> frame) {
  const bool is_ipv4 = from.is_ipv4();
  std::copy(to.mac.begin(), to.mac.end(), frame.begin());
  std::copy(from.mac.begin(), from.mac.end(), frame.begin() + 6);
  put16(&frame[12], is_ipv4 ? kTypeIpv4 : kTypeIpv6);
  const std::span<std::byte> ip = frame.subspan(kEthernetBytes);
  const size_t ip_bytes = ip.size() + options.rest.size();
  const std::byte* const addresses =
      is_ipv4 ? write_ipv4(from, to, options.device_sums_ip, ip_bytes, ip)
              : write_ipv6(from, to, ip_bytes, ip);
  const std::span<std::byte> udp = ip.subspan(is_ipv4 ? kIpv4Bytes : kIpv6Bytes);
  put16(&udp[0], options.source_port);
  put16(&udp[2], to.port);
  const size_t udp_bytes = udp.size() + options.rest.size();
  put16(&udp[4], static_cast<uint16_t>(udp_bytes));
  put_sum(&udp[6], 0);
  put16(&udp[8], kTailMagic);
  put16(&udp[10], from.port);
  put16(&udp[12], from.queue);
  put16(&udp[14], from.queue_count);
  const uint64_t pseudo = pseudo_sum({addresses, is_ipv4 ? size_t{8} : size_t{32}}, udp_bytes);
  if (options.device_sums_udp) {
    put_sum(&udp[6], fold(pseudo));
    return;
  }
  // After an odd number of bytes the rest's stand on the other side of their words.
  uint16_t rest = fold(internet_sum(options.rest));
  if (udp.size() % 2 != 0) rest = static_cast<uint16_t>(rest << 8 | rest >> 8);
  const auto sum = static_cast<uint16_t>(~fold(pseudo + internet_sum(udp) + rest));
  put_sum(&udp[6], sum == 0 ? 0xffff : sum);  // 0 would mean "none".
}

std::optional<Frame> parse_frame(std::span<const std::byte> frame, const FrameChecks& checks) {
  if (frame.size() < kEthernetBytes) return std::nullopt;
  const uint16_t type = get16(&frame[12]);
  const std::span<const std::byte> inner = frame.subspan(kEthernetBytes);
  std::optional<Ip> ip;
  if (type == kTypeIpv4) ip = parse_ipv4(inner, checks.device_checked_ip);
  if (type == kTypeIpv6) ip = parse_ipv6(inner);
  if (!ip) return std::nullopt;
  const size_t udp_bytes = get16(&ip->udp[4]);
  // Ours fill their IP packet; a sum of 0 is "none", which ours never send.
  if (udp_bytes != ip->udp.size() || udp_bytes < kUdpBytes + kTailBytes) return std::nullopt;
  if (get16(&ip->udp[8]) != kTailMagic || get16(&ip->udp[6]) == 0) return std::nullopt;
  if (!checks.device_checked_udp && fold(ip->pseudo + internet_sum(ip->udp)) != 0xffff) {
    return std::nullopt;
  }
  Frame result;
  std::copy(&frame[0], &frame[6], result.to_mac.begin());
  std::copy(&frame[6], &frame[12], result.from.mac.begin());
  result.from.ip = ip->from;
  result.from.port = get16(&ip->udp[10]);
  result.from.queue = get16(&ip->udp[12]);
  result.from.queue_count = get16(&ip->udp[14]);
  result.to_ip = ip->to;
  result.to_port = get16(&ip->udp[2]);
  result.is_marked = ip->is_marked;
  result.payload = ip->udp.subspan(kUdpBytes + kTailBytes);
  return result;
}

}  // namespace phub::transport
