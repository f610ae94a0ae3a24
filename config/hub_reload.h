// A configuration that is read again while the hub runs: what changes now, what only a restart
// changes. Thread-safety: plain values; the function may be called from any thread.
#pragma once

#include <phub/status.h>

#include <string>
#include <vector>

#include "config/hub_config.h"

namespace phub::config {

struct OptionChange {
  std::string option;
  std::string from;  // As HubSetting::text.
  std::string to;
};

struct HubReload {
  std::vector<OptionChange> applied;        // By the time the hub has taken `command`.
  std::vector<OptionChange> needs_restart;  // Written otherwise, but the hub stays as it was.
  HubCommand command;                       // What holds from now on.
};

// running: what holds. read: the same sources, parsed anew.
// invalid_argument: the options do not fit what cannot change; then nothing should.
Result<HubReload> plan_reload(const HubCommand& running, const HubCommand& read);

// "log_level: info -> debug", and "listen: a -> b needs a restart; still a".
std::string applied_text(const OptionChange& change);
std::string needs_restart_text(const OptionChange& change);

}  // namespace phub::config
