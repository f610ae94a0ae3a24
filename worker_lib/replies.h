// What several hubs answer to one request of a worker, made into one answer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "exchange/map.h"
#include "exchange/session.h"

namespace phub::client {

struct Request {
  exchange::Body asked;
  std::vector<std::optional<exchange::Body>> replies;  // By hub.

  bool is_complete() const;
};

// The texts of those that have answered with one, each hub's after the other, equal ones once.
std::string join_late(const Request& request);

// Of a StateQuery that all hubs have answered: each element from the hub that owns its chunk, the
// largest step count (only the owner of the tensor's first chunk says one); an error if any has
// one. REQUIRES: is_complete(); replies are StateReply.
exchange::StateReply join_state(const Request& request, const exchange::ChunkMap& map,
                                const exchange::HubShape& hubs);

}  // namespace phub::client
