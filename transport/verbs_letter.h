// What the ends of a verbs link say to each other outside their queue pairs: short datagrams over
// an unreliable queue pair of each rail, repeated until answered.
//
// They bring a link up, mend its queue pairs after an error, and say goodbye. The cookie of the
// link, 64 random bits that only its two ends know, is in each; letters without it are dropped.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>

#include "transport/verbs_bootstrap.h"

namespace phub::transport {

struct VerbsLetter {
  enum class Kind : uint8_t { repair = 1, goodbye = 2 };
  // How far the sender is with this incarnation of the queue pair.
  enum class Phase : uint8_t {
    waiting = 0,  // Its queue pair is made, but does not know ours yet.
    joined = 1,   // Its queue pair knows ours.
    up = 2,       // And it knows that ours knows it.
  };
  static constexpr size_t kBytes = 76;

  Kind kind = Kind::repair;
  bool is_from_acceptor = false;
  uint8_t path = 0;  // The rail of the link that this letter took.
  Phase phase = Phase::waiting;
  uint16_t queue = 0;  // Which of the link's queue pairs.
  uint64_t cookie = 0;
  uint32_t incarnation = 0;  // Of that queue pair. All before have been stopped.
  uint32_t arrived = 0;      // Puts that arrived by all those before, modulo 2^32.
  VerbsEndpoint endpoint;    // Of this incarnation.
  VerbsAddress address;      // Its port, which may have changed.
};

std::array<std::byte, VerbsLetter::kBytes> encode(const VerbsLetter& letter);
// Nothing: malformed.
std::optional<VerbsLetter> decode_letter(std::span<const std::byte> bytes);

}  // namespace phub::transport
