// TCP over the loopback, hub and workers in one process.
#include <chrono>
#include <thread>

#include "base/check.h"
#include "tests/transport/conformance.h"
#include "transport/tcp.h"

namespace phub::transport {
namespace {

class TcpPair final : public FabricPair {
 public:
  explicit TcpPair(uint32_t streams)
      : acceptor_(make({.listen = base::HostPort{"127.0.0.1", 0}, .streams = streams})) {
    for (size_t i = 0; i < kConnectorCount; ++i) {
      connectors_.push_back(make({.hub_host = "127.0.0.1"}));
    }
  }
  Fabric& acceptor() override { return *acceptor_; }
  Fabric& connector(size_t index) override { return *connectors_[index]; }
  // The kernel moves bytes in its own time.
  void settle() override {
    now_ = now_ + std::chrono::microseconds(1);
    std::this_thread::yield();
  }
  Instant now() override { return now_; }

 private:
  static std::unique_ptr<Fabric> make(const TcpOptions& options) {
    auto fabric = TcpFabric::make(options);
    PHUB_CHECK(fabric.ok());
    return std::move(fabric).value();
  }

  Instant now_{1};
  std::unique_ptr<Fabric> acceptor_;
  std::vector<std::unique_ptr<Fabric>> connectors_;
};

INSTANTIATE_FABRIC_CONFORMANCE(
    tcp, [] { return std::make_unique<TcpPair>(1); }, "");
INSTANTIATE_FABRIC_CONFORMANCE(
    tcp_streams, [] { return std::make_unique<TcpPair>(4); }, "");

}  // namespace
}  // namespace phub::transport
