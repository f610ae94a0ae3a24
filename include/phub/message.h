// Messages between processes, of any size: a mailbox from everybody to everybody.
//
//   auto messenger = Messenger::open({.name = "my-app", .number = 0});  // Listens.
//   auto peer = messenger->connect("10.0.0.7:7100");         // Another one's address().
//   auto sending = messenger->send(*peer, 42, {{weights, bytes}});  // Returns at once.
//   Status sent = sending->wait();                           // `weights` is free again.
//   auto message = messenger->receive(*peer, 43);            // Waits for tag 43.
//
// Messages from one peer with one tag arrive in the order of sending, each once. Small ones leave
// at once; a large one waits at its sender until the receiver has a place for it. Its bytes go
// there by way of the link's slots (one copy here). On one host they go through shared memory, else
// TCP.
//
// Thread-safety: any thread may call anything. Callbacks run on the library's thread: they must not
// block (nothing else moves meanwhile), and may send.
// Errors: values. A peer that dies, is silent for peer_timeout or leaves ends every transfer with
// it with `unavailable` and a sentence that names it; the other peers go on.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <phub/status.h>

namespace phub {

// A peer of one Messenger, numbered as they come; numbers are not used again.
enum class PeerId : uint32_t {};
constexpr PeerId kAnyPeer{UINT32_MAX};
constexpr uint32_t kMessagePartsMax = 8;
constexpr uint32_t kMessengerNumberMax = 1023;

struct MessengerOptions {
  std::string name = "messenger";  // Only messengers of one name, and secret, talk.
  std::string secret = {};
  uint32_t number = 0;  // What this one is called by its peers: a rank, say.
  // Where others connect to: tcp://HOST:PORT (port 0: any free one) or shm://PATH, or several with
  // commas between. Where it is TCP, processes of this host are offered shared memory besides. HOST
  // may be an interface ("tcp://eth1:0"). Empty: nowhere, it only connects.
  std::string listen = "tcp://127.0.0.1:0";
  std::string advertise = {};  // The host in address(), where it is not the one above.
  bool shared_memory = true;   // False: no shared memory, on one host either.
  std::chrono::milliseconds peer_timeout{5'000};  // Silence that counts as death.
  std::chrono::milliseconds linger{2'000};        // At the end, for what is still to be sent.
  // Bytes of messages that are held here because nobody has asked for them yet. Beyond, large ones
  // stay with their senders, and small ones hold their senders up.
  size_t unexpected_bytes_max = size_t{1} << 30;
};

struct MessagePart {
  const void* data = nullptr;
  size_t bytes = 0;
};

// A message that came, in memory of the library; copies share it.
struct Message {
  PeerId peer{0};
  uint64_t tag = 0;
  std::vector<std::span<std::byte>> parts;  // As they were sent; each 64-byte aligned.
  std::shared_ptr<void> memory;             // Keeps the parts.

  size_t bytes() const {
    size_t sum = 0;
    for (const auto& part : parts) sum += part.size();
    return sum;
  }
};

// A send or a receive under way. A value; may be dropped without waiting.
class Transfer {
 public:
  struct State;
  Transfer() = default;
  explicit Transfer(std::shared_ptr<State> state) : state_(std::move(state)) {}

  bool is_done() const;
  // ok: a send's memory is the caller's again, a receive's bytes are there. timed_out: names whom
  // it waits for; it goes on. unavailable: the peer is gone; says who and why.
  // invalid_argument: the message was larger than the memory for it, and is dropped.
  Status wait(std::chrono::milliseconds timeout = std::chrono::minutes(1)) const;
  // Receives, once done: from whom, and how many bytes.
  PeerId peer() const;
  size_t bytes() const;
  // A receive that no message has come for is withdrawn: true; its memory is the caller's again.
  bool cancel() const;

 private:
  friend class Messenger;
  std::shared_ptr<State> state_;
};

class Messenger {
  class Impl;
  friend class Transfer;
  friend struct Transfer::State;

 public:
  using Callback = std::function<void(const Status&)>;
  using Handler = std::function<void(Message)>;
  // ok: the peer is there; else it is gone, and why.
  using PeerHandler = std::function<void(PeerId, const Status&)>;

  // invalid_argument: malformed options. already_exists, unavailable: cannot listen there.
  static Result<Messenger> open(const MessengerOptions& options);
  Messenger(Messenger&&) noexcept;
  Messenger& operator=(Messenger&&) noexcept;
  // Waits up to `linger` for what is still to be sent, then leaves; unfinished transfers end with
  // `aborted`.
  ~Messenger();

  // What peers connect to: "10.0.0.7:41234" (they choose shared memory where they can) or
  // "shm:///tmp/x.sock". Empty: it does not listen.
  std::string address() const;
  uint32_t number() const;

  // Connects, trying until somebody listens there, or time is up.
  // timed_out: nobody did; says why not.  permission_denied: another secret.
  // invalid_argument: malformed address, or another name.
  Result<PeerId> connect(std::string_view address,
                         std::chrono::milliseconds timeout = std::chrono::minutes(1));
  // The peer of that number, whoever connected; waits until it is there.
  Result<PeerId> wait_for_peer(uint32_t number,
                               std::chrono::milliseconds timeout = std::chrono::minutes(1));
  uint32_t number_of(PeerId peer) const;
  // "peer 3 (process 4711 on node7, shm)": for messages. And why it is gone; ok: it is not.
  std::string describe(PeerId peer) const;
  Status state_of(PeerId peer) const;
  bool has_left(PeerId peer) const;   // True: it said so; false: it is there, or it died.
  std::vector<PeerId> peers() const;  // Those that are there.
  // Ends the connection at once, and its transfers with it.
  void disconnect(PeerId peer);

  // Starts to send up to kMessagePartsMax parts as one message; their memory is borrowed until the
  // transfer is done. invalid_argument: unknown peer, too many parts. unavailable: it is gone.
  Result<Transfer> send(PeerId peer, uint64_t tag, std::span<const MessagePart> parts,
                        Callback callback = {});
  Result<Transfer> send(PeerId peer, uint64_t tag, std::initializer_list<MessagePart> parts,
                        Callback callback = {}) {
    return send(peer, tag, std::span(parts.begin(), parts.size()), std::move(callback));
  }

  // Receives the next message with this tag, of this peer or kAnyPeer, into `memory`, all parts one
  // after another; it may be shorter.
  Result<Transfer> receive(PeerId peer, uint64_t tag, std::span<std::byte> memory,
                           Callback callback = {});
  // The same in memory of the library, and waits for it. timed_out: says for whom.
  Result<Message> receive(PeerId peer, uint64_t tag,
                          std::chrono::milliseconds timeout = std::chrono::minutes(1));

  // Gives every message that nobody has asked for by receive() to `handler`, in the order of each
  // peer's sending; those that have come before, too. Once, before or after connecting.
  void set_handler(Handler handler);
  void set_peer_handler(PeerHandler handler);

  // The library's own.
  explicit Messenger(std::shared_ptr<Impl> impl);

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace phub
