// The body of each session message: its type number, its JSON fields and its blob.
//
// codec_worker.cc has what workers say, codec_hub.cc what the hub says, codec_probe.cc what both
// say about addresses; session_codec.cc puts frames around them.
#pragma once

#include <string>
#include <string_view>

#include "exchange/json_fields.h"
#include "exchange/session.h"

namespace phub::exchange {

// On the wire: numbers are never reused.
enum class MessageType : uint16_t {
  hello = 1,
  proof = 2,
  tensors = 3,
  answer = 4,
  barrier = 5,
  settings = 6,
  late_query = 7,
  state_query = 8,
  leave = 9,
  heartbeat = 10,
  abort = 11,
  probe = 16,
  challenge = 65,
  welcome = 66,
  offer = 67,
  start = 68,
  barrier_done = 69,
  settings_done = 70,
  late_report = 71,
  state_reply = 72,
  left = 73,
  failure = 74,
  probed = 80,
};

// Writes go to a body under construction.
struct BodyWriter {
  JsonWriter json;
  std::string blob;
};
// What has come, all of it untrusted. Errors are left in `json`. read_body that does not look at
// `blob` must call refuse_blob.
struct BodyReader {
  JsonObject json;
  std::string_view blob;
  uint32_t fd_count = 0;

  void refuse_blob() {
    if (!blob.empty()) json.fail("blob", "this message has none");
  }
};

void write_body(const Hello& message, BodyWriter& out);
void write_body(const Proof& message, BodyWriter& out);
void write_body(const Tensors& message, BodyWriter& out);
void write_body(const Answer& message, BodyWriter& out);
void write_body(const Barrier& message, BodyWriter& out);
void write_body(const Settings& message, BodyWriter& out);
void write_body(const LateQuery& message, BodyWriter& out);
void write_body(const StateQuery& message, BodyWriter& out);
void write_body(const Leave& message, BodyWriter& out);
void write_body(const Abort& message, BodyWriter& out);
void write_body(const Heartbeat& message, BodyWriter& out);
void write_body(const Challenge& message, BodyWriter& out);
void write_body(const Welcome& message, BodyWriter& out);
void write_body(const Offer& message, BodyWriter& out);
void write_body(const Start& message, BodyWriter& out);
void write_body(const BarrierDone& message, BodyWriter& out);
void write_body(const SettingsDone& message, BodyWriter& out);
void write_body(const LateReport& message, BodyWriter& out);
void write_body(const StateReply& message, BodyWriter& out);
void write_body(const Left& message, BodyWriter& out);
void write_body(const Failure& message, BodyWriter& out);
void write_body(const Probe& message, BodyWriter& out);
void write_body(const Probed& message, BodyWriter& out);

void read_body(BodyReader& in, Hello& message);
void read_body(BodyReader& in, Proof& message);
void read_body(BodyReader& in, Tensors& message);
void read_body(BodyReader& in, Answer& message);
void read_body(BodyReader& in, Barrier& message);
void read_body(BodyReader& in, Settings& message);
void read_body(BodyReader& in, LateQuery& message);
void read_body(BodyReader& in, StateQuery& message);
void read_body(BodyReader& in, Leave& message);
void read_body(BodyReader& in, Abort& message);
void read_body(BodyReader& in, Heartbeat& message);
void read_body(BodyReader& in, Challenge& message);
void read_body(BodyReader& in, Welcome& message);
void read_body(BodyReader& in, Offer& message);
void read_body(BodyReader& in, Start& message);
void read_body(BodyReader& in, BarrierDone& message);
void read_body(BodyReader& in, SettingsDone& message);
void read_body(BodyReader& in, LateReport& message);
void read_body(BodyReader& in, StateReply& message);
void read_body(BodyReader& in, Left& message);
void read_body(BodyReader& in, Failure& message);
void read_body(BodyReader& in, Probe& message);
void read_body(BodyReader& in, Probed& message);

// A shape, as fields of the message: shards and NICs, with their hub where it is not 0.
// shard_count_max: as many as the message may name.
void write_shape(const HubShape& shape, BodyWriter& out);
void read_shape(BodyReader& in, size_t shard_count_max, HubShape& shape);

// Fabric bootstraps, of an offer or an answer: lengths and descriptor counts in JSON, blobs joined.
void write_links(const std::vector<std::string>& links, const std::vector<uint32_t>& fd_counts,
                 BodyWriter& out);
void read_links(BodyReader& in, std::vector<std::string>& links, std::vector<uint32_t>& fd_counts);

}  // namespace phub::exchange
