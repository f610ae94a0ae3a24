// What a device says of its own accord: about its ports, queue pairs and itself.
#pragma once

#include <infiniband/verbs.h>

#include <cstdint>

namespace phub::transport {

struct VerbsEvent {
  enum class Kind : uint8_t { other, port_down, port_change, offence, queue_pair_lost, fatal };
  Kind kind = Kind::other;
  const char* what = "";    // offence, fatal: a phrase.
  uint32_t queue_pair = 0;  // offence, queue_pair_lost
};

// Events of other ports than `port` are of no interest. REQUIRES: not yet acknowledged.
VerbsEvent meaning_of(const ibv_async_event& event, uint8_t port);

}  // namespace phub::transport
