// phubd around its hub: where its configuration came from, and what holds of it now.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "phub/program_admin.h"

namespace phub::hub {

class Program : public ProgramAdmin {
 public:
  // arguments, environment: as for parse_hub_command, which made `command` of them.
  Program(std::vector<std::string> arguments, std::vector<std::string> environment,
          config::HubCommand command);

  // How a changed configuration reaches the hub and its doors. Until this is called, reload() is
  // unavailable. `apply` is called by one thread at a time and stays valid until end().
  void begin(std::function<Status(const config::HubConfig&)> apply);
  void end();  // From here on reload() is unavailable again.

  Result<config::HubReload> reload() override;
  base::LogLevel log_level() override;
  void set_log_level(base::LogLevel level) override;

 private:
  Result<config::HubReload> try_reload();

  const std::vector<std::string> arguments_;
  const std::vector<std::string> environment_;
  std::mutex mutex_;  // Guards what follows.
  config::HubCommand running_;
  std::function<Status(const config::HubConfig&)> apply_;
};

}  // namespace phub::hub
