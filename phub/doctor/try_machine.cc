// What no file tells: made, asked, and thrown away.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <map>

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "kernels/isa.h"
#include "phub/doctor/facts.h"

namespace phub::doctor {
namespace {

constexpr size_t kMemfdBytes = 4 << 20;

// As the hub and its workers share memory: sealed, mapped, written.
Attempt try_sealed_memfd() {
  const Result<base::Fd> fd = base::make_sealed_memfd("phub-doctor", kMemfdBytes);
  if (!fd.ok()) return {false, fd.status().message()};
  const Status sealed = base::check_sealed_memfd(fd->get(), kMemfdBytes);
  if (!sealed.ok()) return {false, sealed.message()};
  const Result<base::Mapping> mapping = base::Mapping::shared(fd->get(), kMemfdBytes);
  if (!mapping.ok()) return {false, mapping.status().message()};
  mapping->data()[0] = std::byte{1};
  if (::ftruncate(fd->get(), 0) == 0) return {false, "a sealed memfd could be shrunk"};
  return {true, ""};
}

std::optional<uint64_t> bytes_of_file_system(const char* path) {
  struct statvfs facts {};
  if (::statvfs(path, &facts) != 0) return std::nullopt;
  return uint64_t{facts.f_blocks} * facts.f_frsize;
}

std::string text_of(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* const bytes =
      address->sa_family == AF_INET
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr)
          : static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
  return ::inet_ntop(address->sa_family, bytes, text.data(), text.size()) == nullptr ? "?"
                                                                                     : text.data();
}

// Drivers say -1, or an error, while they do not know.
std::optional<uint64_t> number_in(const std::string& path) {
  int64_t number = -1;
  std::ifstream(path) >> number;
  if (number <= 0) return std::nullopt;
  return static_cast<uint64_t>(number);
}

std::vector<Interface> find_interfaces() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  std::map<std::string, Interface> by_name;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    Interface& interface = by_name[entry->ifa_name];
    interface.is_up = (entry->ifa_flags & IFF_UP) != 0 && (entry->ifa_flags & IFF_RUNNING) != 0;
    interface.is_loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0;
    if (entry->ifa_addr == nullptr) continue;
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    interface.addresses.push_back(text_of(entry->ifa_addr));
  }
  ::freeifaddrs(list);
  std::vector<Interface> interfaces;
  for (auto& [name, interface] : by_name) {
    interface.name = name;
    const std::string folder = "/sys/class/net/" + name;
    interface.mtu = static_cast<uint32_t>(number_in(folder + "/mtu").value_or(0));
    interface.speed_mbps = number_in(folder + "/speed");
    interfaces.push_back(std::move(interface));
  }
  return interfaces;
}

std::optional<Clock> ask_clock() {
  timex clock{};
  const int state = ::adjtimex(&clock);
  if (state < 0) return std::nullopt;
  const bool is_synchronised = state != TIME_ERROR && (clock.status & STA_UNSYNC) == 0;
  return Clock{is_synchronised, static_cast<double>(clock.maxerror) * 1e-6};
}

double time_clock() {
  constexpr int kReads = 10'000;
  const base::Instant begin = base::now();
  base::Instant end = begin;
  for (int i = 0; i < kReads; ++i) end = base::now();
  return static_cast<double>((end - begin).count()) / kReads;
}

Attempt try_io_uring() {
  io_uring_params parameters{};
  const long fd = ::syscall(SYS_io_uring_setup, 8, &parameters);
  if (fd < 0) return {false, base::errno_text()};
  ::close(static_cast<int>(fd));
  return {true, ""};
}

}  // namespace

void try_machine(Facts& facts) {
  facts.sealed_memfd = try_sealed_memfd();
  facts.dev_shm_bytes = bytes_of_file_system("/dev/shm");
  facts.interfaces = find_interfaces();
  facts.clock = ask_clock();
  facts.clock_read_ns = time_clock();
  facts.io_uring = try_io_uring();
  facts.allowed_cores = static_cast<uint32_t>(base::allowed_cores().size());
  if (!facts.devices.rdma_ports.empty()) facts.devices.verbs_library = try_verbs_library();
  facts.isa = kernels::isa_name();
  facts.supported_isas = kernels::supported_isas();
}

}  // namespace phub::doctor
