// Shared memory, hub and workers in one process: each maps the other's memory as two processes
// would.
#include "base/check.h"
#include "tests/transport/conformance.h"
#include "transport/open.h"

namespace phub::transport {
namespace {

class ShmPair final : public FabricPair {
 public:
  ShmPair() : acceptor_(make()) {
    for (size_t i = 0; i < kConnectorCount; ++i) connectors_.push_back(make());
  }
  Fabric& acceptor() override { return *acceptor_; }
  Fabric& connector(size_t index) override { return *connectors_[index]; }
  void settle() override { now_ = now_ + std::chrono::microseconds(1); }
  Instant now() override { return now_; }

 private:
  static std::unique_ptr<Fabric> make() {
    auto fabric = open_fabric("shm");
    PHUB_CHECK(fabric.ok());
    return std::move(fabric).value();
  }

  Instant now_;
  std::unique_ptr<Fabric> acceptor_;
  std::vector<std::unique_ptr<Fabric>> connectors_;
};

INSTANTIATE_FABRIC_CONFORMANCE(
    shm, [] { return std::make_unique<ShmPair>(); }, "");

}  // namespace
}  // namespace phub::transport
