#include "phub/runner.h"

#include <sched.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace phub::hub {
namespace {

// However silent the descriptors are, look again after this long.
constexpr int kSleepMillisecondsMax = 250;

void watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  PHUB_CHECK(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

}  // namespace

Runner::Runner(Shard* shard, const RunnerOptions& options)
    : shard_(shard),
      idle_spin_us_(options.idle_spin.count()),
      thread_("phub-shard" + std::to_string(shard->index()), options.core, [this] { run(); }) {}

Runner::~Runner() {
  is_stopping_.store(true, std::memory_order_release);
  shard_->tasks().wake();
  thread_.join();
}

void Runner::run() {
  const base::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  PHUB_CHECK(epoll.valid());
  watch(epoll.get(), shard_->tasks().fd());
  for (uint32_t i = 0; i < shard_->fabric_count(); ++i) {
    if (shard_->fabric(i).fd() >= 0) watch(epoll.get(), shard_->fabric(i).fd());
  }
  const auto idle_spin = [this] {
    return std::chrono::microseconds(idle_spin_us_.load(std::memory_order_relaxed));
  };
  base::Instant busy_until = base::now() + idle_spin();
  base::Instant busy_since{INT64_MAX};  // When the last poll began, if it found work.
  while (!is_stopping_.load(std::memory_order_acquire)) {
    const base::Instant now = base::now();
    if (busy_since < now) shard_->count_busy(now - busy_since);
    busy_since = base::Instant{INT64_MAX};
    if (shard_->poll(now) > 0) {
      busy_since = now;
      busy_until = now + idle_spin();
    } else if (now < busy_until) {
      ::sched_yield();
    } else {
      sleep(epoll.get(), now);
      busy_until = base::now() + idle_spin();
    }
  }
}

void Runner::sleep(int epoll, base::Instant now) {
  bool may_sleep = true;
  base::Instant deadline{INT64_MAX};
  for (uint32_t i = 0; i < shard_->fabric_count(); ++i) {
    may_sleep &= shard_->fabric(i).arm();
    deadline = std::min(deadline, shard_->fabric(i).next_deadline());
  }
  if (may_sleep && shard_->tasks().empty()) {
    const int64_t until_ms =
        deadline.ns == INT64_MAX ? kSleepMillisecondsMax : (deadline.ns - now.ns) / 1'000'000 + 1;
    const int timeout_ms =
        static_cast<int>(std::clamp<int64_t>(until_ms, 0, kSleepMillisecondsMax));
    std::array<epoll_event, 8> events;
    shard_->count_sleep();
    ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), timeout_ms);
    shard_->tasks().clear_wake();
  }
  for (uint32_t i = 0; i < shard_->fabric_count(); ++i) shard_->fabric(i).disarm();
}

}  // namespace phub::hub
