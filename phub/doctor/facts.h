// What `phubctl doctor` knows about a machine before it judges: plain values. Whatever could not be
// found out is absent, and the check that wants it is skipped.
//
// Thread-safety: none needed; the readers may be called from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "phub/doctor/device_facts.h"
#include "phub/doctor/hub_probe.h"

namespace phub::doctor {

constexpr uint64_t kUnlimited = UINT64_MAX;

struct Limit {
  uint64_t soft = 0;
  uint64_t hard = 0;
};

struct Interface {
  std::string name;
  std::vector<std::string> addresses;
  bool is_up = false;  // And its cable has a signal.
  bool is_loopback = false;
  uint32_t mtu = 0;
  std::optional<uint64_t> speed_mbps;  // Absent: the driver does not tell.
};

// Something that was tried: it works, or why not.
struct Attempt {
  bool works = false;
  std::string reason;
};

struct Clock {
  bool is_synchronised = false;
  double error_seconds_max = 0;  // As the kernel estimates it; of a synchronised clock.
};

// GET /healthz at the hub's HTTP address.
struct Door {
  std::string address;
  bool is_given = false;  // By --http or PHUB_HTTP; else it is where a hub is by default.
  bool has_answered = false;
  std::string answer;  // "ok", "draining", or why there is none.
};

struct Facts {
  // What the hub would be started with.
  uint32_t shards = 1;
  uint32_t sessions_max = 4096;

  std::optional<Limit> locked_memory_bytes;
  std::optional<Limit> open_files;
  std::optional<uint64_t> memory_bytes;
  std::optional<uint64_t> memory_available_bytes;
  std::string huge_pages;         // "madvise": the chosen one of transparent_hugepage/enabled.
  std::string shared_huge_pages;  // Of shmem_enabled: memfds.
  uint64_t reserved_huge_pages = 0;
  std::optional<uint64_t> dev_shm_bytes;
  std::optional<Attempt> sealed_memfd;
  std::optional<uint64_t> cgroup_memory_bytes;  // The tightest limit above this process.
  std::optional<double> cgroup_cpus;            // Likewise: a quota of processor time.

  uint32_t allowed_cores = 0;
  uint32_t numa_nodes = 1;
  std::string isolated_cores;   // "2-7"; empty: none.
  std::optional<bool> has_smt;  // Two hardware threads share a core.
  std::string governor;         // Of the first core; empty: the machine has none.
  std::string isa;              // What the kernels use: "AVX2".
  std::vector<std::string> supported_isas;

  std::vector<Interface> interfaces;
  std::optional<uint64_t> tcp_receive_bytes_max;  // The third of tcp_rmem.
  std::optional<uint64_t> tcp_send_bytes_max;     // Of tcp_wmem.

  std::optional<Clock> clock;
  std::string clock_source;
  std::optional<double> clock_read_ns;

  std::string kernel;  // "6.1.0-18-amd64"
  std::optional<Attempt> io_uring;
  std::optional<Attempt> kernel_tls;

  DeviceFacts devices;

  HubProbe hub;
  std::vector<HubProbe> other_hubs;  // Of a list: those behind the first.
  Door door;
};

// From the files under `root`: "/" for this machine, a made-up tree in a test.
void read_files(const std::string& root, Facts& facts);
// cgroup_facts.cc: the limits of cgroup versions 1 and 2, read likewise.
void read_cgroups(const std::string& root, Facts& facts);
// What only trying tells; leaves nothing behind.
void try_machine(Facts& facts);

}  // namespace phub::doctor
