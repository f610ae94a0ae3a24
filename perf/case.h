// What one row of a sweep measures, and the options that spell it.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "perf/arguments.h"
#include "perf/form.h"
#include "perf/model.h"

namespace phub::perf {

struct Case {
  std::string fabric = "shm";
  Model model;
  DataType type = DataType::fp32;
  ReduceOp op = ReduceOp::sum;
  OptimizerOptions optimizer;
  uint32_t workers = 2;
  Form form;                 // Of the hubs.
  uint32_t shards = 1;       // Of each hub.
  uint32_t tcp_streams = 1;  // Connections of each link over tcp or tls.
  uint32_t rails = 1;        // NICs of the hub, and of each worker, over verbs.
  uint32_t queue_pairs = 1;  // Of each link and rail, over verbs.
  uint64_t frame_bytes = 0;  // Of a packet (the MTU), over verbs and dpdk; 0: the most there is.
  uint64_t chunk_bytes = 32768;
  std::string stores = "auto";       // As phubd spells it.
  std::string profile;               // The file of compute_us; empty: zero-compute.
  std::vector<uint64_t> compute_us;  // Per tensor: slept before its push, last tensor first.

  uint64_t bytes() const { return model.element_count() * size_of(type); }
  uint32_t chunk_elements() const { return static_cast<uint32_t>(chunk_bytes / size_of(type)); }
  uint64_t compute_us_total() const;
};

// The options that a case is made of; each may be a list, except --sleep-profile.
std::vector<Flag> case_flags();

// Every combination of the lists, sizes first. hubs 0 means one per worker, shards 0 one per core,
// the cores shared out to the hubs, fabric
// "all" those that work here. invalid_argument: a value that no exchange can have, or a fabric
// without its medium; names the option.
Result<std::vector<Case>> parse_cases(const Arguments& arguments);

// The options that parse_cases() reads back as this one case.
std::vector<std::string> to_words(const Case& one);

// The tensors as a trainer registers them.
std::vector<TensorSpec> tensor_specs(const Case& one);

// Lines `tensor_name,microseconds`; # starts a comment. Tensors that it does not name take no time.
// invalid_argument: a broken line, or a tensor that the model does not have.
Result<std::vector<uint64_t>> parse_profile(const Model& model, std::string_view text);

}  // namespace phub::perf
