#include "transport/tcp.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/try.h"
#include "transport/tcp_advice.h"
#include "transport/tcp_listen.h"

namespace phub::transport {
namespace {

constexpr uint64_t kListenerKey = uint64_t{1} << 32;
constexpr uint64_t kGuestKey = uint64_t{2} << 32;  // | descriptor
constexpr uint32_t kNumberShift = 40;              // Connections: link | number << kNumberShift
constexpr size_t kGuestsMax = 4096;                // What the listeners' backlog holds.
constexpr std::chrono::seconds kGuestPatience{10};
constexpr std::chrono::seconds kConnectPatience{20};
constexpr size_t kLinkBatch = 32;  // Events of one link before the next has its turn.

uint64_t key_of(LinkId link, uint32_t number) {
  return index_of(link) | uint64_t{number} << kNumberShift;
}

std::string describe_missing(const TcpLink& link) {
  const uint32_t count = link.stream_count();
  const std::string what =
      count == 1 ? "no connection" : "not all " + std::to_string(count) + " connections";
  return "the worker made " + what + " to this shard within 20 s";
}

}  // namespace

Result<std::unique_ptr<Fabric>> TcpFabric::make(const TcpOptions& options) {
  base::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return Status(Code::internal, "create epoll: " + base::errno_text());
  std::unique_ptr<TcpFabric> fabric(new TcpFabric(std::move(epoll)));
  fabric->hub_host_ = options.hub_host;
  fabric->tls_ = options.tls;
  PHUB_CHECK(options.streams >= 1 && options.streams <= kTcpStreamsMax);
  fabric->streams_ = static_cast<uint8_t>(options.streams);
  fabric->advertised_host_ = options.advertise;
  if (options.listen.has_value()) {
    TcpDoor door{{options.listen->host}, options.listen->port, options.listen->port};
    door.hosts.insert(door.hosts.end(), options.also_listen.begin(), options.also_listen.end());
    if (options.port_last != 0) door.port_last = options.port_last;
    PHUB_TRY_ASSIGN(fabric->listeners_, listen_at_door(door, &fabric->port_));
    for (const base::Fd& listener : fabric->listeners_) {
      PHUB_TRY(fabric->watch(listener.get(), kListenerKey));
    }
    fabric->guests_.reserve(kGuestsMax);
  }
  return std::unique_ptr<Fabric>(std::move(fabric));
}

Status TcpFabric::watch(int fd, uint64_t key) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | static_cast<uint32_t>(EPOLLET);
  event.data.u64 = key;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return {};
  return Status(Code::internal, "watch a TCP socket: " + base::errno_text());
}

Result<ByteStream> TcpFabric::make_stream(base::Fd socket) const {
  if (tls_ == nullptr) return ByteStream(std::move(socket));
  return tls_->wrap(std::move(socket));
}

Result<std::span<std::byte>> TcpFabric::allocate(size_t bytes) {
  PHUB_TRY_ASSIGN(base::Mapping memory, base::Mapping::anonymous(bytes));
  memory_.push_back(std::move(memory));
  return memory_.back().bytes().first(bytes);
}

TcpFabric::Entry& TcpFabric::at(LinkId link) const {
  const uint32_t index = index_of(link);
  PHUB_CHECK(index < links_.size() && links_[index] != nullptr);
  return *links_[index];
}

LinkId TcpFabric::keep(std::unique_ptr<Entry> entry) {
  const LinkId id = entry->link->id();
  if (index_of(id) == links_.size()) links_.emplace_back();
  links_[index_of(id)] = std::move(entry);
  ++waiting_count_;
  return id;
}

Result<LinkId> TcpFabric::open(const LinkOptions& options, Bootstrap* offer) {
  if (listeners_.empty()) {
    return Status(Code::failed_precondition,
                  "this " + std::string(name()) + " fabric does not listen");
  }
  const auto place = std::find(links_.begin(), links_.end(), nullptr);
  const LinkId id{static_cast<uint32_t>(place - links_.begin())};
  auto entry = std::make_unique<Entry>();
  entry->link = std::make_unique<TcpLink>(id, options, options.acceptor_puts_max, streams_);
  entry->is_acceptor = true;
  base::random_bytes({reinterpret_cast<unsigned char*>(entry->token.data()), entry->token.size()});
  offer->blob = encode_tcp_offer({entry->token, advertised_host_, port_, streams_}, options);
  offer->fds.clear();
  return keep(std::move(entry));
}

Status TcpFabric::accept(LinkId link, Bootstrap answer) {
  Status status = check_tcp_answer(answer.blob, at(link).link->options());
  if (status.ok() && !answer.fds.empty()) {
    status = Status(Code::invalid_argument, "tcp answer with descriptors");
  }
  if (!status.ok()) {
    close(link);
    return status;
  }
  at(link).is_live = true;
  take_edges();  // The connections may be waiting at the door.
  return {};
}

