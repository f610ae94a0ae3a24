// Goal: whatever bytes a peer sends on a TCP link, they land in their slots or cost the link, and
// the reader comes to an end. Method: the input is what the peer says before it closes; slots are
// blocks of their own, so that the address sanitizer sees a byte too far.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"
#include "transport/tcp_link.h"

namespace {

using namespace phub::transport;

constexpr std::array<uint32_t, 4> kSlotBytes = {1, 64, 300, 4096};
constexpr size_t kInputBytesMax = 64 << 10;  // Fits the socket's buffer.

void check_arrived(const Event& event, const LinkOptions& options) {
  const auto slot = std::find_if(options.slots.begin(), options.slots.end(),
                                 [&](const Slot& one) { return one.data == event.data; });
  PHUB_CHECK(slot != options.slots.end());
  PHUB_CHECK(event.bytes <= slot->bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kInputBytesMax) return 0;
  int ends[2];
  PHUB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  phub::base::Fd ours(ends[0]);
  phub::base::Fd peer(ends[1]);
  std::vector<std::unique_ptr<std::byte[]>> memory;
  LinkOptions options;
  for (const uint32_t bytes : kSlotBytes) {
    memory.push_back(std::make_unique<std::byte[]>(bytes));
    options.slots.push_back({memory.back().get(), bytes});
  }
  TcpLink link(LinkId{0}, options, 1, 1);
  link.attach(0, ByteStream(std::move(ours)));
  PHUB_CHECK(::send(peer.get(), data, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size));
  peer = phub::base::Fd();
  std::array<Event, 16> events;
  bool is_lost = false;
  // A put takes twelve bytes at least, and each poll takes something until the end is seen.
  for (size_t polls = 0; !is_lost; ++polls) {
    PHUB_CHECK(polls <= size + 2);
    const size_t count = link.poll(events);
    for (size_t i = 0; i < count; ++i) {
      if (events[i].kind == EventKind::arrived) check_arrived(events[i], options);
      is_lost |= events[i].kind == EventKind::lost;
    }
  }
  PHUB_CHECK(!link.lost_reason().empty());
  return 0;
}
