#include "tests/rdma/cables.h"

#include <cstdlib>
#include <filesystem>

#include "base/check.h"

namespace phub::rdma {
namespace {

void run(const std::string& command) { PHUB_CHECK(std::system(command.c_str()) == 0); }

std::string port(uint32_t device) { return "p" + std::to_string(device); }

}  // namespace

std::string Cables::why_unavailable(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    if (!std::filesystem::exists("/sys/class/infiniband/rxe" + number) ||
        !std::filesystem::exists("/sys/class/net/p" + number)) {
      return "there is no rxe" + number + " on a switch; run it by tests/rdma/vm.sh";
    }
  }
  return "";
}

Cables::~Cables() {
  for (uint32_t i = 0; i < 64; ++i) {
    if ((pulled_ >> i & 1) != 0) plug(i);
    if ((harmed_ >> i & 1) != 0) heal(i);
  }
}

void Cables::pull(uint32_t device) {
  run("ip link set " + port(device) + " down");
  pulled_ |= uint64_t{1} << device;
}

void Cables::plug(uint32_t device) {
  run("ip link set " + port(device) + " up");
  pulled_ &= ~(uint64_t{1} << device);
}

void Cables::harm(std::span<const uint32_t> devices, const std::string& netem) {
  std::string orders;
  for (const uint32_t device : devices) {
    orders += "qdisc replace dev " + port(device) + " root netem " + netem + "\n";
    harmed_ |= uint64_t{1} << device;
  }
  run("tc -batch - <<'END'\n" + orders + "END");
}

void Cables::heal(uint32_t device) {
  run("tc qdisc del dev " + port(device) + " root");
  harmed_ &= ~(uint64_t{1} << device);
}

}  // namespace phub::rdma
