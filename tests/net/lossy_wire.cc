// A bad cable between two network namespaces: a TAP device at each end, and between them frames are
// lost, doubled and delayed, so that they overtake each other. From a fixed seed, on any kernel.
//
//   lossy_wire NAMESPACE DEVICE NAMESPACE DEVICE LOSS DUPLICATE DELAY     (of a thousand frames)
//
// Says "ready" once both devices are there, and works until it is killed.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "base/random.h"

namespace {

using phub::base::Fd;
using phub::base::Instant;

constexpr uint64_t kDelayMsMax = 20;

Fd open_tap(const char* network, const char* name) {
  const Fd there(::open(network, O_RDONLY | O_CLOEXEC));
  if (!there.valid() || ::setns(there.get(), CLONE_NEWNET) != 0) return {};
  Fd tap(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (!tap.valid() || ::ioctl(tap.get(), TUNSETIFF, &request) != 0) return {};
  return tap;
}

struct Rates {
  uint64_t loss, duplicate, delay;
};

// Frames on their way, by when they arrive and where.
using Flight = std::multimap<Instant, std::pair<int, std::string>>;

void take_frames(int from, int to, const Rates& rates, phub::base::Random& random, Flight* flight) {
  char frame[65'536];
  for (ssize_t bytes; (bytes = ::read(from, frame, sizeof(frame))) > 0;) {
    if (random.below(1000) < rates.loss) continue;
    const int copies = random.below(1000) < rates.duplicate ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      Instant due = phub::base::now();
      if (random.below(1000) < rates.delay) {
        due = due + std::chrono::milliseconds(1 + random.below(kDelayMsMax));
      }
      flight->emplace(due, std::pair(to, std::string(frame, static_cast<size_t>(bytes))));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Fd ends[2] = {open_tap(argv[1], argv[2]), open_tap(argv[3], argv[4])};
  if (!ends[0].valid() || !ends[1].valid()) {
    std::fprintf(stderr, "lossy_wire: %s\n", phub::base::errno_text().c_str());
    return 1;
  }
  const Rates rates{std::strtoull(argv[5], nullptr, 10), std::strtoull(argv[6], nullptr, 10),
                    std::strtoull(argv[7], nullptr, 10)};
  std::puts("ready");
  std::fflush(stdout);
  phub::base::Random random(1);
  Flight flight;
  while (true) {
    pollfd waits[2] = {{ends[0].get(), POLLIN, 0}, {ends[1].get(), POLLIN, 0}};
    ::poll(waits, 2, flight.empty() ? 1000 : 1);
    take_frames(ends[0].get(), ends[1].get(), rates, random, &flight);
    take_frames(ends[1].get(), ends[0].get(), rates, random, &flight);
    const Instant now = phub::base::now();
    while (!flight.empty() && flight.begin()->first <= now) {
      const auto& [to, frame] = flight.begin()->second;
      [[maybe_unused]] const ssize_t sent = ::write(to, frame.data(), frame.size());
      flight.erase(flight.begin());
    }
  }
}
