// Who is there: the question of a worker that has not chosen its address yet, and the answer.
#include <limits>

#include "exchange/codec_bodies.h"

namespace phub::exchange {
namespace {

constexpr size_t kHexBytes = 64;
constexpr size_t kListenCountMax = 16;  // So that an answer fits into a frame before the proof.
constexpr size_t kListenBytesMax = 300;
constexpr uint64_t kProtocolMax = std::numeric_limits<uint16_t>::max();

}  // namespace

void write_body(const Probe& message, BodyWriter& out) { out.json.text("nonce", message.nonce); }

void read_body(BodyReader& in, Probe& message) {
  message.nonce = in.json.text("nonce", TextRule::hex, kHexBytes);
  in.refuse_blob();
}

void write_body(const Probed& message, BodyWriter& out) {
  out.json.text("hub", message.hub);
  out.json.number("protocol", message.protocol);
  out.json.text("instance", message.instance);
  if (!message.host_proof.empty()) out.json.text("host_proof", message.host_proof);
  out.json.begin_array("listen");
  for (size_t i = 0; i < message.listen.size() && i < kListenCountMax; ++i) {
    out.json.begin_item();
    out.json.text("address", message.listen[i]);
    out.json.end_object();
  }
  out.json.end_array();
}

void read_body(BodyReader& in, Probed& message) {
  message.hub = in.json.text("hub", TextRule::line, 255);
  message.protocol = static_cast<uint16_t>(in.json.number("protocol", 1, kProtocolMax));
  message.instance = in.json.text("instance", TextRule::hex, kHexBytes);
  if (in.json.has("host_proof")) {
    message.host_proof = in.json.text("host_proof", TextRule::hex, kHexBytes);
  }
  in.json.each("listen", kListenCountMax, [&message](JsonObject& item) {
    message.listen.push_back(item.text("address", TextRule::line, kListenBytesMax));
  });
  in.refuse_blob();
}

}  // namespace phub::exchange
