// `phubctl doctor`: is this machine fit for a hub or a worker, and can a hub be reached from it?
#pragma once

#include "config/ctl_config.h"
#include "phub/phubctl.h"

namespace phub::hub {

// refused: there is a problem; the report is in the output all the same. Takes some seconds at most
// where a hub does not answer.
CtlResult run_doctor(const config::CtlCommand& command);

}  // namespace phub::hub
