#include "perf/model.h"

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "perf/process.h"

namespace phub::perf {
namespace {

// PHUB_MODELS; else where `cmake --install` puts them beside the program; else the source tree's.
std::string models_folder() {
  const char* const from_environment = std::getenv("PHUB_MODELS");
  if (from_environment != nullptr) return from_environment;
  const std::string installed = program_folder() + "/../share/phub/models";
  return std::filesystem::is_directory(installed) ? installed : PHUB_MODELS_FOLDER;
}

}  // namespace

uint64_t Model::element_count() const {
  uint64_t total = 0;
  for (const ModelTensor& tensor : tensors) total += tensor.count;
  return total;
}

Result<Model> parse_model(std::string_view name, std::string_view text) {
  Model model{std::string(name), {}};
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    const size_t comma = line.rfind(',');
    uint64_t count = 0;
    const char* const end = line.data() + line.size();
    const bool is_good = comma != std::string::npos && comma > 0 &&
                         std::from_chars(line.data() + comma + 1, end, count).ptr == end;
    if (!is_good || count == 0) {
      return Status(Code::invalid_argument, "model " + model.name + ", line " +
                                                std::to_string(number) + ": \"" + line +
                                                "\" is not name,element_count");
    }
    model.tensors.push_back({line.substr(0, comma), count});
  }
  if (model.tensors.empty()) {
    return Status(Code::invalid_argument, "model " + model.name + " has no tensor");
  }
  return model;
}

Result<Model> load_model(const std::string& name) {
  const bool is_path = name.find('/') != std::string::npos;
  const std::string path = is_path ? name : models_folder() + "/" + name + ".csv";
  std::ifstream file(path);
  if (!file) {
    return Status(Code::not_found, "model " + name + ": no file " + path +
                                       "; PHUB_MODELS names the folder of tables");
  }
  std::ostringstream text;
  text << file.rdbuf();
  return parse_model(name, text.str());
}

Result<Model> flat_model(uint64_t bytes, size_t element_bytes) {
  if (bytes == 0 || bytes % element_bytes != 0) {
    return Status(Code::invalid_argument, "size " + std::to_string(bytes) +
                                              " is not a positive multiple of the element's " +
                                              std::to_string(element_bytes) + " bytes");
  }
  return Model{"flat", {{"flat", bytes / element_bytes}}};
}

}  // namespace phub::perf
