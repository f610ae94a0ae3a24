// Training in one process, without a hub: what the hub's result is compared with.
#pragma once

#include <phub/status.h>

#include "schedule.h"

namespace digits {

phub::Status train_local(const Options& options, const Split& data);

}  // namespace digits
