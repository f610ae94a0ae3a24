// Verbs on the RDMA devices of this machine: the acceptor on one, the connectors on another; with
// two rails; with several queue pairs and tags of which many name their slots.
#include <algorithm>
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "tests/transport/conformance.h"
#include "transport/verbs.h"

namespace phub::transport {
namespace {

struct Shape {
  std::vector<size_t> acceptor_rails = {0};
  std::vector<size_t> connector_rails = {1};
  uint32_t queue_pairs = 1;
  uint32_t tag_slot_mask = 0;
};

std::vector<std::string> active_devices() {
  if (!VerbsLibrary::load().ok()) return {};
  auto names = choose_verbs_devices({});
  return names.ok() ? *names : std::vector<std::string>{};
}

std::string reason_to_skip() {
  if (Status status = VerbsLibrary::load(); !status.ok()) return status.message();
  const auto names = choose_verbs_devices({});
  return names.ok() ? "" : names.status().message();
}

class VerbsPair final : public FabricPair {
 public:
  explicit VerbsPair(const Shape& shape) : shape_(shape), devices_(active_devices()) {
    acceptor_ = make(shape.acceptor_rails);
    for (size_t i = 0; i < kConnectorCount; ++i) connectors_.push_back(make(shape.connector_rails));
  }
  Fabric& acceptor() override { return *acceptor_; }
  Fabric& connector(size_t index) override { return *connectors_[index]; }
  // The devices move bytes in their own time.
  void settle() override { std::this_thread::yield(); }
  Instant now() override { return base::now(); }
  uint32_t tag_slot_mask() const override { return shape_.tag_slot_mask; }
  uint32_t rail_count() const override {
    return static_cast<uint32_t>(shape_.acceptor_rails.size());
  }

 private:
  std::unique_ptr<Fabric> make(const std::vector<size_t>& rails) {
    config::RdmaOptions options;
    for (const size_t rail : rails) options.devices.push_back(devices_[rail % devices_.size()]);
    options.queue_pairs = shape_.queue_pairs;
    auto fabric = VerbsFabric::make(options);
    if (!fabric.ok()) ADD_FAILURE() << fabric.status().message();
    PHUB_CHECK(fabric.ok());
    return std::move(fabric).value();
  }

  Shape shape_;
  std::vector<std::string> devices_;
  std::unique_ptr<Fabric> acceptor_;
  std::vector<std::unique_ptr<Fabric>> connectors_;
};

std::unique_ptr<FabricPair> make_pair(const Shape& shape) {
  return std::make_unique<VerbsPair>(shape);
}

INSTANTIATE_FABRIC_CONFORMANCE(
    verbs, [] { return make_pair({}); }, reason_to_skip());
INSTANTIATE_FABRIC_CONFORMANCE(
    verbs_rails,
    [] {
      return make_pair({{0, 1}, {1, 0}});
    },
    reason_to_skip());
INSTANTIATE_FABRIC_CONFORMANCE(
    verbs_queue_pairs, [] { return make_pair({.queue_pairs = 2, .tag_slot_mask = 3}); },
    reason_to_skip());

}  // namespace
}  // namespace phub::transport
