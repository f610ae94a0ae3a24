// The cables between rxe0, rxe1, ... and their switch, as guest.sh lays them in the virtual
// machine. Faults are on the switch's side: what goes to the device is lost on the wire, which the
// device that sends does not see.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace phub::rdma {

class Cables {
 public:
  // Why there are none here; empty: there are `count`.
  static std::string why_unavailable(uint32_t count);

  Cables() = default;
  Cables(const Cables&) = delete;
  ~Cables();  // All in again, and whole.

  void pull(uint32_t device);
  void plug(uint32_t device);
  // What goes to the devices meets netem: "loss 1%", "loss 100%", "delay 1ms".
  void harm(std::span<const uint32_t> devices, const std::string& netem);
  void heal(uint32_t device);

 private:
  uint64_t pulled_ = 0;  // Bits by device.
  uint64_t harmed_ = 0;
};

}  // namespace phub::rdma
