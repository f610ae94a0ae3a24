// Goal: no bytes on a session's socket crash the decoder, and what it accepts means one thing only.
// Method: the input as a raw frame; and as a body that gets a correct header, so that mutations
// reach the JSON. What decodes must encode to a frame that decodes to the same.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "exchange/session_codec.h"

namespace {

using namespace phub::exchange;

void check(std::string_view frame) {
  const auto body = decode(std::as_bytes(std::span(frame)));
  if (!body.ok()) {
    PHUB_CHECK(!body.status().message().empty());
    return;
  }
  const std::string encoded = encode(*body);
  const auto again = decode(std::as_bytes(std::span(encoded)));
  PHUB_CHECK(again.ok());
  PHUB_CHECK(again->index() == body->index());
  PHUB_CHECK(encode(*again) == encoded);
}

void append(std::string* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

// Text as in the corpus: a letter for the type ('a' is 1, 'A' is 65), a digit for the number of
// descriptors, JSON up to the first line feed, then the blob.
std::string make_frame(std::string_view text) {
  const auto letter = static_cast<unsigned char>(text[0]);
  const std::string_view json = text.substr(2, text.find('\n') - 2);
  const std::string_view blob = text.substr(std::min(text.size(), 2 + json.size() + 1));
  std::string frame = "PHUB";
  append(&frame, kProtocolVersion, 2);
  append(&frame, letter >= 'a' ? letter - 'a' + 1u : letter, 2);
  append(&frame, json.size(), 4);
  append(&frame, blob.size(), 4);
  append(&frame, static_cast<unsigned char>(text[1]) - '0', 4);
  return (frame += json) += blob;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  if (size >= 2 && text[1] != '\n') check(make_frame(text));
  return 0;
}
