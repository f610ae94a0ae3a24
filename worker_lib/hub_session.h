// One hub of the job as its client sees it: the session with it, and how far the talk has come.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "exchange/map.h"
#include "exchange/session_channel.h"

namespace phub::client {

struct HubSession {
  std::string address;  // As the trainer wrote it: how messages name the hub.
  std::unique_ptr<exchange::SessionChannel> channel;
  uint32_t fabric = 0;  // Of the client's fabrics: the one that reaches the hub's shards.

  std::string nonce = {};
  std::string name = {};          // "phubd 0.1.0 on node7".
  exchange::HubShape shape = {};  // No shards before its welcome.
  bool has_offered = false;       // Of the epoch that is being agreed on:
  bool has_started = false;
  bool has_left = false;  // It let this rank go; its session is over.

  bool is_welcome() const { return !shape.shards.empty(); }
};

}  // namespace phub::client
