// Workloads: the tensors of a real network, or one tensor of a given size.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace phub::perf {

struct ModelTensor {
  std::string name;
  uint64_t count = 0;  // Elements.
};

struct Model {
  std::string name;
  std::vector<ModelTensor> tensors;  // In the order of the forward pass.

  uint64_t element_count() const;
};

// Lines `tensor_name,element_count`; # starts a comment, empty lines are skipped.
// invalid_argument: names the line.
Result<Model> parse_model(std::string_view name, std::string_view text);

// The model of this name out of the folder of tables; with a '/' in it, the table at this path.
// The folder: PHUB_MODELS in the environment, else perf/models of the source tree.
Result<Model> load_model(const std::string& name);

// One tensor of `bytes`, at least one element. invalid_argument: not a multiple of element_bytes.
Result<Model> flat_model(uint64_t bytes, size_t element_bytes);

}  // namespace phub::perf
