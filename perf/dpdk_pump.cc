// What two processes move over memif, one way: bare packets, whose payload one side writes and the
// other reads, and PHub's fabric at the same frame size. The first is the limit of the second.
//
//   phub-dpdk-pump bare|fabric|gather BSIZE SECONDS [PUT_BYTES [LOSS_PERCENT [SEED]]]
//
// gather: the fabric, with packets that end in the puts' own memory.
//
// LOSS_PERCENT: that share of the packets vanishes at whoever receives them, acknowledgements, too.
// Each process polls with one thread. Prints GB/s (1e9) of payload.
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/thread.h"
#include "transport/datagram.h"
#include "transport/dpdk/dpdk_wire.h"
#include "transport/udp_packet.h"

namespace {

using namespace phub;
using namespace phub::transport;

constexpr uint32_t kSlots = 64;
// Until the first packet: a hub that waits for ever would hold its core, and whatever else it has.
constexpr double kPatienceSeconds = 20;

struct Run {
  bool is_hub = false;
  int peer = -1;  // A socket, for the set-up.
  uint32_t bsize = 0;
  double seconds = 0;
  uint32_t put_bytes = 32'768;
  double loss = 0;  // Of 1.
  uint64_t seed = 1;
  bool gathers = false;
};

std::string socket_of(pid_t parent) { return "/tmp/phub-dpdk-pump-" + std::to_string(parent); }

// Two that poll on one core measure how often the kernel switches between them.
void keep_to_core(size_t index) {
  const std::vector<int> cores = base::allowed_cores();
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cores[index % cores.size()]), &set);
  PHUB_CHECK(::sched_setaffinity(0, sizeof(set), &set) == 0);
}

config::DpdkOptions options_of(const Run& run) {
  const std::string socket = socket_of(::getppid());
  return {.eal = {"--no-huge", "--no-pci"},
          .devices = {"net_memif0,role=" + std::string(run.is_hub ? "server" : "client") +
                      ",id=0,socket-abstract=no,rsize=9,bsize=" + std::to_string(run.bsize) +
                      ",socket=" + socket},
          .forces_gather = run.gathers};
}

void tell(const Run& run, const std::string& text) {
  PHUB_CHECK(::send(run.peer, text.data(), text.size(), 0) == std::ssize(text));
}
std::string hear(const Run& run) {
  std::array<char, 65'536> text;
  const ssize_t bytes = ::recv(run.peer, text.data(), text.size(), 0);
  PHUB_CHECK(bytes > 0);
  return {text.data(), static_cast<size_t>(bytes)};
}

// started: when this process was ready; first: when the first packet came, if one did.
bool is_over(const Run& run, base::Instant now, base::Instant started, base::Instant first,
             bool has_begun) {
  const double seconds = has_begun || !run.is_hub ? run.seconds : kPatienceSeconds;
  return (now - (has_begun ? first : started)).count() > seconds * 1e9;
}

struct Loss {
  base::Random random{1};
  double share = 0;
};

uint16_t lose(uint16_t, uint16_t, rte_mbuf** packets, uint16_t count, uint16_t, void* argument) {
  Loss& loss = *static_cast<Loss*>(argument);
  uint16_t kept = 0;
  for (uint16_t i = 0; i < count; ++i) {
    if (loss.random.chance(loss.share)) {
      ::rte_pktmbuf_free(packets[i]);
    } else {
      packets[kept++] = packets[i];
    }
  }
  return kept;
}

// In the device, so that everything above it is as it always is. REQUIRES: it is started.
void lose_some(const Run& run) {
  if (run.loss == 0) return;
  auto* const loss = new Loss{base::Random(run.seed + run.is_hub), run.loss};  // To the end.
  uint16_t port = 0;
  PHUB_CHECK(::rte_eth_dev_get_port_by_name("net_memif0", &port) == 0);
  PHUB_CHECK(::rte_eth_add_rx_callback(port, 0, lose, loss) != nullptr);
}

void print(const char* what, uint64_t bytes, base::Instant start, base::Instant end) {
  std::printf("%s %.2f GB/s\n", what, static_cast<double>(bytes) / (end - start).count());
  std::fflush(stdout);
}

// Frames as the fabric's, without headers that anybody reads.
void pump_bare(const Run& run) {
  auto station = dpdk::Station::join(options_of(run), 0, run.is_hub ? 1 : 0);
  if (!station.ok()) std::fprintf(stderr, "%s\n", station.status().message().c_str());
  PHUB_CHECK(station.ok());
  if (run.is_hub) {
    tell(run, "up");
  } else {
    hear(run);  // A client of memif wants its server's socket to be there.
    PHUB_CHECK((*station)->start(1).ok());
  }
  const uint16_t port = (*station)->devices().front().port();
  const size_t frame = (*station)->mtu() + kEthernetBytes;
  lose_some(run);
  std::array<rte_mbuf*, 32> packets;
  const base::Instant started = base::now();
  base::Instant start = started, last = started;
  uint64_t bytes = 0, sum = 0;
  uint32_t round = 0;
  for (base::Instant now = started; !is_over(run, now, started, start, bytes > 0);
       now = base::now()) {
    if (run.is_hub) {
      const uint16_t count = ::rte_eth_rx_burst(port, 0, packets.data(), packets.size());
      if (bytes == 0) start = now;
      for (uint16_t i = 0; i < count; ++i) {
        const uint64_t* const words = rte_pktmbuf_mtod(packets[i], const uint64_t*);
        for (size_t k = 0; k < packets[i]->data_len / sizeof(uint64_t); ++k) sum += words[k];
        bytes += packets[i]->data_len;
        last = now;
      }
      ::rte_pktmbuf_free_bulk(packets.data(), count);
      continue;
    }
    if (::rte_pktmbuf_alloc_bulk((*station)->send_pool(0), packets.data(), packets.size()) != 0) {
      continue;
    }
    for (rte_mbuf* const packet : packets) {
      std::memset(rte_pktmbuf_mtod(packet, void*), static_cast<int>(++round), frame);
      packet->data_len = static_cast<uint16_t>(frame);
      packet->pkt_len = packet->data_len;
    }
    const uint16_t sent = ::rte_eth_tx_burst(port, 0, packets.data(), packets.size());
    ::rte_pktmbuf_free_bulk(packets.data() + sent, static_cast<unsigned>(packets.size() - sent));
  }
  if (run.is_hub) print(sum == 1 ? "bare" : "bare  ", bytes, start, last);
}