Result<LinkId> TcpFabric::connect(const LinkOptions& options, Bootstrap offer, Bootstrap* answer) {
  PHUB_TRY_ASSIGN(TcpOffer where, decode_tcp_offer(offer.blob, options));
  if (where.host.empty()) where.host = hub_host_;
  const auto place = std::find(links_.begin(), links_.end(), nullptr);
  const LinkId id{static_cast<uint32_t>(place - links_.begin())};
  auto entry = std::make_unique<Entry>();
  entry->link = std::make_unique<TcpLink>(id, options, options.connector_puts_max, where.streams);
  entry->token = where.token;
  entry->is_live = true;
  PHUB_TRY_ASSIGN(entry->addresses, resolve({where.host, where.port}));
  PHUB_TRY(check_offered_host(where.host, entry->addresses, hub_host_));
  answer->blob = encode_tcp_answer(options);
  answer->fds.clear();
  Entry& kept = *entry;
  keep(std::move(entry));
  kept.attempts.resize(where.streams);
  for (uint32_t i = 0; i < where.streams; ++i) try_next_address(kept, i, "no address");
  return id;
}

void TcpFabric::close(LinkId link) {
  Entry& entry = at(link);
  for (uint32_t i = 0; i < entry.attempts.size(); ++i) {
    // So that the hub knows whose end it sees.
    if (entry.attempts[i].stream.valid()) on_attempt(entry, i);
  }
  if (!entry.link->is_up()) --waiting_count_;
  entry.link->flush();
  links_[index_of(link)].reset();  // Closing a socket takes it out of the epoll set.
}

std::string TcpFabric::lost_reason(LinkId link) const { return at(link).link->lost_reason(); }

// Goes on to an address that can be tried; without one the link is lost for the reason of the last.
void TcpFabric::try_next_address(Entry& entry, uint32_t number, std::string failure) {
  Attempt& attempt = entry.attempts[number];
  attempt.stream = ByteStream();
  while (attempt.next_address < entry.addresses.size()) {
    const SocketAddress& address = entry.addresses[attempt.next_address++];
    Result<base::Fd> socket = start_connect(address);
    Status status = socket.status();
    if (status.ok()) status = watch(socket->get(), key_of(entry.link->id(), number));
    if (status.ok()) {
      Result<ByteStream> stream = make_stream(std::move(socket).value());
      status = stream.status();
      if (stream.ok()) {
        attempt.stream = std::move(stream).value();
        return on_attempt(entry, number);  // On one machine it may be there already.
      }
    }
    failure = status.message();
  }
  entry.link->lose(describe_link_failure(failure));
}

void TcpFabric::on_attempt(Entry& entry, uint32_t number) {
  Attempt& attempt = entry.attempts[number];
  const Status status =
      connect_error(attempt.stream.fd(), entry.addresses[attempt.next_address - 1]);
  if (!status.ok()) return try_next_address(entry, number, status.message());
  TcpHello hello = encode_tcp_hello({entry.token, static_cast<uint8_t>(number)});
  // A new connection's buffer is empty: all of it fits.
  const iovec piece = {hello.data(), hello.size()};
  if (attempt.stream.send({&piece, 1}) != std::ssize(hello)) {
    if (errno == EAGAIN || errno == ENOTCONN) return;  // Not yet; the next edge tells.
    return try_next_address(entry, number, "greet the hub: " + attempt.stream.failure());
  }
  attach(entry, number, std::move(attempt.stream));
}

void TcpFabric::attach(Entry& entry, uint32_t number, ByteStream stream) {
  entry.link->attach(number, std::move(stream));
  if (entry.link->is_up()) --waiting_count_;
}

void TcpFabric::welcome_guests() {
  for (const base::Fd& listener : listeners_) {
    while (true) {
      Result<base::Fd> socket = accept_tcp(listener.get());
      if (!socket.ok() || !socket->valid()) break;
      if (guests_.size() == kGuestsMax) guests_.erase(guests_.begin());  // The oldest.
      const int fd = socket->get();
      Result<ByteStream> stream = make_stream(std::move(socket).value());
      if (!stream.ok()) continue;
      guests_.emplace_back().stream = std::move(stream).value();
      if (!watch(fd, kGuestKey | static_cast<uint32_t>(fd)).ok()) guests_.pop_back();
    }
  }
}

void TcpFabric::hear_guest(int fd) {
  const auto guest = std::find_if(guests_.begin(), guests_.end(),
                                  [fd](const Guest& one) { return one.stream.fd() == fd; });
  if (guest == guests_.end()) return;
  while (guest->bytes < guest->hello.size()) {
    const iovec rest = {guest->hello.data() + guest->bytes, guest->hello.size() - guest->bytes};
    const ssize_t count = guest->stream.receive({&rest, 1});
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) break;
    guest->bytes += static_cast<size_t>(count);
  }
  if (guest->bytes == guest->hello.size()) hand_over(*guest);
  guests_.erase(guest);
}

