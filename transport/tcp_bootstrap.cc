#include "transport/tcp_bootstrap.h"

#include <algorithm>

#include "base/try.h"
#include "transport/bootstrap_checks.h"

namespace phub::transport {
namespace {

constexpr uint32_t kOfferMagic = 0x4f504354;   // "TCPO"
constexpr uint32_t kAnswerMagic = 0x41504354;  // "TCPA"
constexpr uint32_t kTcpVersion = 2;
constexpr std::string_view kGreeting = "PHUBTCP2";

Status refuse(const std::string& why) { return Status(Code::invalid_argument, "tcp " + why); }

}  // namespace

std::string encode_tcp_offer(const TcpOffer& offer, const LinkOptions& options) {
  std::string blob(6 * 4 + offer.token.size() + 2 + 1 + 1 + offer.host.size(), '\0');
  base::ByteWriter writer(bytes_of(blob));
  writer.number(kOfferMagic);
  writer.number(kTcpVersion);
  writer.number(static_cast<uint32_t>(options.slots.size()));
  writer.number(options.peer_slot_count);
  writer.number(options.acceptor_puts_max);
  writer.number(options.connector_puts_max);
  writer.raw(offer.token);
  writer.number(offer.port);
  writer.number(offer.streams);
  writer.number(static_cast<uint8_t>(offer.host.size()));
  writer.raw(bytes_of(std::string_view(offer.host)));
  return blob;
}

Result<TcpOffer> decode_tcp_offer(std::string_view blob, const LinkOptions& options) {
  base::ByteReader reader(bytes_of(blob));
  PHUB_TRY(check_head(reader, kOfferMagic, kTcpVersion, "tcp offer"));
  PHUB_TRY(check_equal("acceptor slots", reader.number<uint32_t>(), options.peer_slot_count));
  PHUB_TRY(check_equal("connector slots", reader.number<uint32_t>(), options.slots.size()));
  PHUB_TRY(check_equal("acceptor_puts_max", reader.number<uint32_t>(), options.acceptor_puts_max));
  PHUB_TRY(
      check_equal("connector_puts_max", reader.number<uint32_t>(), options.connector_puts_max));
  TcpOffer offer;
  const std::span<const std::byte> token = reader.raw(offer.token.size());
  std::copy(token.begin(), token.end(), offer.token.begin());
  offer.port = reader.number<uint16_t>();
  offer.streams = reader.number<uint8_t>();
  const std::span<const std::byte> host = reader.raw(reader.number<uint8_t>());
  offer.host.assign(reinterpret_cast<const char*>(host.data()), host.size());
  const bool is_printable =
      std::all_of(offer.host.begin(), offer.host.end(), [](char c) { return c > ' ' && c < 127; });
  const bool has_streams = offer.streams >= 1 && offer.streams <= kTcpStreamsMax;
  if (!reader.is_complete() || offer.port == 0 || !has_streams || !is_printable) {
    return refuse("offer of " + std::to_string(blob.size()) + " bytes is malformed");
  }
  return offer;
}

std::string encode_tcp_answer(const LinkOptions& options) {
  std::string blob(3 * 4 + options.slots.size() * 4, '\0');
  base::ByteWriter writer(bytes_of(blob));
  writer.number(kAnswerMagic);
  writer.number(kTcpVersion);
  writer.number(static_cast<uint32_t>(options.slots.size()));
  for (const Slot& slot : options.slots) writer.number(slot.bytes);
  return blob;
}

Status check_tcp_answer(std::string_view blob, const LinkOptions& options) {
  base::ByteReader reader(bytes_of(blob));
  PHUB_TRY(check_head(reader, kAnswerMagic, kTcpVersion, "tcp answer"));
  PHUB_TRY(check_equal("connector slots", reader.number<uint32_t>(), options.peer_slot_count));
  if (reader.left() != uint64_t{options.peer_slot_count} * 4) {
    return refuse("answer of " + std::to_string(blob.size()) + " bytes is malformed");
  }
  for (const uint32_t least : options.peer_slot_bytes) {
    const uint32_t bytes = reader.number<uint32_t>();
    if (bytes >= least) continue;
    return refuse("answer: a slot of " + std::to_string(bytes) + " bytes, but " +
                  std::to_string(least) + " are needed");
  }
  return {};
}

TcpHello encode_tcp_hello(const TcpGreeting& greeting) {
  TcpHello hello;
  base::ByteWriter writer(hello);
  writer.raw(bytes_of(kGreeting));
  writer.raw(greeting.token);
  writer.number(greeting.stream);
  return hello;
}

std::optional<TcpGreeting> decode_tcp_hello(const TcpHello& hello) {
  base::ByteReader reader(hello);
  const std::span<const std::byte> mark = reader.raw(kGreeting.size());
  if (!std::equal(mark.begin(), mark.end(), bytes_of(kGreeting).begin())) return std::nullopt;
  TcpGreeting greeting;
  const std::span<const std::byte> token = reader.raw(greeting.token.size());
  std::copy(token.begin(), token.end(), greeting.token.begin());
  greeting.stream = reader.number<uint8_t>();
  return greeting;
}

}  // namespace phub::transport