void pump_fabric(const Run& run) {
  auto wire = dpdk::DpdkWire::make(options_of(run), 0, run.is_hub ? 1 : 0);
  if (!wire.ok()) std::fprintf(stderr, "%s\n", wire.status().message().c_str());
  DatagramFabric fabric(std::move(wire).value(), {});
  const auto memory = *fabric.allocate(size_t{2} * kSlots * run.put_bytes);
  LinkOptions options;
  options.peer_slot_count = options.acceptor_puts_max = options.connector_puts_max = kSlots;
  for (uint32_t i = 0; i < kSlots; ++i) {
    options.slots.push_back({memory.data() + size_t{i} * run.put_bytes, run.put_bytes});
  }
  Bootstrap offer, answer;
  LinkId link{};
  if (run.is_hub) {
    link = *fabric.open(options, &offer);
    tell(run, offer.blob);
    answer.blob = hear(run);
    PHUB_CHECK(fabric.accept(link, std::move(answer)).ok());
  } else {
    offer.blob = hear(run);
    link = *fabric.connect(options, std::move(offer), &answer);
    tell(run, answer.blob);
  }
  lose_some(run);
  std::array<Event, 64> events;
  const base::Instant started = base::now();
  base::Instant start = started, last = started;
  uint64_t bytes = 0;
  uint32_t next = 0, out = 0;
  for (base::Instant now = started; !is_over(run, now, started, start, bytes > 0);
       now = base::now()) {
    for (; !run.is_hub && out < kSlots; ++out, ++next) {
      const Put put{.link = link,
                    .slot = next % kSlots,
                    .tag = next,
                    .bytes = run.put_bytes,
                    .data = memory.data() + size_t{kSlots + next % kSlots} * run.put_bytes};
      if (fabric.put({&put, 1}) == 0) break;
    }
    const size_t count = fabric.poll(now, events);
    if (bytes == 0) start = now;
    for (size_t i = 0; i < count; ++i) {
      if (events[i].kind == EventKind::sent) --out;
      if (events[i].kind != EventKind::arrived) continue;
      bytes += events[i].bytes;
      last = now;
      fabric.release(events[i]);
    }
  }
  if (run.is_hub) print("fabric", bytes, start, last);
  const DatagramCounters counters = fabric.counters();
  std::fprintf(stderr, "%s: sent %lu received %lu repeated %lu duplicate %lu waiting %lu\n",
               run.is_hub ? "hub" : "worker", counters.packets_sent, counters.packets_received,
               counters.packets_repeated, counters.packets_duplicate, counters.packets_waiting);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc < 4 ? "" : argv[1];
  if (what != "bare" && what != "fabric" && what != "gather") {
    std::fprintf(stderr,
                 "usage: phub-dpdk-pump bare|fabric|gather BSIZE SECONDS "
                 "[PUT_BYTES [LOSS_PERCENT [SEED]]]\n");
    return 2;
  }
  Run run{.bsize = static_cast<uint32_t>(std::atoi(argv[2])), .seconds = std::atof(argv[3])};
  if (argc > 4) run.put_bytes = static_cast<uint32_t>(std::atoi(argv[4]));
  if (argc > 5) run.loss = std::atof(argv[5]) / 100;
  if (argc > 6) run.seed = std::strtoull(argv[6], nullptr, 10);
  std::array<int, 2> ends;
  PHUB_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()) == 0);
  const timeval patience{.tv_sec = static_cast<time_t>(kPatienceSeconds), .tv_usec = 0};
  for (const int end : ends) {
    PHUB_CHECK(::setsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
  }
  ::unlink(socket_of(::getpid()).c_str());  // Of one that was killed and had this number.
  for (const bool is_hub : {true, false}) {
    if (::fork() != 0) continue;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    keep_to_core(is_hub ? 0 : 1);
    run.is_hub = is_hub;
    run.gathers = what == "gather";
    run.peer = ends[is_hub ? 0 : 1];
    if (what == "bare") {
      pump_bare(run);
    } else {
      pump_fabric(run);
    }
    std::_Exit(0);
  }
  int failed = 0;
  for (int status = 0; ::wait(&status) > 0;) failed |= status;
  ::unlink(socket_of(::getpid()).c_str());
  return failed == 0 ? 0 : 1;
}
