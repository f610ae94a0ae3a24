// One Client between a scripted session and a scripted fabric, brought to the state a test needs.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "exchange/map.h"
#include "tests/worker_lib/fakes.h"
#include "worker_lib/client.h"

namespace phub::client {

inline TensorSpec tensor(const std::string& name, uint64_t count, int32_t priority = 0) {
  TensorSpec spec;
  spec.name = name;
  spec.count = count;
  spec.priority = priority;
  return spec;
}

struct RigOptions {
  transport::Traits traits{.by_reference = true, .windows = true};
  uint32_t shards = 1;
  Rank rank = Rank{0};
};

class Rig {
 public:
  explicit Rig(const RigOptions& options = {}) {
    shape_.shards.resize(options.shards);
    worker_options.hub = "shm:///tmp/test.sock";
    worker_options.job.name = "test";
    worker_options.job.secret = "secret";
    worker_options.job.rank_count = 2;
    worker_options.job.chunk_elements = 64;
    worker_options.rank = options.rank;
    auto owned = std::make_unique<FakeFabric>(options.traits);
    fabric = owned.get();
    std::vector<HubSession> hubs;
    hubs.push_back({worker_options.hub, std::make_unique<FakeChannel>(session), 0});
    std::vector<std::unique_ptr<transport::Fabric>> fabrics;
    fabrics.push_back(std::move(owned));
    core = std::make_unique<Client>(worker_options, Identity{4711, "node7"}, std::move(hubs),
                                    std::move(fabrics));
    client = core.get();
  }

  void poll() { client->poll(time = time + std::chrono::microseconds(200)); }

  void join() {
    session->deliver(exchange::Challenge{"00", true});
    poll();
    session->deliver(exchange::Welcome{"phubd test", shape_, 5000});
    poll();
  }
  exchange::Offer offer_for(const exchange::Tensors& tensors) const {
    exchange::Offer offer;
    offer.epoch = tensors.epoch;
    offer.digest = tensors.digest;
    for (size_t shard = 0; shard < shape_.shards.size(); ++shard) {
      offer.links.push_back("offer " + std::to_string(shard));
      offer.fd_counts.push_back(0);
    }
    return offer;
  }
  // The hub's part of an agreement that goes well.
  void agree() {
    const auto tensors = session->take<exchange::Tensors>();
    ASSERT_NE(tensors, nullptr);
    session->deliver(offer_for(*tensors));
    session->deliver(exchange::Start{tensors->epoch});
    poll();
  }
  void run(const std::vector<TensorSpec>& specs, std::span<void* const> results = {}) {
    join();
    const Status status = client->begin_tensors(specs, results);
    ASSERT_TRUE(status.ok()) << status.message();
    agree();
    ASSERT_EQ(client->state(), State::running) << client->failure().message();
  }
  // Answers every put so far as the hub of a single rank would.
  void echo_all() {
    for (const transport::Put& put : fabric->puts) fabric->echo(put);
    fabric->puts.clear();
    poll();
  }

  WorkerOptions worker_options;
  std::shared_ptr<Session> session = std::make_shared<Session>();
  FakeFabric* fabric = nullptr;
  std::unique_ptr<Client> core;  // Moved out by tests of the driver.
  Client* client = nullptr;
  base::Instant time{1'000'000};

 private:
  exchange::HubShape shape_;
};

}  // namespace phub::client
