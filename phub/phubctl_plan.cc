#include "phub/phubctl_plan.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/try.h"
#include "config/quantity.h"
#include "config/topology.h"
#include "exchange/map.h"
#include "exchange/memory_plan.h"
#include "exchange/rails.h"
#include "phub/table.h"

namespace phub::hub {
namespace {

using config::print_bytes;
using exchange::ChunkMap;
using exchange::HubShape;
using exchange::MemoryPlan;

constexpr uint64_t kElementsMax = uint64_t{1} << 40;

Status invalid(std::string message) { return Status(Code::invalid_argument, std::move(message)); }

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

Result<std::string> read_file(const std::string& what, const std::string& path) {
  std::ifstream file(path);
  if (!file) return Status(Code::not_found, what + " " + path + ": cannot be opened");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// "pack:2 core:14": hwloc wants to be told also that each package has a NUMA node and each core one
// hardware thread.
std::string completed(std::string text) {
  if (text.find("numa") == std::string::npos) {
    text.insert(std::min(text.find(' '), text.size()), " [numa]");
  }
  return text.find("pu:") == std::string::npos ? text + " pu:1" : text;
}

// A path has a dot or a slash in it; hwloc's own texts have neither.
Result<config::Topology> describe_machine(const std::string& machine) {
  if (machine.find_first_of("./") == std::string::npos) {
    return config::describe_topology(completed(machine));
  }
  PHUB_TRY_ASSIGN(const std::string xml, read_file("machine", machine));
  Result<config::Topology> topology = config::read_topology_xml(xml);
  if (!topology.ok()) return topology.status().with_context(machine);
  return topology;
}

// The hub as phubd would make it there; --nics stands for devices that the text cannot describe.
Result<HubShape> shape_of_machine(const config::CtlPlan& plan) {
  PHUB_TRY_ASSIGN(const config::Topology topology, describe_machine(plan.machine));
  const auto cores = static_cast<uint32_t>(topology.cores.size());
  if (plan.shards > cores) {
    return invalid("--shards = " + std::to_string(plan.shards) + ", but --machine has " +
                   std::to_string(cores) + " cores");
  }
  HubShape hub;
  const uint32_t shards = plan.shards == 0 ? cores : plan.shards;
  for (const config::Core& core : config::choose_shard_cores(topology, shards)) {
    hub.shards.push_back({core.numa_node, core.index});
  }
  for (const config::Nic& nic : topology.nics) {
    if (nic.is_rdma && plan.nics == 0) hub.nics.push_back({nic.name, nic.numa_node});
  }
  for (uint32_t i = 0; i < plan.nics; ++i) {
    hub.nics.push_back({"nic" + std::to_string(i), i * topology.numa_node_count / plan.nics});
  }
  return hub;
}

// Shards and NICs in equal, contiguous shares of the sockets, as an appliance is wired.
Result<HubShape> describe_hubs(const config::CtlPlan& plan) {
  HubShape hub;
  if (!plan.machine.empty()) {
    PHUB_TRY_ASSIGN(hub, shape_of_machine(plan));
    return exchange::join_hubs(std::vector<HubShape>(plan.hubs, hub));
  }
  for (uint32_t i = 0; i < plan.shards; ++i) {
    hub.shards.push_back({i * plan.sockets / plan.shards, static_cast<int>(i)});
  }
  for (uint32_t i = 0; i < plan.nics; ++i) {
    hub.nics.push_back({"nic" + std::to_string(i), i * plan.sockets / plan.nics});
  }
  return exchange::join_hubs(std::vector<HubShape>(plan.hubs, hub));
}

Result<std::vector<TensorSpec>> load_model(const config::CtlPlan& plan) {
  std::vector<TensorSpec> tensors;
  if (plan.model_file.empty()) {
    TensorSpec tensor;
    tensor.name = "tensor";
    tensor.count = plan.elements;
    tensors.push_back(tensor);
  } else {
    PHUB_TRY_ASSIGN(const std::string text, read_file("model", plan.model_file));
    PHUB_TRY_ASSIGN(tensors, parse_model(text, plan.model_file));
  }
  for (TensorSpec& tensor : tensors) {
    tensor.type = plan.type;
    tensor.optimizer.kind = plan.optimizer;
  }
  return tensors;
}

uint64_t count_elements(const std::vector<TensorSpec>& tensors) {
  uint64_t elements = 0;
  for (const TensorSpec& tensor : tensors) elements += tensor.count;
  return elements;
}

std::string nics_of_shard(const ChunkMap& map, uint32_t shard, const HubShape& hub) {
  std::vector<bool> is_used(hub.nics.size());
  for (const uint32_t chunk : map.chunks_of_shard(shard)) {
    if (!hub.nics.empty()) is_used[map.chunks()[chunk].nic] = true;
  }
  std::string names;
  for (size_t i = 0; i < is_used.size(); ++i) {
    if (is_used[i]) names += (names.empty() ? "" : ",") + hub.nics[i].name;
  }
  return names.empty() ? "-" : names;
}

std::string shards_text(const ChunkMap& map, const HubShape& hub) {
  Table table({exchange::hub_count(hub) == 1 ? ">SHARD" : ">HUB/SHARD", ">NUMA", "NIC", ">CHUNKS",
               ">ELEMENTS"});
  for (uint32_t shard = 0; shard < map.shard_count(); ++shard) {
    const uint32_t number = hub.shards[shard].hub;
    const std::string own = std::to_string(shard - exchange::shards_of(hub, number).first);
    table.add({exchange::hub_count(hub) == 1 ? own : std::to_string(number) + "/" + own,
               std::to_string(hub.shards[shard].numa_node), nics_of_shard(map, shard, hub),
               std::to_string(map.chunks_of_shard(shard).size()),
               std::to_string(map.elements_of_shard(shard))});
  }
  return table.text();
}

std::string nics_table(const ChunkMap& map, const std::vector<TensorSpec>& tensors,
                       const HubShape& hub) {
  if (hub.nics.empty()) return "";
  const std::vector<exchange::NicLoad> loads = exchange::nic_loads(map, tensors, hub);
  const bool is_one = exchange::hub_count(hub) == 1;
  Table table(
      {is_one ? "NIC" : "HUB/NIC", ">NUMA", ">CHUNKS", ">ELEMENTS", ">EACH WAY, OF A RANK"});
  for (size_t i = 0; i < loads.size(); ++i) {
    const exchange::NicPlace& nic = hub.nics[i];
    table.add({is_one ? nic.name : std::to_string(nic.hub) + "/" + nic.name,
               std::to_string(nic.numa_node), std::to_string(loads[i].chunks),
               std::to_string(loads[i].elements), print_bytes(loads[i].bytes)});
  }
  std::array<char, 64> ratio;
  std::snprintf(ratio.data(), ratio.size(), "NICs, max/mean %.4f\n",
                exchange::nic_imbalance(loads));
  return table.text() + ratio.data() + "\n";
}

std::string memory_text(const MemoryPlan& shm, const MemoryPlan& other) {
  Table table({"MEMORY OF EACH HUB", ">OVER SHM", ">OVER A NETWORK"});
  const auto row = [&](const char* name, uint64_t by_reference, uint64_t copied) {
    table.add({name, print_bytes(by_reference), print_bytes(copied)});
  };
  row("slots (ranks x model)", shm.slot_bytes, other.slot_bytes);
  row("results (two versions)", shm.result_bytes, other.result_bytes);
  row("accumulators", shm.accumulator_bytes, other.accumulator_bytes);
  row("optimizer", shm.optimizer_bytes, other.optimizer_bytes);
  row("tables", shm.table_bytes, other.table_bytes);
  row("links", shm.link_bytes, other.link_bytes);
  row("control", shm.control_bytes, other.control_bytes);
  row("total", shm.total_bytes(), other.total_bytes());
  return table.text();
}

nlohmann::ordered_json memory_json(const MemoryPlan& plan) {
  return {{"slot_bytes", plan.slot_bytes},
          {"result_bytes", plan.result_bytes},
          {"accumulator_bytes", plan.accumulator_bytes},
          {"optimizer_bytes", plan.optimizer_bytes},
          {"table_bytes", plan.table_bytes},
          {"link_bytes", plan.link_bytes},
          {"control_bytes", plan.control_bytes},
          {"total_bytes", plan.total_bytes()}};
}

std::string plan_json(const ChunkMap& map, const std::vector<TensorSpec>& tensors,
                      const HubShape& hub, const MemoryPlan& shm, const MemoryPlan& other) {
  nlohmann::ordered_json document = {{"tensor_count", tensors.size()},
                                     {"element_count", count_elements(tensors)},
                                     {"chunk_count", map.chunks().size()},
                                     {"imbalance", map.imbalance()},
                                     {"shards", nlohmann::ordered_json::array()},
                                     {"memory_shm", memory_json(shm)},
                                     {"memory_network", memory_json(other)}};
  if (!hub.nics.empty()) {
    const std::vector<exchange::NicLoad> loads = exchange::nic_loads(map, tensors, hub);
    document["nic_imbalance"] = exchange::nic_imbalance(loads);
    for (size_t i = 0; i < loads.size(); ++i) {
      document["nics"].push_back({{"nic", hub.nics[i].name},
                                  {"hub", hub.nics[i].hub},
                                  {"numa_node", hub.nics[i].numa_node},
                                  {"chunks", loads[i].chunks},
                                  {"elements", loads[i].elements},
                                  {"bytes", loads[i].bytes}});
    }
  }
  for (uint32_t shard = 0; shard < map.shard_count(); ++shard) {
    document["shards"].push_back({{"shard", shard},
                                  {"chunks", map.chunks_of_shard(shard).size()},
                                  {"elements", map.elements_of_shard(shard)}});
  }
  return document.dump(2) + "\n";
}

}  // namespace

Result<std::vector<TensorSpec>> parse_model(std::string_view text, const std::string& path) {
  std::vector<TensorSpec> tensors;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = trimmed(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const std::string place = path + ":" + std::to_string(number) + ": ";
    const size_t comma = line.rfind(',');
    if (comma == std::string_view::npos || comma == 0) {
      return invalid(place + "\"" + printable(line.substr(0, 80)) +
                     "\" is not tensor_name,element_count");
    }
    const std::string_view count = trimmed(line.substr(comma + 1));
    const Result<uint64_t> elements = config::parse_number(count, 1, kElementsMax);
    if (!elements.ok()) {
      return invalid(place + "element count \"" + printable(count.substr(0, 80)) + "\" " +
                     elements.status().message());
    }
    TensorSpec tensor;
    tensor.name = trimmed(line.substr(0, comma));
    tensor.count = *elements;
    tensors.push_back(std::move(tensor));
  }
  if (tensors.empty()) return invalid("model " + path + ": it has no tensors");
  return tensors;
}

Result<std::string> plan_text(const config::CtlPlan& plan, bool wants_json) {
  PHUB_TRY_ASSIGN(const std::vector<TensorSpec> tensors, load_model(plan));
  PHUB_TRY_ASSIGN(const HubShape hub, describe_hubs(plan));
  PHUB_TRY_ASSIGN(const ChunkMap map, ChunkMap::build(tensors, plan.chunk_elements, hub));
  const exchange::ShardRange first =
      exchange::shards_of(hub, 0);  // The fullest: chunks begin there.
  const MemoryPlan shm = exchange::plan_memory(tensors, map, first, plan.rank_count, true);
  const MemoryPlan other = exchange::plan_memory(tensors, map, first, plan.rank_count, false);
  const uint64_t elements = count_elements(tensors);
  if (wants_json) return plan_json(map, tensors, hub, shm, other);

  const std::string chunks = exchange::to_text(map, tensors, hub);
  if (plan.wants_chunks) return chunks;
  return chunks.substr(0, chunks.find('\n') + 1) + std::to_string(elements) + " elements of " +
         std::string(phub::to_string(plan.type)) + ", " +
         print_bytes(elements * size_of(plan.type)) + ", " + std::to_string(plan.rank_count) +
         " ranks, optimizer " + std::string(phub::to_string(plan.optimizer)) + "\n\n" +
         shards_text(map, hub) + "\n" + nics_table(map, tensors, hub) + memory_text(shm, other);
}

}  // namespace phub::hub
