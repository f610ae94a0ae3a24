#include "tests/net/raw_rank.h"

#include <poll.h>
#include <sys/socket.h>

#include <cstring>

#include "exchange/memory_plan.h"
#include "exchange/session_auth.h"
#include "exchange/session_codec.h"
#include "exchange/wire.h"
#include "transport/tcp_frame.h"
#include "transport/tcp_socket.h"

namespace phub::net {
namespace {

constexpr std::chrono::seconds kPatience{20};

base::Fd dial(const base::HostPort& place) {
  Result<base::Fd> socket = transport::connect_tcp(place, base::now() + kPatience);
  return socket.ok() ? std::move(socket).value() : base::Fd();
}

}  // namespace

RawRank::RawRank(const base::HostPort& hub, const std::string& job, uint64_t elements)
    : hub_(hub), elements_(elements), session_(dial(hub), exchange::kFrameBytesMax) {
  exchange::Hello hello;
  hello.job.name = job;
  hello.job.rank_count = 1;
  hello.fabric = "tcp";
  hello.nonce = exchange::make_nonce();
  session_.queue({hello, {}});
  exchange::Challenge challenge;
  if (!await(&challenge)) return;
  const std::string key = exchange::derive_key("raw", job);
  session_.queue(
      {exchange::Proof{exchange::prove(key, challenge.nonce, hello.nonce, job, 0), key}, {}});
  exchange::Welcome welcome;
  is_trusted_ = await(&welcome);
  shape_ = welcome.shape;
}

base::Fd RawRank::open_link() {
  TensorSpec spec;
  spec.name = "raw";
  spec.count = elements_;
  const Result<exchange::ChunkMap> map =
      exchange::ChunkMap::build({&spec, 1}, JobSpec().chunk_elements, shape_);
  session_.queue({exchange::Tensors{1, {spec}, map->digest(), 0, {}}, {}});
  exchange::Offer offer;
  if (!await(&offer)) return {};
  transport::LinkOptions options;
  options.peer_slot_count = static_cast<uint32_t>(map->chunks().size());
  options.acceptor_puts_max = options.connector_puts_max =
      exchange::puts_max(options.peer_slot_count);
  for (const exchange::Chunk& chunk : map->chunks()) {
    options.slots.push_back({nullptr, chunk.element_count * 4});
  }
  const auto where = transport::decode_tcp_offer(offer.links.at(0), options);
  if (!where.ok()) return {};
  base::Fd link = dial({hub_.host, where->port});
  if (!link.valid()) return {};
  const transport::TcpHello hello = transport::encode_tcp_hello({where->token, 0});
  ::send(link.get(), hello.data(), hello.size(), MSG_NOSIGNAL);
  session_.queue({exchange::Answer{1, {transport::encode_tcp_answer(options)}, {0}}, {}});
  exchange::Start start;
  return await(&start) ? std::move(link) : base::Fd();
}

template <typename Body>
bool RawRank::await(Body* body) {
  const base::Instant deadline = base::now() + kPatience;
  while (session_.write().ok() && base::now() < deadline) {
    std::vector<exchange::Message> messages;
    const Status status = session_.read(messages);
    for (exchange::Message& message : messages) {
      if (auto* const found = std::get_if<Body>(&message.body)) {
        *body = std::move(*found);
        return true;
      }
    }
    if (!status.ok()) return false;
    pollfd wait = {session_.fd(), POLLIN, 0};
    ::poll(&wait, 1, 100);
  }
  return false;
}

std::string link_frame(uint32_t tag, uint32_t slot, uint32_t bytes) {
  const uint32_t numbers[5] = {transport::kTcpFrameMark, 1, tag, slot, bytes};
  std::string text(sizeof(numbers), '\0');
  std::memcpy(text.data(), numbers, sizeof(numbers));
  return text;
}

}  // namespace phub::net
