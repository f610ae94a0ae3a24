// The session: what hub and worker say to each other outside the data path. One message a frame.
//
//   worker                                   hub
//   hello{job, rank, ...}            ->
//                                    <-      challenge{nonce}            or error, then close
//   proof{hmac}                      ->
//                                    <-      welcome{shape, ...}         create + connect service
//   tensors{table, digest}           ->                                  init service, every epoch
//                                    <-      offer{epoch, links}         when all ranks have sent
//                                    theirs
//   answer{epoch, links}             ->
//                                    <-      start{epoch}                when all ranks have
//                                    answered
//   probe{nonce}                     ->                                  instead of hello; then
//                                    <-      probed{hub, listen, ...}    close: choose_address.h
//   barrier, settings, late, state, leave, heartbeat: at any time, each with its reply.
//
// A job over several hubs is a session with each of them. Hubs know nothing of each other: the
// workers, who have every hub's welcome, name the joined shape in `tensors`, and tell the others
// with `abort` when they lose one.
//
// Bodies are JSON; bulk bytes (fabric bootstraps, tensor state) travel as blobs beside it. The
// codec (session_codec.h) checks every length and type; nothing here has been trusted yet.
// Liveness: either side sends a heartbeat when it was silent for peer_timeout / 4; silence for
// peer_timeout is death. A closed connection is death at once.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/fd.h"
#include "exchange/map.h"

namespace phub::exchange {

constexpr uint16_t kProtocolVersion = 1;
constexpr uint8_t kStepCount = 3;

// Worker to hub.
struct Hello {
  JobSpec job;  // The secret stays empty on the wire.
  uint32_t rank = 0;
  int64_t process = 0;  // For messages: "rank 2 (process 4711 on node7)".
  std::string host;
  std::string fabric;  // The fabric this rank will use: "shm".
  std::string nonce;   // 32 bytes, hex: the worker's half of the challenge.
};
struct Proof {
  std::string hmac;  // Hex HMAC-SHA256 over both nonces, job, rank (see session_auth.h).
  std::string key;   // Only for a job that the hub does not know yet: derive_key of its secret.
};
struct Tensors {
  uint32_t epoch = 0;  // The epoch this starts: the last one + 1.
  std::vector<TensorSpec> table;
  uint64_t digest = 0;  // Of the ChunkMap that this rank computed.
  // Of a job over several hubs: which of them is spoken to, and all of them. No shards: it is the
  // only one.
  uint32_t hub = 0;
  HubShape hubs;
};
struct Answer {
  uint32_t epoch = 0;
  std::vector<std::string> links;   // One blob per shard; descriptors beside it, in order.
  std::vector<uint32_t> fd_counts;  // Descriptors per link.
};
struct Barrier {
  uint64_t id = 0;  // Reply: the same, when all ranks have sent it.
};
struct Settings {
  uint64_t id = 0;  // Reply: SettingsDone.
  StepSettings values;
  std::vector<uint32_t> first_rounds;  // Per tensor: the first round these hold for.
};
struct LateQuery {
  uint64_t id = 0;
};
struct StateQuery {
  uint64_t id = 0;
  uint32_t tensor = 0;
  uint8_t kind = 0;    // A phub::StateKind, or kStepCount.
  bool write = false;  // Then the blob holds `count` floats.
  uint64_t first_element = 0;
  uint64_t count = 0;
  uint64_t step_count = 0;  // kind kStepCount: the optimizer's step counter.
  std::string blob;
};
struct Leave {};
struct Abort {  // This rank gives the job up, and why: the other ranks are told.
  std::string message;
};
struct Probe {  // Asks who is there; needs no secret. The hub answers one, and closes.
  std::string nonce;
};
struct Heartbeat {};  // Both ways.

// Hub to worker.
struct Challenge {
  std::string nonce;
  bool is_new_job = false;  // The hub does not know this job: send the key that shall guard it.
  std::string hub;          // "phubd 0.1.0 on node7": for whoever only asks who is there.
};
struct Welcome {
  std::string hub;  // "phubd 0.1.0 on node7"
  HubShape shape;
  uint64_t peer_timeout_ms = 5000;
};
struct Offer {
  uint32_t epoch = 0;
  uint64_t digest = 0;
  std::vector<std::string> links;
  std::vector<uint32_t> fd_counts;
};
struct Start {
  uint32_t epoch = 0;
};
struct BarrierDone {
  uint64_t id = 0;
};
struct SettingsDone {
  uint64_t id = 0;
};
struct LateReport {
  uint64_t id = 0;
  std::string text;  // "tensor 5 "fc1.weight" round 17: rank 2 (process 4711 on node7) is missing
                     // since 3.2 s"
};
struct StateReply {
  uint64_t id = 0;
  uint8_t code = 0;  // A phub::Code.
  std::string message;
  uint64_t step_count = 0;
  std::string blob;
};
struct Left {};
struct Probed {
  std::string hub;                  // "phubd 0.1.0 on node7"
  uint16_t protocol = 0;            // Its kProtocolVersion.
  std::string instance;             // 32 bytes, hex: this process of the hub and no other.
  std::string host_proof;           // prove_host of the nonce; empty: the kernel does not say.
  std::vector<std::string> listen;  // "shm:///tmp/phub.sock", "tcp://0.0.0.0:7077"; at most 16.
};
struct Failure {  // The epoch (aborted) or the connection (anything else) is over.
  uint8_t code = 0;
  std::string message;
};

using Body = std::variant<Hello, Proof, Tensors, Answer, Barrier, Settings, LateQuery, StateQuery,
                          Leave, Abort, Heartbeat, Challenge, Welcome, Offer, Start, BarrierDone,
                          SettingsDone, LateReport, StateReply, Left, Failure, Probe, Probed>;

struct Message {
  Body body;
  std::vector<base::Fd> fds;
};

}  // namespace phub::exchange
