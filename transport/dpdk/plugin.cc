// What libphub_dpdk.so shows: one function.
#include "transport/dpdk/dpdk_wire.h"
#include "transport/dpdk_plugin.h"

namespace {

phub::Result<std::unique_ptr<phub::transport::Wire>> make_wire(
    const phub::config::DpdkOptions& options, uint32_t shard, uint32_t shard_count) {
  auto wire = phub::transport::dpdk::DpdkWire::make(options, shard, shard_count);
  if (!wire.ok()) return wire.status();
  return std::unique_ptr<phub::transport::Wire>(std::move(wire).value());
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const phub::transport::DpdkPlugin*
phub_dpdk_plugin() {
  static constexpr phub::transport::DpdkPlugin plugin{
      .abi = phub::transport::kDpdkPluginAbi, .version = PHUB_VERSION, .make_wire = make_wire};
  return &plugin;
}
