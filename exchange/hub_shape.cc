// The shapes of a job's hubs, one after the other as one (map.h).
#include <algorithm>
#include <utility>

#include "exchange/map.h"

namespace phub::exchange {
namespace {

template <typename Place>
void append(std::vector<Place>& places, std::span<const Place> more, uint32_t hub) {
  for (Place place : more) {
    place.hub = hub;
    places.push_back(std::move(place));
  }
}

template <typename Place>
std::vector<Place> only(std::span<const Place> places, uint32_t hub) {
  std::vector<Place> part;
  for (const Place& place : places) {
    if (place.hub != hub) continue;
    part.push_back(place);
    part.back().hub = 0;
  }
  return part;
}

}  // namespace

HubShape join_hubs(std::span<const HubShape> hubs) {
  HubShape joined;
  for (uint32_t hub = 0; hub < hubs.size(); ++hub) {
    append<ShardPlace>(joined.shards, hubs[hub].shards, hub);
    append<NicPlace>(joined.nics, hubs[hub].nics, hub);
  }
  return joined;
}

HubShape part_of(const HubShape& joined, uint32_t hub) {
  return {only<ShardPlace>(joined.shards, hub), only<NicPlace>(joined.nics, hub)};
}

ShardRange shards_of(const HubShape& joined, uint32_t hub) {
  ShardRange range;
  for (const ShardPlace& place : joined.shards) {
    if (place.hub < hub) ++range.first;
    if (place.hub == hub) ++range.count;
  }
  return range;
}

uint32_t hub_count(const HubShape& joined) {
  return joined.shards.empty() ? 0 : joined.shards.back().hub + 1;
}

Status check_shape(const HubShape& joined) {
  uint32_t next = 0;  // The number that a new hub must have.
  for (const ShardPlace& place : joined.shards) {
    if (place.hub + 1 == next) continue;
    if (place.hub != next || next == kHubCountMax) {
      return Status(Code::invalid_argument, "shards of hub " + std::to_string(place.hub) +
                                                " come where hub " + std::to_string(next) +
                                                " is due, of at most " +
                                                std::to_string(kHubCountMax));
    }
    ++next;
  }
  std::vector<uint32_t> nics(next, 0);  // Of each hub.
  for (const NicPlace& nic : joined.nics) {
    if (nic.hub < next && ++nics[nic.hub] > kRailsMax) {
      return Status(Code::invalid_argument, "hub " + std::to_string(nic.hub) + " has more than " +
                                                std::to_string(kRailsMax) + " NICs");
    }
    if (nic.hub < next) continue;
    return Status(Code::invalid_argument, "NIC " + nic.name + " belongs to hub " +
                                              std::to_string(nic.hub) + " of " +
                                              std::to_string(next));
  }
  return {};
}

}  // namespace phub::exchange
