#include "worker_lib/messenger_handshake.h"

#include <poll.h>

#include <algorithm>

#include "base/try.h"
#include "exchange/session_auth.h"
#include "exchange/session_codec.h"
#include "transport/open.h"
#include "transport/tcp_socket.h"

namespace phub::client {
namespace {

using exchange::Message;

constexpr uint32_t kFrameLimit = 1 << 20;  // Of a peer that has proved the secret.

std::string peer_text(uint32_t number, const std::string& who, std::string_view fabric) {
  return "peer " + std::to_string(number) + " (" + who + ", " + std::string(fabric) + ")";
}

Status refused(const exchange::Failure& failure) {
  return Status(static_cast<Code>(failure.code), failure.message);
}

Result<std::unique_ptr<transport::Fabric>> make_fabric(const exchange::Address& address,
                                                       bool is_acceptor) {
  transport::FabricOptions options;
  if (is_acceptor) {
    options.tcp.listen = base::HostPort{address.host_port.host, 0};
  } else {
    options.tcp.hub_host = address.host_port.host;
  }
  return transport::open_fabric(address.fabric, options);
}

// The next message, by the deadline.
Result<Message> await_message(exchange::SessionStream& stream, std::vector<Message>& inbox,
                              base::Instant deadline) {
  while (inbox.empty()) {
    PHUB_TRY(stream.write());
    const Status status = stream.read(inbox);
    if (!inbox.empty()) break;
    PHUB_TRY(status);
    const int64_t left_ms = (deadline - base::now()).count() / 1'000'000;
    if (left_ms <= 0) return Status(Code::timed_out, "it did not answer in time");
    pollfd wait = {stream.fd(), POLLIN, 0};
    if (stream.wants_write()) wait.events |= POLLOUT;
    ::poll(&wait, 1, static_cast<int>(std::min<int64_t>(left_ms, 1'000)));
  }
  Message message = std::move(inbox.front());
  inbox.erase(inbox.begin());
  if (const auto* failure = std::get_if<exchange::Failure>(&message.body)) {
    return refused(*failure);
  }
  return message;
}

template <typename Body>
Result<Body> await(exchange::SessionStream& stream, std::vector<Message>& inbox,
                   base::Instant deadline, std::vector<base::Fd>* fds = nullptr) {
  PHUB_TRY_ASSIGN(Message message, await_message(stream, inbox, deadline));
  auto* const body = std::get_if<Body>(&message.body);
  if (body == nullptr) {
    return Status(Code::invalid_argument, "it does not answer as a messenger; is it a hub?");
  }
  if (fds != nullptr) *fds = std::move(message.fds);
  return std::move(*body);
}

}  // namespace

std::string MessengerIdentity::who() const {
  return "process " + std::to_string(process) + " on " + host;
}

Result<JoinedPeer> join_messenger(const MessengerIdentity& self, const ChosenAddress& chosen,
                                  base::Instant deadline) {
  const exchange::Address& address = chosen.address;
  PHUB_TRY_ASSIGN(base::Fd socket, address.is_local()
                                       ? exchange::connect_unix(address.socket_path, deadline)
                                       : transport::connect_tcp(address.host_port, deadline));
  exchange::SessionStream stream(transport::ByteStream(std::move(socket)), kFrameLimit);
  std::vector<Message> inbox;
  exchange::Hello hello;
  hello.job.name = self.name;
  hello.job.rank_count = kRankCountMax;
  hello.rank = self.number;
  hello.process = self.process;
  hello.host = self.host;
  hello.fabric = address.fabric;
  hello.nonce = exchange::make_nonce();
  stream.queue({hello, {}});
  PHUB_TRY_ASSIGN(const auto challenge, await<exchange::Challenge>(stream, inbox, deadline));
  exchange::Proof proof;
  proof.hmac = exchange::prove(self.key, challenge.nonce, hello.nonce, self.name, self.number);
  stream.queue({proof, {}});
  PHUB_TRY_ASSIGN(const auto welcome, await<exchange::Welcome>(stream, inbox, deadline));
  std::vector<base::Fd> fds;
  PHUB_TRY_ASSIGN(auto offer, await<exchange::Offer>(stream, inbox, deadline, &fds));
  if (offer.links.size() != 1) {
    return Status(Code::invalid_argument, "it does not offer one link, as a messenger does");
  }
  const uint32_t number = offer.epoch - 1;
  std::string text = peer_text(number, welcome.hub, address.fabric);
  PHUB_TRY_ASSIGN(auto fabric, make_fabric(address, false));
  PHUB_TRY_ASSIGN(auto mailbox, exchange::Mailbox::create(*fabric, false, text, {}));
  transport::Bootstrap answer;
  PHUB_TRY_ASSIGN(const transport::LinkId link,
                  fabric->connect(mailbox->link_options(),
                                  {std::move(offer.links[0]), std::move(fds)}, &answer));
  exchange::Answer reply;
  reply.epoch = offer.epoch;
  reply.links.push_back(std::move(answer.blob));
  reply.fd_counts.push_back(static_cast<uint32_t>(answer.fds.size()));
  stream.queue({std::move(reply), std::move(answer.fds)});
  PHUB_TRY(await<exchange::Start>(stream, inbox, deadline).status());
  mailbox->start(link);
  return JoinedPeer{std::move(stream),  std::move(fabric),
                    std::move(mailbox), number,
                    std::move(text),    std::chrono::milliseconds(welcome.peer_timeout_ms)};
}

MessengerGuest::MessengerGuest(const MessengerIdentity& self, base::Fd socket,
                               exchange::Address address, base::Instant deadline)
    : self_(self),
      stream_(std::make_unique<exchange::SessionStream>(transport::ByteStream(std::move(socket)),
                                                        exchange::kFrameBytesBeforeAuth)),
      address_(std::move(address)),
      deadline_(deadline) {}

MessengerGuest::Outcome MessengerGuest::advance(const exchange::Probed& probed,
                                                const std::string& boot_id) {
  std::vector<Message> messages;
  Status status = stream_->read(messages);
  for (Message& message : messages) {
    if (const auto* probe = std::get_if<exchange::Probe>(&message.body)) {
      exchange::Probed answer = probed;
      answer.host_proof = exchange::prove_host(probe->nonce, boot_id);
      stream_->queue({std::move(answer), {}});
      status = Status(Code::unavailable, "it asked who is here");
      break;
    }
    const Status taken = on_message(message);
    if (!taken.ok()) {
      stream_->queue({exchange::Failure{static_cast<uint8_t>(taken.code()), taken.message()}, {}});
      status = taken;
      break;
    }
  }
  const Status written = stream_->write();
  if (joined_ != nullptr) return Outcome::joined;
  if (status.ok()) status = written;
  if (status.ok()) return Outcome::waiting;
  end_ = status;
  return Outcome::over;
}

Status MessengerGuest::on_message(Message& message) {
  if (const auto* hello = std::get_if<exchange::Hello>(&message.body)) return on_hello(*hello);
  if (const auto* proof = std::get_if<exchange::Proof>(&message.body)) return on_proof(*proof);
  if (std::holds_alternative<exchange::Answer>(message.body)) return on_answer(message);
  return Status(Code::invalid_argument, "this is a messenger, which does not know this message");
}

Status MessengerGuest::on_hello(const exchange::Hello& hello) {
  if (has_hello_) return Status(Code::invalid_argument, "hello was said twice");
  if (hello.job.name != self_.name) {
    return Status(Code::invalid_argument, "this is messenger \"" + self_.name + "\", not \"" +
                                              hello.job.name + "\"; both must have one name");
  }
  if (hello.fabric != address_.fabric) {
    return Status(Code::invalid_argument,
                  "fabric \"" + hello.fabric + "\" at an address of \"" + address_.fabric + "\"");
  }
  has_hello_ = true;
  hello_ = hello;
  nonce_ = exchange::make_nonce();
  stream_->queue({exchange::Challenge{nonce_, false}, {}});
  return {};
}

Status MessengerGuest::on_proof(const exchange::Proof& proof) {
  if (!has_hello_ || fabric_ != nullptr) {
    return Status(Code::invalid_argument, "a proof out of turn");
  }
  const std::string wanted =
      exchange::prove(self_.key, nonce_, hello_.nonce, self_.name, hello_.rank);
  if (!exchange::is_equal_secret(wanted, proof.hmac)) {
    return Status(Code::permission_denied, "the secret is not that of messenger \"" + self_.name +
                                               "\"; both must have the same");
  }
  const std::string who = "process " + std::to_string(hello_.process) + " on " + hello_.host;
  text_ = peer_text(hello_.rank, who, address_.fabric);
  PHUB_TRY_ASSIGN(fabric_, make_fabric(address_, true));
  PHUB_TRY_ASSIGN(mailbox_, exchange::Mailbox::create(*fabric_, true, text_, {}));
  transport::Bootstrap bootstrap;
  PHUB_TRY_ASSIGN(link_, fabric_->open(mailbox_->link_options(), &bootstrap));
  stream_->set_frame_limit(kFrameLimit);
  exchange::Welcome welcome;
  welcome.hub = self_.who();
  welcome.shape.shards.push_back({});
  welcome.peer_timeout_ms = static_cast<uint64_t>(self_.peer_timeout.count());
  stream_->queue({std::move(welcome), {}});
  exchange::Offer offer;
  offer.epoch = self_.number + 1;
  offer.links.push_back(std::move(bootstrap.blob));
  offer.fd_counts.push_back(static_cast<uint32_t>(bootstrap.fds.size()));
  stream_->queue({std::move(offer), std::move(bootstrap.fds)});
  return {};
}

Status MessengerGuest::on_answer(Message& message) {
  auto& answer = std::get<exchange::Answer>(message.body);
  if (fabric_ == nullptr || joined_ != nullptr || answer.links.size() != 1) {
    return Status(Code::invalid_argument, "an answer out of turn");
  }
  PHUB_TRY(fabric_->accept(link_, {std::move(answer.links[0]), std::move(message.fds)}));
  mailbox_->start(link_);
  stream_->queue({exchange::Start{1}, {}});
  PHUB_TRY(stream_->write());
  joined_ = std::make_unique<JoinedPeer>(JoinedPeer{std::move(*stream_), std::move(fabric_),
                                                    std::move(mailbox_), hello_.rank, text_,
                                                    self_.peer_timeout});
  return {};
}

}  // namespace phub::client
