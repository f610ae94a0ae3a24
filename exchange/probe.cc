#include "exchange/probe.h"

#include <poll.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/try.h"
#include "exchange/session_codec.h"
#include "exchange/session_stream.h"

namespace phub::exchange {
namespace {

// The hub's answer; nothing: there is none yet.
std::optional<ProbeAnswer> find_answer(std::vector<Message>& messages) {
  for (Message& message : messages) {
    if (auto* const probed = std::get_if<Probed>(&message.body)) {
      return ProbeAnswer{std::move(*probed), {}};
    }
    if (const auto* const failure = std::get_if<Failure>(&message.body)) {
      return ProbeAnswer{{}, Status(static_cast<Code>(failure->code), failure->message)};
    }
  }
  return std::nullopt;
}

}  // namespace

Result<ProbeAnswer> probe_hub(base::Fd socket, const std::string& nonce, base::Instant deadline) {
  SessionStream stream(std::move(socket), kFrameBytesBeforeAuth);
  stream.queue({Probe{nonce}, {}});
  while (true) {
    const Status written = stream.write();
    std::vector<Message> messages;
    const Status status = stream.read(messages);
    if (std::optional<ProbeAnswer> answer = find_answer(messages)) return *std::move(answer);
    PHUB_TRY(status);
    PHUB_TRY(written);
    const int64_t left_ms = (deadline - base::now()).count() / 1'000'000;
    if (left_ms <= 0) return Status(Code::timed_out, "no answer to a probe in time");
    pollfd waits = {stream.fd(), POLLIN, 0};
    if (stream.wants_write()) waits.events |= POLLOUT;
    ::poll(&waits, 1, static_cast<int>(std::min<int64_t>(left_ms, 1'000)));
  }
}

}  // namespace phub::exchange
