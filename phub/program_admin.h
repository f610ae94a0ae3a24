// What an operator can ask of the program around a hub: its configuration and its log.
// Implemented by Program; called from HTTP threads and from the signal thread.
// Thread-safety: any thread.
#pragma once

#include <phub/status.h>

#include "base/log.h"
#include "config/hub_reload.h"

namespace phub::hub {

class ProgramAdmin {
 public:
  virtual ~ProgramAdmin() = default;
  // Reads the configuration again, applies what can change while the hub runs, and logs both what
  // changed and what needs a restart. Not ok: nothing has changed; the message says why.
  virtual Result<config::HubReload> reload() = 0;
  virtual base::LogLevel log_level() = 0;
  // Until the next reload or start, which go by the configuration.
  virtual void set_log_level(base::LogLevel level) = 0;
};

}  // namespace phub::hub
