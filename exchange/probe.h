// Asking a hub who it is, before anything is proved: one message there, one back, and the end.
#pragma once

#include <phub/status.h>

#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "exchange/session.h"

namespace phub::exchange {

struct ProbeAnswer {
  Probed probed;
  Status refusal;  // Not ok: the hub answered with these words instead; it is older, or busy.
};

// socket: connected to what may be a hub. Blocks, until `deadline` at the latest.
// timed_out: no answer.  unavailable: the other end closed.  invalid_argument: its bytes are not a
// hub's.
Result<ProbeAnswer> probe_hub(base::Fd socket, const std::string& nonce, base::Instant deadline);

}  // namespace phub::exchange
