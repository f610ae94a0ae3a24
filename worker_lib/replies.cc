#include "worker_lib/replies.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>

namespace phub::client {
namespace {

const exchange::StateReply& state_of(const Request& request, uint32_t hub) {
  return std::get<exchange::StateReply>(*request.replies[hub]);
}

}  // namespace

bool Request::is_complete() const {
  return std::all_of(replies.begin(), replies.end(),
                     [](const auto& reply) { return reply.has_value(); });
}

std::string join_late(const Request& request) {
  std::string text;
  std::set<std::string_view> told;
  for (const std::optional<exchange::Body>& reply : request.replies) {
    const auto* const report =
        reply.has_value() ? std::get_if<exchange::LateReport>(&*reply) : nullptr;
    if (report == nullptr || report->text.empty()) continue;
    if (!told.insert(report->text).second) continue;
    text += (text.empty() ? "" : "; ") + report->text;
  }
  return text;
}

exchange::StateReply join_state(const Request& request, const exchange::ChunkMap& map,
                                const exchange::HubShape& hubs) {
  const auto& query = std::get<exchange::StateQuery>(request.asked);
  exchange::StateReply joined = state_of(request, 0);
  for (uint32_t hub = 0; hub < request.replies.size(); ++hub) {
    const exchange::StateReply& reply = state_of(request, hub);
    // Short of bytes, a hub has not answered what was asked: the caller sees that by the length.
    if (reply.code != 0 || reply.blob.size() != joined.blob.size()) return reply;
    joined.step_count = std::max(joined.step_count, reply.step_count);
  }
  if (joined.blob.size() != query.count * sizeof(float)) return joined;
  const auto [begin, end] = map.chunks_of_tensor(query.tensor);
  for (uint32_t number = begin; number < end; ++number) {
    const exchange::Chunk& chunk = map.chunks()[number];
    const uint64_t from = std::max(query.first_element, chunk.first_element);
    const uint64_t to =
        std::min(query.first_element + query.count, chunk.first_element + chunk.element_count);
    if (from >= to) continue;
    const std::string& held = state_of(request, hubs.shards[chunk.shard].hub).blob;
    const size_t offset = (from - query.first_element) * sizeof(float);
    std::memcpy(joined.blob.data() + offset, held.data() + offset, (to - from) * sizeof(float));
  }
  return joined;
}

}  // namespace phub::client