// A guest whose greeting is whole becomes the connection that it names, if that one is missing;
// nobody else's.
void TcpFabric::hand_over(Guest& guest) {
  const std::optional<TcpGreeting> greeting = decode_tcp_hello(guest.hello);
  if (!greeting.has_value()) return;
  for (const std::unique_ptr<Entry>& entry : links_) {
    if (entry == nullptr || !entry->is_acceptor || entry->link->is_up()) continue;
    if (entry->token != greeting->token) continue;
    const uint32_t number = greeting->stream;
    if (number >= entry->link->stream_count() || entry->link->is_attached(number)) return;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | static_cast<uint32_t>(EPOLLET);
    event.data.u64 = key_of(entry->link->id(), number);
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, guest.stream.fd(), &event) != 0) return;
    return attach(*entry, number, std::move(guest.stream));
  }
}

void TcpFabric::expire_guests(Instant now) {
  std::erase_if(guests_, [now](Guest& one) {
    if (one.deadline.ns == 0) one.deadline = now + kGuestPatience;
    return now >= one.deadline;
  });
}

void TcpFabric::on_edge(uint64_t key, uint32_t what) {
  if (key == kListenerKey) return welcome_guests();
  if ((key & kGuestKey) != 0) return hear_guest(static_cast<int>(key & UINT32_MAX));
  Entry& entry = *links_[key & UINT32_MAX];
  const auto number = static_cast<uint32_t>(key >> kNumberShift);
  if (number < entry.attempts.size() && entry.attempts[number].stream.valid()) {
    return on_attempt(entry, number);
  }
  const uint32_t ends = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  entry.link->on_ready(number, (what & (EPOLLIN | ends)) != 0, (what & (EPOLLOUT | ends)) != 0);
}

void TcpFabric::check_waiting(Instant now) {
  for (const std::unique_ptr<Entry>& entry : links_) {
    if (entry == nullptr || entry->link->is_up() || entry->link->is_lost()) continue;
    if (entry->deadline.ns == 0) entry->deadline = now + kConnectPatience;
    if (now < entry->deadline) continue;
    entry->link->lose(entry->is_acceptor
                          ? describe_missing(*entry->link)
                          : describe_link_failure("connect to " + to_text(entry->addresses.at(0)) +
                                                  ": no answer within 20 s"));
  }
}

size_t TcpFabric::put(std::span<const Put> puts) {
  size_t taken = 0;
  for (; taken < puts.size(); ++taken) {
    Entry& entry = at(puts[taken].link);
    if (!entry.link->stage(puts[taken])) break;
    entry.is_due = true;
  }
  for (size_t i = 0; i < taken; ++i) {
    Entry& entry = at(puts[i].link);
    if (!entry.is_due) continue;
    entry.link->flush();
    entry.is_due = false;
  }
  return taken;
}

void TcpFabric::take_edges() {
  std::array<epoll_event, 64> edges;
  const int count = ::epoll_wait(epoll_.get(), edges.data(), static_cast<int>(edges.size()), 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& edge = edges[static_cast<size_t>(i)];
    on_edge(edge.data.u64, edge.events);
  }
}

size_t TcpFabric::poll(Instant now, std::span<Event> events) {
  take_edges();
  if (waiting_count_ > 0) check_waiting(now);
  if (!guests_.empty()) expire_guests(now);
  size_t filled = 0;
  for (size_t visited = 0; visited < links_.size() && filled < events.size(); ++visited) {
    if (++cursor_ >= links_.size()) cursor_ = 0;
    Entry* const entry = links_[cursor_].get();
    if (entry == nullptr || !entry->is_live || entry->link->is_quiet()) continue;
    const size_t room = std::min(kLinkBatch, events.size() - filled);
    filled += entry->link->poll(events.subspan(filled, room));
  }
  return filled;
}

bool TcpFabric::arm() {
  pollfd edges = {epoll_.get(), POLLIN, 0};
  if (::poll(&edges, 1, 0) != 0) return false;
  return std::all_of(links_.begin(), links_.end(), [](const std::unique_ptr<Entry>& entry) {
    return entry == nullptr || !entry->is_live || entry->link->is_quiet();
  });
}

Instant TcpFabric::next_deadline() const {
  Instant next{INT64_MAX};
  if (waiting_count_ > 0) {
    for (const std::unique_ptr<Entry>& entry : links_) {
      if (entry == nullptr || entry->link->is_up() || entry->link->is_lost()) continue;
      next = std::min(next, entry->deadline);
    }
  }
  for (const Guest& guest : guests_) next = std::min(next, guest.deadline);
  return next;
}

}  // namespace phub::transport
