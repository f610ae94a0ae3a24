#include "exchange/session_codec.h"

#include <array>
#include <cstring>
#include <new>
#include <numeric>

#include "base/check.h"
#include "base/try.h"
#include "exchange/codec_bodies.h"

namespace phub::exchange {
namespace {

constexpr std::string_view kMagic = "PHUB";

// The types in the order of Body's alternatives.
constexpr std::array kTypes = {
    MessageType::hello,        MessageType::proof,         MessageType::tensors,
    MessageType::answer,       MessageType::barrier,       MessageType::settings,
    MessageType::late_query,   MessageType::state_query,   MessageType::leave,
    MessageType::abort,        MessageType::heartbeat,     MessageType::challenge,
    MessageType::welcome,      MessageType::offer,         MessageType::start,
    MessageType::barrier_done, MessageType::settings_done, MessageType::late_report,
    MessageType::state_reply,  MessageType::left,          MessageType::failure,
    MessageType::probe,        MessageType::probed,
};
static_assert(kTypes.size() == std::variant_size_v<Body>);

constexpr std::array<std::string_view, kTypes.size()> kNames = {
    "hello",       "proof",       "tensors", "answer",       "barrier",       "settings",
    "late_query",  "state_query", "leave",   "abort",        "heartbeat",     "challenge",
    "welcome",     "offer",       "start",   "barrier_done", "settings_done", "late_report",
    "state_reply", "left",        "failure", "probe",        "probed",
};

// Index into kTypes; its size if there is no such type.
size_t find_type(uint16_t type) {
  size_t index = 0;
  while (index < kTypes.size() && static_cast<uint16_t>(kTypes[index]) != type) ++index;
  return index;
}

bool may_carry_fds(uint16_t type) {
  return type == static_cast<uint16_t>(MessageType::offer) ||
         type == static_cast<uint16_t>(MessageType::answer);
}

void append(std::string* out, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

uint32_t extract(std::span<const std::byte> bytes, size_t offset, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    value |= std::to_integer<uint32_t>(bytes[offset + i]) << (8 * i);
  }
  return value;
}

Status broken(const std::string& what) { return Status(Code::invalid_argument, what); }

template <size_t index>
Body read_alternative(BodyReader& in) {
  std::variant_alternative_t<index, Body> message;
  read_body(in, message);
  return message;
}

using ReadBody = Body (*)(BodyReader&);
template <size_t... index>
constexpr std::array<ReadBody, sizeof...(index)> make_readers(std::index_sequence<index...>) {
  return {&read_alternative<index>...};
}
constexpr auto kReaders = make_readers(std::make_index_sequence<kTypes.size()>());

Result<Body> decode_body(const FrameHeader& header, std::string_view json, std::string_view blob) {
  PHUB_TRY_ASSIGN(JsonDocument document, JsonDocument::parse(json));
  BodyReader reader{document.root(), blob, header.fd_count};
  Body body = kReaders[find_type(header.type)](reader);
  PHUB_TRY(document.status());
  return body;
}

}  // namespace

size_t fd_count(const Body& body) {
  const std::vector<uint32_t>* counts = nullptr;
  if (const auto* offer = std::get_if<Offer>(&body)) counts = &offer->fd_counts;
  if (const auto* answer = std::get_if<Answer>(&body)) counts = &answer->fd_counts;
  return counts == nullptr ? 0 : std::accumulate(counts->begin(), counts->end(), size_t{0});
}

std::string encode(const Body& body) {
  BodyWriter out;
  std::visit([&out](const auto& message) { write_body(message, out); }, body);
  const std::string json = std::move(out.json).finish();

  std::string frame(kMagic);
  frame.reserve(kFrameHeaderBytes + json.size() + out.blob.size());
  append(&frame, kProtocolVersion, 2);
  append(&frame, static_cast<uint32_t>(kTypes[body.index()]), 2);
  append(&frame, static_cast<uint32_t>(json.size()), 4);
  append(&frame, static_cast<uint32_t>(out.blob.size()), 4);
  append(&frame, static_cast<uint32_t>(fd_count(body)), 4);
  return frame + json + out.blob;
}

Result<FrameHeader> read_frame_header(std::span<const std::byte> header, uint32_t limit) {
  PHUB_CHECK(header.size() == kFrameHeaderBytes);
  if (std::memcmp(header.data(), kMagic.data(), kMagic.size()) != 0) {
    return broken("the frame does not start with \"PHUB\": the peer speaks another protocol");
  }
  const uint32_t version = extract(header, 4, 2);
  if (version != kProtocolVersion) {
    return broken("the peer speaks protocol version " + std::to_string(version) +
                  ", this side version " + std::to_string(kProtocolVersion) +
                  "; install the same release of PHub on both");
  }
  const FrameHeader frame{.type = static_cast<uint16_t>(extract(header, 6, 2)),
                          .json_bytes = extract(header, 8, 4),
                          .blob_bytes = extract(header, 12, 4),
                          .fd_count = extract(header, 16, 4)};
  const size_t type = find_type(frame.type);
  if (type == kTypes.size()) {
    return broken("message type " + std::to_string(frame.type) + " is unknown");
  }
  if (frame.frame_bytes() > limit || frame.json_bytes > kFrameJsonBytesMax) {
    return broken("a " + std::string(kNames[type]) + " frame of " +
                  std::to_string(frame.frame_bytes()) + " bytes (" +
                  std::to_string(frame.json_bytes) + " of JSON): over the limit of " +
                  std::to_string(limit) + " (" + std::to_string(kFrameJsonBytesMax) + ")");
  }
  const bool may_carry = may_carry_fds(frame.type) && limit > kFrameBytesBeforeAuth;
  if (frame.fd_count > (may_carry ? kFrameFdsMax : 0)) {
    return broken(
        "a " + std::string(kNames[type]) + " frame with " + std::to_string(frame.fd_count) +
        " descriptors: " + (may_carry ? "at most " + std::to_string(kFrameFdsMax) : "none") +
        " are allowed here");
  }
  return frame;
}

Result<size_t> frame_size(std::span<const std::byte> header, uint32_t limit) {
  PHUB_TRY_ASSIGN(const FrameHeader frame, read_frame_header(header, limit));
  return frame.frame_bytes();
}

Result<Body> decode(std::span<const std::byte> frame) {
  if (frame.size() < kFrameHeaderBytes) {
    return broken("the frame has " + std::to_string(frame.size()) + " bytes, its header alone " +
                  std::to_string(kFrameHeaderBytes));
  }
  PHUB_TRY_ASSIGN(const FrameHeader header,
                  read_frame_header(frame.first(kFrameHeaderBytes), kFrameBytesMax));
  if (header.frame_bytes() != frame.size()) {
    return broken("the frame has " + std::to_string(frame.size()) + " bytes, its header says " +
                  std::to_string(header.frame_bytes()));
  }
  const std::string_view text(reinterpret_cast<const char*>(frame.data()), frame.size());
  const std::string_view json = text.substr(kFrameHeaderBytes, header.json_bytes);
  const std::string_view blob = text.substr(kFrameHeaderBytes + header.json_bytes);
  try {
    Result<Body> body = decode_body(header, json, blob);
    if (body.ok()) return body;
    return body.status().with_context("message " + std::string(kNames[find_type(header.type)]));
  } catch (const std::bad_alloc&) {
    return Status(Code::resource_exhausted, "out of memory while decoding a frame of " +
                                                std::to_string(frame.size()) + " bytes");
  }
}

}  // namespace phub::exchange
