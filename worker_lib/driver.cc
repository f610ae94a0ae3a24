#include "worker_lib/driver.h"

#include <sched.h>

#include <algorithm>

#include "base/try.h"

namespace phub::client {
namespace {

constexpr std::chrono::seconds kSleepMax{1};

// Spinning pays when the hub has cores of its own; on few cores it takes the hub's time.
std::chrono::nanoseconds spin_time() {
  const size_t cores = base::allowed_cores().size();
  return std::chrono::microseconds(cores >= 4 ? 20 : cores > 1 ? 2 : 0);
}

}  // namespace

Result<std::unique_ptr<Driver>> Driver::create(std::unique_ptr<Client> client, bool thread) {
  PHUB_TRY_ASSIGN(base::Fd wake, base::make_event_fd());
  return std::unique_ptr<Driver>(new Driver(std::move(client), thread, std::move(wake)));
}

Driver::Driver(std::unique_ptr<Client> client, bool thread, base::Fd wake)
    : client_(std::move(client)), has_thread_(thread), spin_(spin_time()), wake_(std::move(wake)) {
  if (!thread) return;
  is_driving_ = true;  // For good: nobody else drives beside the thread.
  thread_ = base::Thread("phub-worker", -1, [this] {
    Lock lock(mutex_);
    while (!is_stopping_) {
      drive(lock, [this](const Client&) { return is_stopping_; }, {INT64_MAX});
    }
  });
}

Driver::~Driver() {
  {
    const Lock lock(mutex_);
    is_stopping_ = true;
    wake_sleeper();
  }
  thread_.join();
  // What has not ended never will: say so to whoever left a callback.
  Lock lock(mutex_);
  client_->abandon(Status(Code::aborted, "the Worker was destroyed before it ended"));
  run_callbacks(lock);
}

void Driver::wake_sleeper() {
  if (is_sleeping_) base::signal_event(wake_.get());
}

bool Driver::wait(const Wait& wait, Instant deadline) {
  ++contender_count_;
  Lock lock(mutex_);
  --contender_count_;
  if (!is_driving_ && client_->has_finished()) {  // Callbacks of what ended at once.
    is_driving_ = true;
    run_callbacks(lock);
    is_driving_ = false;
    news_.notify_all();
  }
  waits_.push_back(&wait);
  bool is_over = wait.is_over(*client_);
  while (!is_over) {
    const Instant now = base::now();
    if (now >= deadline) break;
    if (is_driving_) {
      wake_sleeper();  // It must learn what this thread waits for.
      news_.wait_for(lock, deadline - now);
    } else {
      is_driving_ = true;
      drive(lock, wait.is_over, deadline);
      is_driving_ = false;
      news_.notify_all();  // Somebody else may have to drive now.
    }
    is_over = wait.is_over(*client_);
  }
  std::erase(waits_, &wait);
  return is_over;
}

void Driver::poll() {
  ++contender_count_;
  Lock lock(mutex_);
  --contender_count_;
  if (is_driving_) return wake_sleeper();
  is_driving_ = true;
  poll_once(lock, base::now());
  is_driving_ = false;
  news_.notify_all();
}

void Driver::drive(Lock& lock, const std::function<bool(const Client&)>& is_over,
                   Instant deadline) {
  Instant busy = base::now();
  while (!is_over(*client_)) {
    const Instant now = base::now();
    if (now >= deadline) return;
    if (poll_once(lock, now) > 0) {
      busy = now;
    } else if (!is_over(*client_) && now - busy >= spin_) {
      sleep(lock, deadline);
      busy = base::now();
    }
    if (contender_count_.load(std::memory_order_relaxed) > 0) {
      lock.unlock();
      ::sched_yield();  // A mutex is not fair: without this the driver takes it again at once.
      lock.lock();
    }
  }
}

size_t Driver::poll_once(Lock& lock, Instant now) {
  const size_t handled = client_->poll(now);
  if (client_->has_finished()) run_callbacks(lock);
  const uint64_t news = client_->news();
  if (news != told_news_) {
    told_news_ = news;
    // Most news are of one tensor, while somebody waits for all of them: not worth waking anybody.
    const bool is_anyone_done = std::any_of(
        waits_.begin(), waits_.end(), [this](const Wait* wait) { return wait->is_over(*client_); });
    if (is_anyone_done) news_.notify_all();
  }
  return handled;
}

void Driver::run_callbacks(Lock& lock) {
  while (client_->has_finished()) {
    client_->take_finished(&finished_);
    lock.unlock();
    for (Finished& finished : finished_) finished.callback(finished.status);
    finished_.clear();
    lock.lock();
  }
}

void Driver::sleep(Lock& lock, Instant deadline) {
  const State state = client_->state();
  const bool is_alive = state != State::failed && state != State::left;
  Interest interest;
  interest.each = has_thread_;
  waited_.clear();
  for (const Wait* wait : waits_) {
    const auto operations = wait->interest.operations;
    waited_.insert(waited_.end(), operations.begin(), operations.end());
    interest.all |= wait->interest.all;
  }
  interest.operations = waited_;
  if (is_alive && !client_->arm(interest)) return;
  const Instant now = base::now();
  Instant until = std::min(deadline, now + kSleepMax);
  if (is_alive) until = std::min(until, client_->next_deadline());
  const int64_t left_ns = std::max<int64_t>(0, (until - now).count());
  const timespec timeout = {left_ns / 1'000'000'000, left_ns % 1'000'000'000};
  // A descriptor of -1 is ignored. After the end a session's stays readable: not of interest.
  fds_.clear();
  fds_.push_back({wake_.get(), POLLIN, 0});
  const size_t hub_count = client_->hub_count();
  for (size_t hub = 0; is_alive && hub < hub_count; ++hub) {
    fds_.push_back({client_->session_fd(hub), POLLIN, 0});
  }
  for (size_t fabric = 0; is_alive && fabric < client_->fabric_count(); ++fabric) {
    fds_.push_back({client_->fabric_fd(fabric), POLLIN, 0});
  }
  is_sleeping_ = true;
  lock.unlock();
  ::ppoll(fds_.data(), fds_.size(), &timeout, nullptr);
  lock.lock();
  is_sleeping_ = false;
  if (fds_[0].revents != 0) base::drain_event(wake_.get());
  if (!is_alive) return;
  client_->disarm();
  const bool has_news =
      std::any_of(fds_.begin() + 1, fds_.begin() + 1 + static_cast<int>(hub_count),
                  [](const pollfd& session) { return session.revents != 0; });
  if (has_news) client_->poll_session(base::now());
}

}  // namespace phub::client
