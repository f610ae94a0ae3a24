// Many threads around a messenger's peers: one lock, one thread that sleeps on all of them, and
// the matching of messages with those who want them.
//
// Whoever sends moves his peer's bytes at once, under the lock; the thread does the rest, and runs
// all callbacks, without the lock.
#pragma once

#include <phub/message.h>
#include <poll.h>

#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "base/thread.h"
#include "worker_lib/message_pool.h"
#include "worker_lib/messenger_door.h"

namespace phub {

struct Transfer::State {  // All under the messenger's lock.
  std::shared_ptr<Messenger::Impl> owner;
  bool is_done = false;
  bool is_send = false;
  bool has_memory = false;  // A receive into the caller's.
  Status status;
  Messenger::Callback callback;
  PeerId peer{0};
  uint64_t tag = 0;
  std::span<std::byte> into;
  size_t bytes = 0;
  Message message;
};

class Messenger::Impl : public std::enable_shared_from_this<Messenger::Impl> {
 public:
  static Result<std::shared_ptr<Impl>> open(const MessengerOptions& options);
  ~Impl();
  void close();

  std::string address() const { return door_ == nullptr ? "" : door_->address(); }
  uint32_t number() const { return options_.number; }

  Result<PeerId> connect(std::string_view address, std::chrono::milliseconds timeout);
  Result<PeerId> wait_for_peer(uint32_t number, std::chrono::milliseconds timeout);
  uint32_t number_of(PeerId peer) const;
  std::string describe(PeerId peer) const;
  Status state_of(PeerId peer) const;
  bool has_left(PeerId peer) const;
  std::vector<PeerId> peers() const;
  void disconnect(PeerId peer);

  Result<Transfer> send(PeerId peer, uint64_t tag, std::span<const MessagePart> parts,
                        Callback callback);
  Result<Transfer> receive(PeerId peer, uint64_t tag, std::span<std::byte> memory, bool has_memory,
                           Callback callback);
  Status wait(const std::shared_ptr<Transfer::State>& state, std::chrono::milliseconds timeout);
  bool is_done(const Transfer::State& state) const;
  bool cancel(const std::shared_ptr<Transfer::State>& state);
  void set_handler(Handler handler);
  void set_peer_handler(PeerHandler handler);

 private:
  using Lock = std::unique_lock<std::mutex>;
  using StateRef = std::shared_ptr<Transfer::State>;

  // A message on its way in, or here and wanted by nobody yet.
  struct Arrival {
    enum class Stage : uint8_t { waiting, granted, whole, failed };  // waiting: at its sender.
    Stage stage = Stage::waiting;
    uint32_t id = 0;
    uint64_t tag = 0;
    uint32_t part_count = 0;
    std::array<size_t, kMessagePartsMax> part_bytes = {};
    size_t bytes = 0;
    Message message;
    StateRef posted;       // Who receives it.
    bool is_held = false;  // Counted in held_bytes_.
  };
  using ArrivalRef = std::shared_ptr<Arrival>;

  struct Peer {
    PeerId id{0};
    uint32_t number = 0;
    std::string text;
    bool is_up = true;
    bool has_left = false;  // It said farewell.
    Status end;
    std::unique_ptr<client::JoinedPeer> joined;  // Null: it is gone.
    base::Instant last_heard;
    base::Instant last_said;
    std::vector<StateRef> sends;  // By cookie.
    std::vector<uint32_t> free_cookies;
    std::deque<exchange::OutgoingMail> backlog;  // Beyond what the mailbox takes.
    std::array<ArrivalRef, exchange::kMailIdCount> incoming;
    std::deque<ArrivalRef> inbox;  // For the handler, in the order of sending.
  };

  explicit Impl(const MessengerOptions& options);

  // messenger_core.cc: threads and peers.
  void run();
  void sleep(Lock& lock);
  bool arm_all();
  size_t poll_all(base::Instant now);
  size_t poll_peer(Peer& peer);
  void hear(Peer& peer, base::Instant now);
  void check_times(Peer& peer, base::Instant now);
  void say_leave(Peer& peer);
  PeerId add_peer(client::JoinedPeer joined);
  void end_peer(Peer& peer, const Status& why);
  bool has_calls() const;
  void run_calls(Lock& lock);
  void wake();
  Peer* find(PeerId peer) const;
  Status missing(PeerId peer) const;
  bool are_all_drained() const;

  // messenger_match.cc: messages and who wants them.
  void on_event(Peer& peer, const exchange::MailEvent& event);
  void on_mail(Peer& peer, const exchange::MailEvent& event);
  void on_received(Peer& peer, uint32_t id, bool ok);
  StateRef take_posted(PeerId peer, uint64_t tag);
  std::span<std::byte> make_room(Arrival& arrival);
  void take_small(Arrival& arrival, const exchange::MailEvent& event);
  void grant(Peer& peer, Arrival& arrival);
  void finish_arrival(Arrival& arrival);
  void hand_over(Peer& peer);
  void hold(Arrival& arrival);
  void unhold(Arrival& arrival);
  void complete(const StateRef& state, Status status);
  bool match_unexpected(const StateRef& state);

  const MessengerOptions options_;
  client::MessengerIdentity self_;
  std::unique_ptr<client::MessengerDoor> door_;
  std::shared_ptr<client::MessagePool> pool_ = std::make_shared<client::MessagePool>();
  base::Fd wake_;
  const std::chrono::nanoseconds spin_;

  mutable std::mutex mutex_;
  std::condition_variable news_;
  std::vector<std::unique_ptr<Peer>> peers_;  // By PeerId.
  std::vector<Peer*> up_;                     // Those that are polled.
  std::deque<StateRef> posted_;
  struct Unexpected {
    Peer* peer = nullptr;
    ArrivalRef arrival;
  };
  std::deque<Unexpected> unexpected_;
  size_t held_bytes_ = 0;
  Handler handler_;
  PeerHandler peer_handler_;

  // Calls to be made without the lock, by the thread.
  struct Call {
    StateRef state;   // Its callback;
    Message message;  // or for the handler;
    PeerId peer{0};   // or for the peer handler.
    Status status;
    size_t held_bytes = 0;
    uint8_t kind = 0;  // 0 callback, 1 handler, 2 peer handler.
  };
  std::deque<Call> calls_;
  bool is_sleeping_ = false;
  bool is_closing_ = false;
  bool is_stopping_ = false;
  bool is_closed_ = false;
  base::Instant last_check_;
  std::vector<pollfd> fds_;  // Scratch of sleep().
  base::Thread thread_;      // Last: it uses all of the above.
};

}  // namespace phub
