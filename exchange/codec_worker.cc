// What workers say to the hub.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "exchange/codec_bodies.h"
#include "exchange/session_codec.h"

namespace phub::exchange {
namespace {

constexpr size_t kHexBytes = 64;  // A nonce or a digest: 32 bytes.
constexpr uint32_t kU32Max = std::numeric_limits<uint32_t>::max();
constexpr uint64_t kU64Max = std::numeric_limits<uint64_t>::max();

// Reads an enumeration by name: the last one given is the largest.
template <typename Enum>
Enum read_name(JsonObject& in, const char* name, Enum last) {
  const std::string text = in.text(name, TextRule::token, 32);
  for (int value = 0; value <= static_cast<int>(last); ++value) {
    if (to_string(static_cast<Enum>(value)) == text) return static_cast<Enum>(value);
  }
  in.fail(name, "\"" + text + "\" is not known here");
  return Enum{};
}

void write_optimizer(const OptimizerOptions& options, JsonWriter& out) {
  out.begin_object("optimizer");
  out.text("kind", to_string(options.kind));
  out.real("learning_rate", options.learning_rate);
  out.real("momentum", options.momentum);
  out.real("dampening", options.dampening);
  out.real("weight_decay", options.weight_decay);
  out.real("beta1", options.beta1);
  out.real("beta2", options.beta2);
  out.real("epsilon", options.epsilon);
  out.real("clip_global_norm", options.clip_global_norm);
  out.end_object();
}

OptimizerOptions read_optimizer(JsonObject& in) {
  OptimizerOptions options;
  options.kind = read_name(in, "kind", OptimizerKind::adamw);
  options.learning_rate = in.real("learning_rate");
  options.momentum = in.real("momentum");
  options.dampening = in.real("dampening");
  options.weight_decay = in.real("weight_decay");
  options.beta1 = in.real("beta1");
  options.beta2 = in.real("beta2");
  options.epsilon = in.real("epsilon");
  options.clip_global_norm = in.real("clip_global_norm");
  return options;
}

TensorSpec read_tensor(JsonObject& in) {
  TensorSpec tensor;
  tensor.name = in.text("name", TextRule::line, 200);
  tensor.type = read_name(in, "type", DataType::int64);
  tensor.count = in.number("count", 1, kU64Max);
  tensor.op = read_name(in, "op", ReduceOp::product);
  tensor.priority = static_cast<int32_t>(in.integer("priority", std::numeric_limits<int32_t>::min(),
                                                    std::numeric_limits<int32_t>::max()));
  // Left out when it is the default: tables are long, and most tensors have none.
  if (in.has("optimizer")) {
    in.object("optimizer", [&tensor](JsonObject& o) { tensor.optimizer = read_optimizer(o); });
  }
  return tensor;
}

}  // namespace

void write_body(const Hello& message, BodyWriter& out) {
  out.json.text("job", message.job.name);
  out.json.number("rank_count", message.job.rank_count);
  out.json.number("chunk_elements", message.job.chunk_elements);
  out.json.number("rank", message.rank);
  out.json.integer("process", message.process);
  out.json.text("host", message.host);
  out.json.text("fabric", message.fabric);
  out.json.text("nonce", message.nonce);
}

void read_body(BodyReader& in, Hello& message) {
  message.job.name = in.json.text("job", TextRule::token, 64);
  message.job.rank_count = static_cast<uint32_t>(in.json.number("rank_count", 1, kRankCountMax));
  message.job.chunk_elements =
      static_cast<uint32_t>(in.json.number("chunk_elements", 64, 4'194'304));
  if (message.job.chunk_elements % 64 != 0) {
    in.json.fail("chunk_elements",
                 std::to_string(message.job.chunk_elements) + " is not a multiple of 64");
  }
  message.rank = static_cast<uint32_t>(in.json.number("rank", 0, kRankCountMax - 1));
  if (message.rank >= message.job.rank_count) {
    in.json.fail("rank", std::to_string(message.rank) + " does not exist in a job of " +
                             std::to_string(message.job.rank_count) + " ranks");
  }
  message.process = in.json.integer("process", 0, std::numeric_limits<int64_t>::max());
  message.host = in.json.text("host", TextRule::line, 255);
  message.fabric = in.json.text("fabric", TextRule::token, 32);
  message.nonce = in.json.text("nonce", TextRule::hex, kHexBytes);
  in.refuse_blob();
}

void write_body(const Proof& message, BodyWriter& out) {
  out.json.text("hmac", message.hmac);
  if (!message.key.empty()) out.json.text("key", message.key);
}

void read_body(BodyReader& in, Proof& message) {
  message.hmac = in.json.text("hmac", TextRule::hex, kHexBytes);
  if (in.json.has("key")) message.key = in.json.text("key", TextRule::hex, kHexBytes);
  in.refuse_blob();
}

void write_body(const Tensors& message, BodyWriter& out) {
  out.json.number("epoch", message.epoch);
  out.json.number("digest", message.digest);
  if (!message.hubs.shards.empty()) {
    out.json.number("hub", message.hub);
    write_shape(message.hubs, out);
  }
  out.json.begin_array("table");
  for (const TensorSpec& tensor : message.table) {
    out.json.begin_item();
    out.json.text("name", tensor.name);
    out.json.text("type", to_string(tensor.type));
    out.json.number("count", tensor.count);
    out.json.text("op", to_string(tensor.op));
    out.json.integer("priority", tensor.priority);
    if (tensor.optimizer != OptimizerOptions{}) write_optimizer(tensor.optimizer, out.json);
    out.json.end_object();
  }
  out.json.end_array();
}

void read_body(BodyReader& in, Tensors& message) {
  message.epoch = static_cast<uint32_t>(in.json.number("epoch", 1, kU32Max));
  message.digest = in.json.number("digest", 0, kU64Max);
  if (in.json.has("hub") || in.json.has("shards")) {
    read_shape(in, kJoinedShardCountMax, message.hubs);
    const uint32_t hubs = std::max(1u, hub_count(message.hubs));
    message.hub = static_cast<uint32_t>(in.json.number("hub", 0, hubs - 1));
  }
  in.json.each("table", kTensorCountMax,
               [&message](JsonObject& item) { message.table.push_back(read_tensor(item)); });
  in.refuse_blob();
}

void write_body(const Answer& message, BodyWriter& out) {
  out.json.number("epoch", message.epoch);
  write_links(message.links, message.fd_counts, out);
}

void read_body(BodyReader& in, Answer& message) {
  message.epoch = static_cast<uint32_t>(in.json.number("epoch", 1, kU32Max));
  read_links(in, message.links, message.fd_counts);
}

void write_body(const Barrier& message, BodyWriter& out) { out.json.number("id", message.id); }

void read_body(BodyReader& in, Barrier& message) {
  message.id = in.json.number("id", 0, kU64Max);
  in.refuse_blob();
}

void write_body(const Settings& message, BodyWriter& out) {
  out.json.number("id", message.id);
  out.json.real("learning_rate", message.values.learning_rate);
  out.json.real("gradient_scale", message.values.gradient_scale);
  out.json.boolean("skip", message.values.skip);
  out.json.numbers("first_rounds", message.first_rounds);
}

void read_body(BodyReader& in, Settings& message) {
  message.id = in.json.number("id", 0, kU64Max);
  message.values.learning_rate = in.json.real("learning_rate");
  message.values.gradient_scale = in.json.real("gradient_scale");
  message.values.skip = in.json.boolean("skip");
  message.first_rounds = in.json.numbers("first_rounds", kTensorCountMax, kU32Max);
  in.refuse_blob();
}

void write_body(const LateQuery& message, BodyWriter& out) { out.json.number("id", message.id); }

void read_body(BodyReader& in, LateQuery& message) {
  message.id = in.json.number("id", 0, kU64Max);
  in.refuse_blob();
}

void write_body(const StateQuery& message, BodyWriter& out) {
  out.json.number("id", message.id);
  out.json.number("tensor", message.tensor);
  out.json.number("kind", message.kind);
  out.json.boolean("write", message.write);
  out.json.number("first_element", message.first_element);
  out.json.number("count", message.count);
  out.json.number("step_count", message.step_count);
  out.blob = message.blob;
}

void read_body(BodyReader& in, StateQuery& message) {
  message.id = in.json.number("id", 0, kU64Max);
  message.tensor = static_cast<uint32_t>(in.json.number("tensor", 0, kTensorCountMax - 1));
  message.kind = static_cast<uint8_t>(in.json.number("kind", 0, kStepCount));
  message.write = in.json.boolean("write");
  message.first_element = in.json.number("first_element", 0, kU64Max);
  message.count = in.json.number("count", 0, kStateFloatsMax);
  message.step_count = in.json.number("step_count", 0, kU64Max);
  if (message.first_element > kU64Max - message.count) {
    in.json.fail("first_element", "the range ends beyond 2^64");
  }
  const bool has_floats = message.write && message.kind != kStepCount;
  const uint64_t blob_bytes = has_floats ? message.count * sizeof(float) : 0;
  if (in.blob.size() != blob_bytes) {
    in.json.fail("blob", "has " + std::to_string(in.blob.size()) + " bytes, want " +
                             std::to_string(blob_bytes));
  }
  message.blob = in.blob;
}

void write_body(const Leave&, BodyWriter&) {}
void read_body(BodyReader& in, Leave&) { in.refuse_blob(); }

void write_body(const Abort& message, BodyWriter& out) {
  out.json.text("message", message.message);
}
void read_body(BodyReader& in, Abort& message) {
  message.message = in.json.text("message", TextRule::any, kReportBytesMax);
  in.refuse_blob();
}

void write_body(const Heartbeat&, BodyWriter&) {}
void read_body(BodyReader& in, Heartbeat&) { in.refuse_blob(); }

}  // namespace phub::exchange
