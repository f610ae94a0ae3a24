// Tables of real networks (perf/models), as the tests of maps want them.
#pragma once

#include <phub/types.h>

#include <string>
#include <vector>

namespace phub::exchange {

// Name and element count of every tensor; empty: there is no such model.
std::vector<TensorSpec> load_model(const std::string& name);

}  // namespace phub::exchange
