// What the hub says to workers, and the links that both sides describe.
#include <cstdint>
#include <limits>
#include <numeric>

#include "exchange/codec_bodies.h"
#include "exchange/session_codec.h"

namespace phub::exchange {
namespace {

constexpr size_t kHexBytes = 64;
constexpr uint64_t kPeerTimeoutMsMax = 86'400'000;  // A day.
constexpr uint32_t kU32Max = std::numeric_limits<uint32_t>::max();
constexpr uint64_t kU64Max = std::numeric_limits<uint64_t>::max();

constexpr auto kLastCode = static_cast<uint64_t>(Code::internal);

}  // namespace

void write_links(const std::vector<std::string>& links, const std::vector<uint32_t>& fd_counts,
                 BodyWriter& out) {
  std::vector<uint32_t> link_bytes;
  for (const std::string& link : links) {
    link_bytes.push_back(static_cast<uint32_t>(link.size()));
    out.blob += link;
  }
  out.json.numbers("link_bytes", link_bytes);
  out.json.numbers("fd_counts", fd_counts);
}

void read_links(BodyReader& in, std::vector<std::string>& links, std::vector<uint32_t>& fd_counts) {
  const auto link_bytes = in.json.numbers("link_bytes", kShardCountMax, kFrameBytesMax);
  fd_counts = in.json.numbers("fd_counts", kShardCountMax, kFrameFdsMax);
  const auto bytes = std::accumulate(link_bytes.begin(), link_bytes.end(), uint64_t{0});
  const auto fds = std::accumulate(fd_counts.begin(), fd_counts.end(), uint64_t{0});
  if (fd_counts.size() != link_bytes.size()) {
    in.json.fail("fd_counts", "has " + std::to_string(fd_counts.size()) + " items for " +
                                  std::to_string(link_bytes.size()) + " links");
  }
  if (fds != in.fd_count) {
    in.json.fail("fd_counts", "sum up to " + std::to_string(fds) + ", but the header says " +
                                  std::to_string(in.fd_count) + " descriptors");
  }
  if (bytes != in.blob.size()) {
    in.json.fail("link_bytes", "sum up to " + std::to_string(bytes) + ", but the blob has " +
                                   std::to_string(in.blob.size()) + " bytes");
    return;
  }
  size_t begin = 0;
  for (const uint32_t size : link_bytes) {
    links.emplace_back(in.blob.substr(begin, size));
    begin += size;
  }
}

void write_body(const Challenge& message, BodyWriter& out) {
  out.json.text("nonce", message.nonce);
  out.json.boolean("is_new_job", message.is_new_job);
  out.json.text("hub", message.hub);
}

void read_body(BodyReader& in, Challenge& message) {
  message.nonce = in.json.text("nonce", TextRule::hex, kHexBytes);
  message.is_new_job = in.json.boolean("is_new_job");
  if (in.json.has("hub")) message.hub = in.json.text("hub", TextRule::line, 255);
  in.refuse_blob();
}

void write_body(const Welcome& message, BodyWriter& out) {
  out.json.text("hub", message.hub);
  out.json.number("peer_timeout_ms", message.peer_timeout_ms);
  write_shape(message.shape, out);
}

void read_body(BodyReader& in, Welcome& message) {
  message.hub = in.json.text("hub", TextRule::line, 255);
  message.peer_timeout_ms = in.json.number("peer_timeout_ms", 1, kPeerTimeoutMsMax);
  read_shape(in, kShardCountMax, message.shape);
  if (hub_count(message.shape) > 1) in.json.fail("shards", "a hub speaks for itself only");
  in.refuse_blob();
}

void write_body(const Offer& message, BodyWriter& out) {
  out.json.number("epoch", message.epoch);
  out.json.number("digest", message.digest);
  write_links(message.links, message.fd_counts, out);
}

void read_body(BodyReader& in, Offer& message) {
  message.epoch = static_cast<uint32_t>(in.json.number("epoch", 1, kU32Max));
  message.digest = in.json.number("digest", 0, kU64Max);
  read_links(in, message.links, message.fd_counts);
}

void write_body(const Start& message, BodyWriter& out) { out.json.number("epoch", message.epoch); }

void read_body(BodyReader& in, Start& message) {
  message.epoch = static_cast<uint32_t>(in.json.number("epoch", 1, kU32Max));
  in.refuse_blob();
}

void write_body(const BarrierDone& message, BodyWriter& out) { out.json.number("id", message.id); }

void read_body(BodyReader& in, BarrierDone& message) {
  message.id = in.json.number("id", 0, kU64Max);
  in.refuse_blob();
}

void write_body(const SettingsDone& message, BodyWriter& out) { out.json.number("id", message.id); }

void read_body(BodyReader& in, SettingsDone& message) {
  message.id = in.json.number("id", 0, kU64Max);
  in.refuse_blob();
}

void write_body(const LateReport& message, BodyWriter& out) {
  out.json.number("id", message.id);
  out.json.text("text", message.text);
}

void read_body(BodyReader& in, LateReport& message) {
  message.id = in.json.number("id", 0, kU64Max);
  message.text = in.json.text("text", TextRule::any, kReportBytesMax);
  in.refuse_blob();
}

void write_body(const StateReply& message, BodyWriter& out) {
  out.json.number("id", message.id);
  out.json.number("code", message.code);
  out.json.text("message", message.message);
  out.json.number("step_count", message.step_count);
  out.blob = message.blob;
}

void read_body(BodyReader& in, StateReply& message) {
  message.id = in.json.number("id", 0, kU64Max);
  message.code = static_cast<uint8_t>(in.json.number("code", 0, kLastCode));
  message.message = in.json.text("message", TextRule::any, kReportBytesMax);
  message.step_count = in.json.number("step_count", 0, kU64Max);
  if (in.blob.size() % sizeof(float) != 0 || in.blob.size() / sizeof(float) > kStateFloatsMax) {
    in.json.fail("blob", std::to_string(in.blob.size()) + " bytes are not at most " +
                             std::to_string(kStateFloatsMax) + " floats");
  }
  message.blob = in.blob;
}

void write_body(const Left&, BodyWriter&) {}
void read_body(BodyReader& in, Left&) { in.refuse_blob(); }

void write_body(const Failure& message, BodyWriter& out) {
  out.json.number("code", message.code);
  out.json.text("message", message.message);
}

void read_body(BodyReader& in, Failure& message) {
  message.code = static_cast<uint8_t>(in.json.number("code", 1, kLastCode));
  message.message = in.json.text("message", TextRule::any, kReportBytesMax);
  in.refuse_blob();
}

}  // namespace phub::exchange
