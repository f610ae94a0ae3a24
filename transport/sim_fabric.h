// The simulator's Fabric: keeps the contract of fabric.h while everything that the contract allows
// happens (repeats, any order, delays), and reports what the contract forbids to its callers.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <vector>

#include "base/memory.h"
#include "transport/sim_core.h"

namespace phub::transport {

// One put on its way; shared by its copies.
struct SimFlight {
  Put put;
  bool by_reference = false;
  bool by_window = false;
  std::vector<std::byte> bytes;  // As they were at put().
  uint32_t copies_out = 0;       // Copies not yet delivered (and, where that matters, released).
  bool was_delivered = false;
  uint64_t sender = 0;  // Endpoint and link that wait for the completion.
  NodeId sender_node{0};
  uint64_t sender_cookie = 0;
};

// What the two halves tell each other, inside Bootstrap::blob.
struct SimBlob {
  uint32_t role = 0;  // 0: offer, 1: answer.
  NodeId node{0};
  uint64_t endpoint = 0;
  uint32_t link = 0;
  uint64_t cookie = 0;
  uint64_t offer_cookie = 0;  // Answers only: which offer they answer.
  uint32_t slot_count = 0;
  uint32_t peer_slot_count = 0;
  uint32_t acceptor_puts_max = 0;
  uint32_t connector_puts_max = 0;
};

class SimFabric final : public Fabric, public SimEndpoint {
 public:
  SimFabric(SimCore& core, NodeId node);
  ~SimFabric() override;

  std::string_view name() const override { return "sim"; }
  Traits traits() const override { return core_.options().traits; }
  Result<std::span<std::byte>> allocate(size_t bytes) override;
  Status register_memory(std::span<std::byte> memory, uint64_t domain) override;
  void deregister_memory(std::span<std::byte> memory) override;
  Result<LinkId> open(const LinkOptions& options, Bootstrap* offer) override;
  Status accept(LinkId link, Bootstrap answer) override;
  Result<LinkId> connect(const LinkOptions& options, Bootstrap offer, Bootstrap* answer) override;
  void close(LinkId link) override;
  std::string lost_reason(LinkId link) const override;
  std::byte* window(LinkId link, uint32_t slot) override;
  size_t put(std::span<const Put> puts) override;
  size_t poll(Instant now, std::span<Event> events) override;
  void release(const Event& event) override;
  int fd() const override { return -1; }
  bool arm() override { return is_dead() || inbox_.empty(); }
  void disarm() override {}
  void on_silence(NodeId peer, uint64_t last_id, const std::string& reason) override;

 private:
  bool is_registered(const std::byte* data, size_t bytes) const;
  enum class State : uint8_t { closed, opening, up, lost };
  struct Memory {
    std::vector<base::Mapping> regions;
    bool contains(const std::byte* data, size_t bytes, size_t region_count) const;
  };
  struct Copy {
    std::shared_ptr<SimFlight> flight;
    bool is_repeat = false;
  };
  struct Link {
    State state = State::closed;
    bool is_acceptor = false;
    uint64_t cookie = 0;  // Names this incarnation of the link.
    LinkOptions options;
    NodeId peer_node{0};
    uint64_t peer = 0;
    uint32_t peer_link = 0;
    uint64_t peer_cookie = 0;
    std::vector<Slot> peer_slots;         // For windows.
    std::shared_ptr<Memory> peer_memory;  // Keeps borrowed memory alive when the peer is gone.
    size_t region_count = 0;              // Regions that the peer knows.
    uint32_t unfinished_count = 0;
    std::string lost_reason;
    std::vector<std::vector<uint64_t>> holders;  // Per slot: unreleased first arrivals.
    std::vector<Copy> early;                     // Came before accept().
  };
  struct Arrival {
    Copy copy;
    uint32_t link = 0;
    const std::byte* data = nullptr;
  };

  uint32_t new_link(const LinkOptions& options, bool is_acceptor);
  void join(Link& link, const SimBlob& peer);
  SimBlob blob_of(uint32_t index) const;
  Status check_peer(const Link& link, const SimBlob& peer) const;
  Link* find_link(uint32_t index, uint64_t cookie);

  void start(const Put& put);
  void send_copy(const Link& link, const Copy& copy);
  void deliver(uint32_t index, const Copy& copy);
  void finish(Link& link, const SimFlight& flight);
  void complete(uint32_t index, const SimFlight& flight);
  void check_release(const Arrival& arrival);
  void lose(uint32_t index, const std::string& reason);
  void violation(uint32_t index, const std::string& what);

  std::shared_ptr<Memory> memory_ = std::make_shared<Memory>();
  std::vector<std::span<std::byte>> registered_;
  std::vector<Link> links_;
  std::deque<Event> inbox_;
  std::map<uint64_t, Arrival> arrivals_;  // Delivered or in the inbox, not yet released.
  std::set<uint64_t> orphans_;            // Arrivals of closed links: may still be released.
  uint64_t last_arrival_ = 0;
};

}  // namespace phub::transport
