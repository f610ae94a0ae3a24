#include "tests/exchange/models.h"

#include <fstream>

namespace phub::exchange {

std::vector<TensorSpec> load_model(const std::string& name) {
  std::ifstream file(std::string(PHUB_TEST_MODELS) + "/" + name + ".csv");
  std::vector<TensorSpec> tensors;
  for (std::string line; std::getline(file, line);) {
    const size_t comma = line.find(',');
    if (line.starts_with('#') || comma == std::string::npos) continue;
    TensorSpec& tensor = tensors.emplace_back();
    tensor.name = line.substr(0, comma);
    tensor.count = std::stoull(line.substr(comma + 1));
  }
  return tensors;
}

}  // namespace phub::exchange
