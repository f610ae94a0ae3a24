// Shapes of hubs in messages: one hub's in its welcome, all of them in a worker's tensors.
#include <cstdint>

#include "exchange/codec_bodies.h"

namespace phub::exchange {
namespace {

constexpr uint32_t kNicCountMax = 256 * kHubCountMax;
constexpr uint32_t kNumaNodeMax = 1023;

uint32_t read_hub(JsonObject& item) {
  if (!item.has("hub")) return 0;
  return static_cast<uint32_t>(item.number("hub", 0, kHubCountMax - 1));
}

}  // namespace

void write_shape(const HubShape& shape, BodyWriter& out) {
  out.json.begin_array("shards");
  for (const ShardPlace& shard : shape.shards) {
    out.json.begin_item();
    out.json.number("numa_node", shard.numa_node);
    out.json.integer("core", shard.core);
    if (shard.hub != 0) out.json.number("hub", shard.hub);
    out.json.end_object();
  }
  out.json.end_array();
  out.json.begin_array("nics");
  for (const NicPlace& nic : shape.nics) {
    out.json.begin_item();
    out.json.text("name", nic.name);
    out.json.number("numa_node", nic.numa_node);
    if (nic.hub != 0) out.json.number("hub", nic.hub);
    out.json.end_object();
  }
  out.json.end_array();
}

void read_shape(BodyReader& in, size_t shard_count_max, HubShape& shape) {
  in.json.each("shards", shard_count_max, [&shape](JsonObject& item) {
    ShardPlace place;
    place.numa_node = static_cast<uint32_t>(item.number("numa_node", 0, kNumaNodeMax));
    place.core = static_cast<int>(item.integer("core", -1, 65'535));
    place.hub = read_hub(item);
    shape.shards.push_back(place);
  });
  in.json.each("nics", kNicCountMax, [&shape](JsonObject& item) {
    NicPlace place;
    place.name = item.text("name", TextRule::line, 64);
    place.numa_node = static_cast<uint32_t>(item.number("numa_node", 0, kNumaNodeMax));
    place.hub = read_hub(item);
    shape.nics.push_back(std::move(place));
  });
  if (shape.shards.empty()) in.json.fail("shards", "a hub has at least one");
  const Status ordered = check_shape(shape);
  if (!ordered.ok()) in.json.fail("shards", ordered.message());
}

}  // namespace phub::exchange
