// `phubctl top`: jobs and shards of a hub, refreshed until somebody has seen enough.
#pragma once

#include "config/ctl_config.h"
#include "phub/phubctl.h"

namespace phub::hub {

// On a terminal, unless command.is_once: until q or a signal; a hub that goes away and comes back
// is waited for. Else: one table, of two looks an interval apart. no_hub: the first look failed.
CtlResult run_top(const config::CtlCommand& command);

}  // namespace phub::hub
