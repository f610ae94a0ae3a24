// `phubctl drain --wait`: drains a hub, says what it waits for, returns when the hub has ended.
#pragma once

#include <phub/status.h>

#include <functional>
#include <string>

#include "config/ctl_config.h"
#include "phub/phubctl.h"

namespace phub::hub {

// Calls `say` with a line whenever what is waited for has changed.
// done: the hub has ended.  refused: it would not drain, or the drain was cancelled meanwhile.
// timed_out: command.wait_ms, if there is one, is over; the hub goes on draining.
CtlResult drain_and_wait(const config::CtlCommand& command,
                         const std::function<void(const std::string&)>& say);

// What a draining hub waits for, of the JSON of /v1/status: "2 jobs: bert (4 of 4 ranks), ...".
// invalid_argument: not what a hub of this version sends.
Result<std::string> waiting_text(const std::string& json);

}  // namespace phub::hub
