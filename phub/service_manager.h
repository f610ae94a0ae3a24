// What phubd tells the program that started it as a service (systemd, Type=notify): that ranks can
// join, what it is doing, that it is alive, that it ends. See sd_notify(3).
#pragma once

#include <memory>
#include <string>

#include "base/fd.h"
#include "base/thread.h"
#include "phub/hub.h"

namespace phub::hub {

// Alive means: the control thread and then every shard's thread came round to a task since the last
// time that this was said. A sleeping shard is woken for it, so that idle is alive and stuck is
// not. One small task a shard, two to three times in the time that the service manager allows;
// never anything on the data path. Thread-safety: one thread.
class ServiceManager {
 public:
  // Says that the hub is ready. Null: nobody asked to be told (NOTIFY_SOCKET is not set).
  // internal: out of descriptors. A socket that cannot be written to is logged.
  static Result<std::unique_ptr<ServiceManager>> start(Hub& hub);
  ~ServiceManager();  // Says that the hub ends. REQUIRES: the hub is still there.

 private:
  ServiceManager(Hub& hub, base::Fd end);
  void run();
  void say_alive();
  void say_state();

  Hub& hub_;
  const base::Fd end_;
  // Of the last question; shared with tasks that may outlive this object.
  std::shared_ptr<std::atomic<bool>> is_answered_;
  std::string state_;
  base::Thread thread_;
};

}  // namespace phub::hub
