// The hub as one object: shards on their cores, the control plane on its thread, the operator's
// door.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/thread.h"
#include "config/hub_config.h"
#include "phub/admin.h"
#include "phub/control.h"
#include "phub/runner.h"
#include "phub/session_server.h"

namespace phub::hub {

// "0.1.0".
const char* version();

class Hub : public Admin {
 public:
  // Returns when workers can join. invalid_argument, already_exists, resource_exhausted: the listen
  // address or the machine does not allow it.
  static Result<std::unique_ptr<Hub>> start(const config::HubConfig& config);
  ~Hub() override;  // Stops at once if it still runs.

  // Where workers connect, with the ports that were really bound:
  // "shm:///a.sock,tcp://0.0.0.0:7077".
  std::string listen_text() const;

  // Calls `done`, on some thread, when the control thread and then every shard's thread have come
  // round to it: soon, also when idle; never if one of them is stuck. Any thread may ask.
  void ask_alive(std::function<void()> done);

  // Returns when the hub has ended: after stop(), or after drain() when the last job is over.
  Status wait();

  // Takes over what can change while the hub runs (HubOption::can_reload); ignores the rest.
  Status change(const config::HubConfig& config);

  Result<HubSnapshot> snapshot() override;
  Result<std::vector<LateSnapshot>> late(const std::string& job) override;
  Result<std::string> map_text(const std::string& job) override;
  Status create_job(const JobSpec& spec) override;
  Status remove_job(const std::string& job, const std::string& reason) override;
  Status drain() override;
  Status undrain() override;
  Status stop() override;

 private:
  Hub() = default;
  static Result<exchange::HubShape> make_shape(const config::HubConfig& config,
                                               const std::vector<exchange::Address>& listen);
  Status build(const config::HubConfig& config);
  void run();
  // Runs `ask` on the control thread and waits for its answer, a Status or a Result.
  template <typename Answer>
  Answer ask_control(std::function<Answer()> ask);

  std::string name_;
  std::unique_ptr<SessionServer> server_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<Control> control_;
  std::vector<std::unique_ptr<Runner>> runners_;
  std::atomic<bool> is_stopping_{false};
  std::mutex mutex_;
  std::condition_variable ended_;
  bool has_ended_ = false;
  base::Thread thread_;
};

}  // namespace phub::hub
