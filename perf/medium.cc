#include "perf/medium.h"

#include <algorithm>
#include <filesystem>

#include "base/scheme.h"
#include "transport/dpdk_plugin.h"

namespace phub::perf {
namespace {

constexpr const char* kRdmaFolder = "/sys/class/infiniband";

std::vector<std::string> rdma_devices() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(kRdmaFolder, ignored)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ",") + name;
  return list;
}

// memif joins two processes: every hub has a device for every rank, and a rank one for every hub.
uint64_t memif_buffer_bytes(const Case& one) {
  constexpr uint64_t kFrontBytes = 18;  // What stands before an IP packet, at most.
  return one.frame_bytes == 0 ? kMemifBufferBytes : one.frame_bytes + kFrontBytes;
}

std::string memif(const Case& one, const std::string& folder, const char* role, uint32_t device,
                  uint32_t hub, uint32_t rank) {
  return " --vdev=net_memif" + std::to_string(device) + ",role=" + role +
         ",id=" + std::to_string(rank) +
         ",socket-abstract=no,rsize=9,bsize=" + std::to_string(memif_buffer_bytes(one)) +
         ",socket=" + folder + "/memif" + std::to_string(hub) + ".sock";
}

// Address space for the buffers of `shards`, which DPDK takes at start without hugepages.
std::string dpdk_memory(const Case& one, uint32_t shards, uint32_t devices) {
  constexpr uint64_t kBuffersPerDevice = 2048;  // A pool to receive and one to send, each shard.
  constexpr uint64_t kBufferOverhead = 512;
  constexpr uint64_t kOtherMib = 256;
  const uint64_t bytes = 2 * uint64_t{shards} * (devices + 1) * kBuffersPerDevice *
                         (memif_buffer_bytes(one) + kBufferOverhead);
  return " -m " + std::to_string((bytes >> 20) + kOtherMib);
}

// What both ends are told in the same words.
std::map<std::string, std::string> common(const Case& one) {
  std::map<std::string, std::string> options;
  if (one.fabric == "verbs") options["rdma_queue_pairs"] = std::to_string(one.queue_pairs);
  if (one.frame_bytes > 0 && one.fabric == "verbs") {
    options["rdma_mtu"] = std::to_string(one.frame_bytes);
  }
  if (one.frame_bytes > 0 && one.fabric == "dpdk") {
    options["dpdk_mtu"] = std::to_string(one.frame_bytes);
  }
  return options;
}

}  // namespace

std::string missing_medium(const std::string& fabric) {
  if (fabric == "verbs" && rdma_devices().empty()) {
    return std::string("verbs: no RDMA device in ") + kRdmaFolder +
           "; `rdma link add rxe0 type rxe netdev eth0` makes one where the kernel has rdma_rxe";
  }
  if (fabric == "dpdk") {
    const auto plugin = transport::load_dpdk_plugin();
    if (!plugin.ok()) return "dpdk: " + plugin.status().message();
  }
  return "";
}

std::vector<std::string> fabrics_here(std::vector<std::string>& missing) {
  std::vector<std::string> names;
  for (const base::Scheme& scheme : base::schemes()) {
    const std::string why = missing_medium(std::string(scheme.name));
    if (why.empty()) {
      names.emplace_back(scheme.name);
    } else {
      missing.push_back(why);
    }
  }
  return names;
}

std::vector<std::string> hub_devices(const std::vector<std::string>& all, uint32_t rails) {
  return {all.begin(), all.begin() + static_cast<ptrdiff_t>(std::min<size_t>(rails, all.size()))};
}

std::vector<std::string> worker_devices(const std::vector<std::string>& all, uint32_t rails,
                                        uint32_t rank) {
  if (all.size() <= rails) return all;
  const size_t others = all.size() - rails;
  std::vector<std::string> devices;
  for (size_t i = 0; i < std::min<size_t>(rails, others); ++i) {
    devices.push_back(all[rails + (size_t{rank} * rails + i) % others]);
  }
  return devices;
}

std::vector<std::string> hub_medium(const Case& one, const std::string& folder, uint32_t hub) {
  std::map<std::string, std::string> options = common(one);
  if (one.fabric == "verbs") {
    options["rdma_devices"] = joined(hub_devices(rdma_devices(), one.rails));
  }
  if (one.fabric == "dpdk") {
    std::string& eal = options["dpdk_eal"] = "--no-huge --no-pci";
    eal += dpdk_memory(one, one.shards, one.workers);
    for (uint32_t rank = 0; rank < one.workers; ++rank) {
      eal += memif(one, folder, "server", rank, hub, rank);
    }
  }
  std::vector<std::string> words;
  for (const auto& [name, text] : options) {
    std::string option = "--" + name;
    std::replace(option.begin(), option.end(), '_', '-');
    words.insert(words.end(), {std::move(option), text});
  }
  return words;
}

std::map<std::string, std::string> worker_medium(const Case& one, const std::string& folder,
                                                 uint32_t rank) {
  std::map<std::string, std::string> options = common(one);
  if (one.fabric == "verbs") {
    options["rdma_devices"] = joined(worker_devices(rdma_devices(), one.rails, rank));
  }
  if (one.fabric == "dpdk") {
    std::string& eal = options["dpdk_eal"] = "--no-huge --no-pci";
    eal += dpdk_memory(one, 1, one.form.hubs);
    for (uint32_t hub = 0; hub < one.form.hubs; ++hub) {
      eal += memif(one, folder, "client", hub, hub, rank);
    }
  }
  return options;
}

}  // namespace phub::perf
