// The data path of one epoch: every tensor's current round, chunk by chunk.
//
// Knows the fabric and the map; no session, threads, clocks or time-outs. After construction
// nothing here allocates, except the text of failures. Thread-safety: none.
#pragma once

#include <phub/status.h>
#include <phub/types.h>
#include <phub/worker.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "exchange/map.h"
#include "exchange/wire.h"
#include "transport/fabric.h"
#include "worker_lib/link_queue.h"
#include "worker_lib/regions.h"

namespace phub::client {

enum class Kind : uint8_t { push_pull, push, pull, broadcast };
std::string_view to_string(Kind kind);

// `push_pull tensor 5 "fc1.weight" round 17`: how messages name an operation.
std::string describe(Kind kind, uint32_t tensor, std::string_view name, uint32_t round);

// A callback that is due, with what it is to be told.
struct Finished {
  Callback callback;
  Status status;
};

// What goes on besides WorkerStats.
struct RoundsCounters {
  uint64_t duplicates = 0;  // Replies of another round, or seen before: dropped.
  uint64_t malformed = 0;   // Replies that no correct hub sends: dropped.
};

// Whose end a sleeper wants to see. Operations with callbacks are always of interest.
struct Interest {
  std::span<const Operation> operations;  // Each of these.
  bool all = false;                       // Everything in flight, as a whole.
  bool each = false;                      // Everything in flight, one by one.
};

// The way to one shard.
struct ShardLink {
  uint32_t fabric = 0;  // Of the client's fabrics.
  transport::LinkId link = transport::LinkId{0};
  std::string name;  // "link to shard 1 of hub tcp://10.0.0.7:7077", for messages.
};

class Rounds {
 public:
  // links[s] leads to shard s of the map. regions, fabrics, finished and stats outlive this.
  Rounds(std::span<const std::unique_ptr<transport::Fabric>> fabrics, const Regions* regions,
         std::span<const TensorSpec> tensors, exchange::ChunkMap map, std::vector<Placement> places,
         std::vector<ShardLink> links, std::vector<Finished>* finished, WorkerStats* stats);

  // The four operations of worker.h, with its errors. `rank` is this worker's.
  Result<Operation> push_pull(TensorId tensor, const void* gradient, void* result, Callback done);
  Result<Operation> push(TensorId tensor, const void* gradient, Callback done);
  Result<Operation> pull(TensorId tensor, void* result, Callback done);
  Result<Operation> broadcast(TensorId tensor, void* data, Rank root, Rank rank, Callback done);

  // Puts what may be put now: by priority, within each link's window. Returns puts started.
  size_t pump();
  // Takes what has arrived, then pumps. Returns events handled.
  size_t poll(transport::Instant now);

  bool is_idle() const { return busy_count_ == 0; }
  size_t busy_count() const { return busy_count_; }
  // invalid_argument: no such operation was started in this epoch.
  Status check(const Operation& operation) const;
  bool is_done(const Operation& operation) const;
  // Of an operation that is done.
  Status status_of(const Operation& operation) const;
  std::string describe(const Operation& operation) const;
  // Operations ended so far: a change means that somebody's wait may be over.
  uint64_t ended_count() const { return ended_count_; }
  // The first failure of this epoch's operations.
  const Status& first_failure() const { return first_failure_; }
  const exchange::ChunkMap& map() const { return map_; }
  uint32_t last_round(uint32_t tensor) const { return tensors_[tensor].round; }
  std::span<std::byte> result(uint32_t tensor) const;

  // Ends every operation with `reason` after its name.
  void fail(const Status& reason);
  // A link that the fabric gave up: which, and why; ok if none.
  const Status& lost() const { return lost_; }

  // Tells the fabric how many arrivals the next sleep may last for.
  void hint_arrivals(const Interest& interest);

  const RoundsCounters& counters() const { return counters_; }

 private:
  struct Tensor {
    uint64_t bytes = 0;
    uint32_t chunk_begin = 0;
    uint32_t chunk_end = 0;
    Placement place;
    uint32_t round = 0;       // The last started.
    uint32_t remaining = 0;   // Chunks whose reply or `sent` is missing; 0: idle.
    uint32_t unreplied = 0;   // Chunks whose reply is missing.
    bool holds_push = false;  // The result of a push is in place.result.
    Kind kind = Kind::push_pull;
    exchange::Verb verb = exchange::Verb::push_pull;
    const std::byte* source = nullptr;  // Null: puts carry no bytes.
    bool is_staged = false;             // Copied to place.staging, then put from there.
    bool copies_late = false;           // The target is the borrowed source: copy when it is sent.
    std::byte* target = nullptr;        // Copied to from place.result; null: stays there.
    Status status;                      // Of the last operation, once it has ended.
    std::array<Callback, 2> callbacks;  // The operation's, and that of a pull that joined a push.
  };
  struct Door {
    transport::Fabric* fabric = nullptr;
    std::vector<uint32_t> shard_of_link;  // By LinkId; UINT32_MAX: not ours.
  };
  struct Link {
    ShardLink to;
    uint32_t window = 0;  // Most unsent puts.
    uint32_t unsent = 0;  // Puts whose `sent` is missing.
    LinkQueue queue;
    std::vector<uint32_t> slot_begin;  // Tensor t has slots [slot_begin[t], slot_begin[t + 1]).
    std::vector<uint32_t> unreplied;   // Per tensor, replies missing on this link.
  };

  Status check_start(Kind kind, TensorId tensor) const;
  Status check_source(Kind kind, uint32_t tensor, const void* source, const void* target) const;
  Result<Operation> start(uint32_t tensor, Kind kind, exchange::Verb verb, const void* source,
                          void* target, Callback done);
  Result<Operation> collect(uint32_t tensor, std::byte* target, Callback done);
  Link make_link(uint32_t shard, ShardLink to) const;
  void pump_link(uint32_t shard, size_t* started);
  transport::Put make_put(uint32_t shard, uint32_t slot, bool may_stage);
  size_t poll_door(Door& door, transport::Instant now);
  uint32_t shard_of(const Door& door, transport::LinkId link) const;
  void on_arrived(const Door& door, const transport::Event& event);
  void on_sent(const transport::Event& event);
  void on_lost(const Door& door, const transport::Event& event);
  void chunk_finished(const exchange::Chunk& chunk);
  void end(uint32_t tensor, const Status& status);
  void copy_out(const Tensor& tensor, const exchange::Chunk& chunk);
  uint32_t arrivals_wanted(const Link& link, uint32_t tensor) const;
  size_t element_bytes(uint32_t tensor) const { return size_of(specs_[tensor].type); }
  std::string shown(uint32_t tensor, Kind kind) const;

  // Per chunk, what the current operation still needs.
  static constexpr uint8_t kQueued = 1;  // Not put yet.
  static constexpr uint8_t kReply = 2;
  static constexpr uint8_t kSent = 4;

  std::vector<Door> doors_;  // By fabric.
  bool by_reference_;        // All of them.
  const Regions* regions_;
  std::vector<TensorSpec> specs_;
  exchange::ChunkMap map_;
  std::vector<Tensor> tensors_;
  std::vector<Link> links_;  // By shard.
  std::vector<uint8_t> awaited_;
  uint64_t started_count_ = 0;
  uint64_t ended_count_ = 0;
  size_t busy_count_ = 0;
  Status first_failure_;
  Status lost_;
  RoundsCounters counters_;
  std::vector<Finished>* finished_;
  WorkerStats* stats_;
};

}  // namespace phub::client
