// TLS over the loopback, hub and workers in one process, both sides with certificates.
#include <chrono>
#include <thread>

#include "base/check.h"
#include "tests/transport/certificates.h"
#include "tests/transport/conformance.h"
#include "transport/tcp.h"

namespace phub::transport {
namespace {

class TlsPair final : public FabricPair {
 public:
  // records_per_key: few, so that keys change all the time.
  TlsPair(uint64_t records_per_key, uint32_t streams) {
    certificates_.make({.file = "hub", .names = "IP:127.0.0.1"});
    certificates_.make({.file = "worker"});
    const std::string ca = certificates_.path("ca.pem");
    const TlsOptions hub = {ca, certificates_.path("hub.pem"), certificates_.path("hub.key"),
                            records_per_key};
    const TlsOptions worker = {ca, certificates_.path("worker.pem"),
                               certificates_.path("worker.key"), records_per_key};
    acceptor_ = make({.listen = base::HostPort{"127.0.0.1", 0},
                      .streams = streams,
                      .tls = TlsContext::for_hub(hub).value()});
    for (size_t i = 0; i < kConnectorCount; ++i) {
      connectors_.push_back(make(
          {.hub_host = "127.0.0.1", .tls = TlsContext::for_worker(worker, "127.0.0.1").value()}));
    }
  }
  Fabric& acceptor() override { return *acceptor_; }
  Fabric& connector(size_t index) override { return *connectors_[index]; }
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

  testing_support::Certificates certificates_;
  Instant now_{1};
  std::unique_ptr<Fabric> acceptor_;
  std::vector<std::unique_ptr<Fabric>> connectors_;
};

INSTANTIATE_FABRIC_CONFORMANCE(
    tls, [] { return std::make_unique<TlsPair>(uint64_t{1} << 23, 1); }, "");
INSTANTIATE_FABRIC_CONFORMANCE(
    tls_new_keys, [] { return std::make_unique<TlsPair>(3, 1); }, "");
INSTANTIATE_FABRIC_CONFORMANCE(
    tls_streams, [] { return std::make_unique<TlsPair>(50, 4); }, "");

}  // namespace
}  // namespace phub::transport
