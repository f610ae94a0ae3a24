// The sessions with a job's hubs and the fabrics that lead to them, from the addresses that the
// trainer gave.
#pragma once

#include <phub/status.h>
#include <phub/worker.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "transport/fabric.h"
#include "worker_lib/hub_session.h"

namespace phub::client {

struct OpenedHubs {
  std::vector<HubSession> hubs;  // In the order of the list.
  std::vector<std::unique_ptr<transport::Fabric>> fabrics;
  std::string text;  // Their addresses, with the reason where one was chosen.
};

// The entries of a list with commas between. invalid_argument: one is no address of a hub
// (choose_address.h), or there are too many. Connects to nothing.
Result<std::vector<std::string>> split_hubs(std::string_view list);

// Connects to every hub of the list options.hub, by options.join_timeout at the latest.
// invalid_argument: a malformed address, one that is listed twice, or a wrong network option.
// unavailable, timed_out, permission_denied: names the hub that cannot be reached, and why.
Result<OpenedHubs> open_hubs(const WorkerOptions& options);

}  // namespace phub::client
