#include "phub/service_manager.h"

#include <poll.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "base/try.h"

namespace phub::hub {
namespace {

constexpr int kStateIntervalMs = 5'000;

// How often to say that the hub is alive: thrice in the time after which the service manager gives
// up, so that one late answer kills nobody. 0: it does not watch.
int watchdog_interval_ms() {
  uint64_t limit_us = 0;
  if (::sd_watchdog_enabled(0, &limit_us) <= 0) return 0;
  return static_cast<int>(std::clamp<uint64_t>(limit_us / 3'000, 1, 3'600'000));
}

// A service manager that does not listen is no reason to end a training run.
void say(const std::string& text) {
  const int error = ::sd_notify(0, text.c_str());
  if (error >= 0) return;
  const char* const socket = std::getenv("NOTIFY_SOCKET");
  base::log(base::LogLevel::warning, "tell the service manager at NOTIFY_SOCKET = " +
                                         std::string(socket == nullptr ? "" : socket) + ": " +
                                         std::strerror(-error));
}

std::string state_of(const HubSnapshot& hub) {
  const size_t jobs = hub.jobs.size();
  const std::string count = std::to_string(jobs) + (jobs == 1 ? " job" : " jobs");
  return hub.is_draining ? "draining, " + count + " left" : count;
}

}  // namespace

Result<std::unique_ptr<ServiceManager>> ServiceManager::start(Hub& hub) {
  if (std::getenv("NOTIFY_SOCKET") == nullptr) return std::unique_ptr<ServiceManager>();
  PHUB_TRY_ASSIGN(base::Fd end, base::make_event_fd());
  say("READY=1\nSTATUS=" + hub.listen_text() + ": 0 jobs");
  return std::unique_ptr<ServiceManager>(new ServiceManager(hub, std::move(end)));
}

ServiceManager::ServiceManager(Hub& hub, base::Fd end)
    : hub_(hub),
      end_(std::move(end)),
      is_answered_(std::make_shared<std::atomic<bool>>(true)),
      thread_("phub-service", -1, [this] { run(); }) {}

// Said only here, and not when the hub begins to drain: the service manager would then allow it no
// more than TimeoutStopSec, but jobs may take hours to end.
ServiceManager::~ServiceManager() {
  base::signal_event(end_.get());
  thread_.join();
  say("STOPPING=1\nSTATUS=ending");
}

void ServiceManager::run() {
  const int watchdog_ms = watchdog_interval_ms();
  const int interval_ms =
      watchdog_ms == 0 ? kStateIntervalMs : std::min(watchdog_ms, kStateIntervalMs);
  pollfd end{end_.get(), POLLIN, 0};
  while (::poll(&end, 1, interval_ms) <= 0) {
    const bool is_alive = *is_answered_;
    if (watchdog_ms != 0 && is_alive) say_alive();
    if (is_alive) say_state();  // Else there is nobody to answer.
  }
}

// REQUIRES: the last question was answered, so that tasks never pile up at a stuck shard.
void ServiceManager::say_alive() {
  *is_answered_ = false;
  say("WATCHDOG=1");
  hub_.ask_alive([answered = is_answered_] { *answered = true; });
}

void ServiceManager::say_state() {
  const Result<HubSnapshot> snapshot = hub_.snapshot();
  if (!snapshot.ok()) return;
  const std::string state = hub_.listen_text() + ": " + state_of(*snapshot);
  if (state == state_) return;
  state_ = state;
  say("STATUS=" + state);
}

}  // namespace phub::hub
