// Training as one of several workers of a hub; which one, the environment says (PHUB_HUB,
// PHUB_RANK, PHUB_SIZE, ...: see WorkerOptions::from_environment).
#pragma once

#include <phub/status.h>

#include "schedule.h"

namespace digits {

phub::Status train_with_hub(const Options& options, const Split& data);

}  // namespace digits
