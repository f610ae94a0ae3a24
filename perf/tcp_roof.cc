#include "perf/tcp_roof.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <limits>
#include <vector>

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "base/try.h"
#include "perf/statistics.h"
#include "transport/tcp_socket.h"

namespace phub::perf {
namespace {

constexpr size_t kBytesPerReceive = 2u << 20;
constexpr int kPasses = 5;
constexpr int kPollMilliseconds = 1000;

// One end of a connection, and what it still has to do in a pass.
struct End {
  base::Fd socket;
  std::byte* out = nullptr;
  std::byte* in = nullptr;
  uint64_t bytes = 0;  // Each way.
  uint64_t frame_bytes = 0;
  uint64_t sent = 0;
  uint64_t received = 0;

  bool is_done() const { return sent == bytes && received == bytes; }

  // Sends no further than `allowed`. True: something moved. `is_broken` if the connection is.
  bool move(uint64_t allowed, bool* is_broken) {
    bool has_moved = false;
    const auto note = [&](ssize_t count, uint64_t& total) {
      if (count > 0) {
        total += static_cast<uint64_t>(count);
        has_moved = true;
      } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        *is_broken = true;
      }
    };
    if (sent < allowed) {
      const size_t count = std::min<uint64_t>(allowed - sent, frame_bytes);
      note(::send(socket.get(), out + sent, count, MSG_DONTWAIT | MSG_NOSIGNAL), sent);
    }
    if (received < bytes) {
      const size_t count = std::min<uint64_t>(bytes - received, kBytesPerReceive);
      note(::recv(socket.get(), in + received, count, MSG_DONTWAIT), received);
    }
    return has_moved;
  }
};

// One thread's ends. A hub thread sends only what it has from all of them.
struct Party {
  std::vector<End> ends;
  bool is_hub = false;

  bool pump() {
    for (End& end : ends) end.sent = end.received = 0;
    bool is_broken = false;
    while (!is_broken) {
      uint64_t everywhere = std::numeric_limits<uint64_t>::max();
      bool is_done = true;
      for (const End& end : ends) {
        everywhere = std::min(everywhere, end.received);
        is_done &= end.is_done();
      }
      if (is_done) return true;
      bool has_moved = false;
      for (End& end : ends) has_moved |= end.move(is_hub ? everywhere : end.bytes, &is_broken);
      if (!has_moved && !is_broken) wait(everywhere);
    }
    return false;
  }

 private:
  void wait(uint64_t everywhere) {
    std::vector<pollfd> waits;
    for (const End& end : ends) {
      short events = 0;
      if (end.received < end.bytes) events |= POLLIN;
      if (end.sent < (is_hub ? everywhere : end.bytes)) events |= POLLOUT;
      if (events != 0) waits.push_back({end.socket.get(), events, 0});
    }
    ::poll(waits.data(), waits.size(), kPollMilliseconds);
  }
};

class Pump final : public TcpRoof {
 public:
  Status open(uint64_t bytes, uint32_t ranks, uint32_t shards, uint64_t frame_bytes) {
    base::HostPort bound;
    PHUB_TRY_ASSIGN(const base::Fd listener, transport::listen_tcp({"127.0.0.1", 0}, &bound));
    parties_.resize(shards + ranks);
    const uint64_t part = std::max<uint64_t>(1, bytes / shards);
    for (uint32_t shard = 0; shard < shards; ++shard) parties_[shard].is_hub = true;
    for (uint32_t shard = 0; shard < shards; ++shard) {
      PHUB_TRY_ASSIGN(std::byte* const result, memory(part));
      for (uint32_t rank = 0; rank < ranks; ++rank) {
        End hub, worker;
        const base::Instant deadline = base::now() + std::chrono::seconds(5);
        PHUB_TRY_ASSIGN(worker.socket, transport::connect_tcp(bound, deadline));
        PHUB_TRY_ASSIGN(hub.socket, transport::accept_tcp(listener.get()));
        hub.bytes = worker.bytes = part;
        hub.frame_bytes = worker.frame_bytes = frame_bytes;
        hub.out = result;
        PHUB_TRY_ASSIGN(hub.in, memory(part));
        PHUB_TRY_ASSIGN(worker.out, memory(part));
        PHUB_TRY_ASSIGN(worker.in, memory(part));
        parties_[shard].ends.push_back(std::move(hub));
        parties_[shards + rank].ends.push_back(std::move(worker));
      }
    }
    return {};
  }

  Result<double> measure_us() override {
    std::vector<double> times_us;
    for (int pass = 0; pass < kPasses; ++pass) {
      std::atomic<bool> is_good{true};
      std::barrier together(static_cast<std::ptrdiff_t>(parties_.size()) + 1);
      std::vector<base::Thread> threads;
      for (Party& party : parties_) {
        threads.emplace_back("tcp-roof", -1, [&] {
          together.arrive_and_wait();
          if (!party.pump()) is_good = false;
          together.arrive_and_wait();
        });
      }
      together.arrive_and_wait();
      const base::Instant start = base::now();
      together.arrive_and_wait();
      times_us.push_back(static_cast<double>((base::now() - start).count()) / 1e3);
      threads.clear();
      if (!is_good) return Status(Code::unavailable, "tcp roof: a loopback connection broke");
    }
    return median(times_us);
  }

 private:
  Result<std::byte*> memory(uint64_t bytes) {
    PHUB_TRY_ASSIGN(base::Mapping mapping, base::Mapping::anonymous(bytes));
    memory_.push_back(std::move(mapping));
    return memory_.back().data();
  }

  std::vector<Party> parties_;  // The hub's threads, then the ranks'.
  std::vector<base::Mapping> memory_;
};

}  // namespace

Result<std::unique_ptr<TcpRoof>> TcpRoof::create(uint64_t bytes, uint32_t ranks, uint32_t shards,
                                                 uint64_t frame_bytes) {
  auto pump = std::make_unique<Pump>();
  PHUB_TRY(pump->open(bytes, ranks, shards, frame_bytes));
  return std::unique_ptr<TcpRoof>(std::move(pump));
}

}  // namespace phub::perf
