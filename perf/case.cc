#include "perf/case.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>
#include <sstream>

#include "base/scheme.h"
#include "base/thread.h"
#include "base/try.h"
#include "perf/medium.h"
#include "perf/pattern.h"

namespace phub::perf {
namespace {

// The enumerator whose name is `text`. invalid_argument: names the option and the choices.
template <typename E>
Result<E> parse_enum(std::string_view option, const std::string& text, E last) {
  std::string choices;
  for (uint8_t i = 0; i <= static_cast<uint8_t>(last); ++i) {
    const E value = static_cast<E>(i);
    if (to_string(value) == text) return value;
    choices += (i == 0 ? "" : ", ") + std::string(to_string(value));
  }
  return Status(Code::invalid_argument,
                "--" + std::string(option) + " = " + text + ": want one of " + choices);
}

Status check(const Case& one) {
  const uint64_t elements = one.chunk_elements();
  if (one.chunk_bytes % size_of(one.type) != 0 || elements < 64 || elements > 4'194'304 ||
      elements % 64 != 0) {
    return Status(Code::invalid_argument,
                  "--chunk-bytes = " + std::to_string(one.chunk_bytes) + ": " +
                      std::string(to_string(one.type)) +
                      " chunks have 64 to 4194304 elements, a multiple of 64");
  }
  if (one.op == ReduceOp::product && one.workers > kProductRanksMax) {
    return Status(Code::invalid_argument, "--op = product: verified for at most " +
                                              std::to_string(kProductRanksMax) + " workers");
  }
  if (one.form.is_colocated && (one.form.hubs > one.workers || one.fabric == "shm")) {
    return Status(Code::invalid_argument,
                  "--colocated with " + std::to_string(one.form.hubs) + " hubs, " +
                      std::to_string(one.workers) + " workers and fabric " + one.fabric +
                      ": want at most one hub per worker, and tcp or tls between them");
  }
  const bool is_floating =
      one.type != DataType::fp64 && one.type != DataType::int32 && one.type != DataType::int64;
  if (one.optimizer.kind != OptimizerKind::none && !is_floating) {
    return Status(Code::invalid_argument,
                  "--optimizer wants fp32, fp16 or bf16, not " + std::string(to_string(one.type)));
  }
  if (one.optimizer.kind != OptimizerKind::none && one.op != ReduceOp::sum &&
      one.op != ReduceOp::mean) {
    return Status(Code::invalid_argument, "--optimizer wants --op sum or mean");
  }
  return Status();
}

// One list: how its values go into a case.
using Setter = std::function<Status(Case&, const std::string&)>;
struct Dimension {
  std::vector<std::string> values;
  Setter set;
};

Status expand(std::span<const Dimension> dimensions, Case& base, std::vector<Case>& out) {
  if (dimensions.empty()) {
    PHUB_TRY(check(base));
    out.push_back(base);
    return Status();
  }
  for (const std::string& value : dimensions.front().values) {
    PHUB_TRY(dimensions.front().set(base, value));
    PHUB_TRY(expand(dimensions.subspan(1), base, out));
  }
  return Status();
}

std::vector<std::string> as_texts(const std::vector<uint64_t>& numbers) {
  std::vector<std::string> texts;
  for (const uint64_t number : numbers) texts.push_back(std::to_string(number));
  return texts;
}

// The lists with numbers are checked before: their texts are plain decimals here.
Setter number_setter(void (*set)(Case&, uint64_t)) {
  return [set](Case& one, const std::string& text) {
    set(one, std::stoull(text));
    return Status();
  };
}

template <typename E, typename Field>
Setter enum_setter(const char* option, E last, Field field) {
  return [=](Case& one, const std::string& text) -> Status {
    PHUB_TRY_ASSIGN(field(one), parse_enum(option, text, last));
    return Status();
  };
}

Status set_model(Case& one, const std::string& name) {
  PHUB_TRY_ASSIGN(one.model, load_model(name));
  return Status();
}

Status set_stores(Case& one, const std::string& text) {
  one.stores = text;
  if (text == "auto" || text == "non_temporal" || text == "ordinary") return Status();
  return Status(Code::invalid_argument,
                "--stores = " + text + ": want auto, non_temporal or ordinary");
}

Status set_fabric(Case& one, const std::string& text) {
  one.fabric = text;
  if (base::find_scheme(text) == nullptr) {
    return Status(Code::invalid_argument,
                  "--fabric = " + text + ": want one of " + base::scheme_names() + ", or all");
  }
  const std::string why = missing_medium(text);
  return why.empty() ? Status() : Status(Code::unavailable, "--fabric = " + why);
}

// "all" stands for every fabric that has its medium here.
std::vector<std::string> fabrics_of(const Arguments& arguments) {
  std::vector<std::string> names;
  for (const std::string& name : arguments.list("fabric")) {
    std::vector<std::string> ignored;
    const std::vector<std::string> more =
        name == "all" ? fabrics_here(ignored) : std::vector<std::string>{name};
    names.insert(names.end(), more.begin(), more.end());
  }
  return names;
}

Status load_profile(const std::string& path, std::vector<Case>& cases) {
  std::ifstream file(path);
  if (!file) return Status(Code::not_found, "--sleep-profile " + path + ": cannot be opened");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  for (Case& one : cases) {
    one.profile = path;
    PHUB_TRY_ASSIGN(one.compute_us, parse_profile(one.model, text));
  }
  return Status();
}

}  // namespace

uint64_t Case::compute_us_total() const {
  return std::accumulate(compute_us.begin(), compute_us.end(), uint64_t{0});
}

std::vector<Flag> case_flags() {
  static const std::string fabrics =
      "between hub and workers: " + base::scheme_names() + "; all: those that work here";
  return {
      {"fabric", fabrics, "shm"},
      {"model", "tables of perf/models, or paths with a '/'", ""},
      {"size", "bytes of one flat tensor, instead of a model", ""},
      {"workers", "ranks", "2"},
      {"hubs", "hubs of the job; 0: one per worker", "1"},
      {"colocated", "hub i on worker i's host: over shared memory for it alone", "", true},
      {"shards", "cores of each hub; 0: all cores, shared out to the hubs", "0"},
      {"tcp-streams", "connections of each link over tcp or tls", "1"},
      {"rails", "NICs of the hub and of each worker over verbs", "1"},
      {"queue-pairs", "of each link and rail over verbs", "1"},
      {"frame-bytes", "of a packet (the MTU) over verbs and dpdk; 0: the most there is", "0"},
      {"chunk-bytes", "bytes of a chunk", "32KiB"},
      {"dtype", "fp32, fp16, bf16, fp64, int32, int64", "fp32"},
      {"op", "sum, mean, min, max, product", "sum"},
      {"optimizer", "none, sgd, momentum, nesterov, adam, adamw", "none"},
      {"stores", "how the hub writes results: auto, non_temporal, ordinary", "auto"},
      {"sleep-profile", "file of tensor_name,microseconds: compute to sleep", ""},
  };
}

Result<std::vector<Case>> parse_cases(const Arguments& arguments) {
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> sizes, arguments.byte_sizes("size"));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> workers, arguments.numbers("workers", 1, 1024));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> hubs, arguments.numbers("hubs", 0, 256));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> shards, arguments.numbers("shards", 0, 1024));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> streams, arguments.numbers("tcp-streams", 1, 16));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> rails, arguments.numbers("rails", 1, 64));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> pairs, arguments.numbers("queue-pairs", 1, 16));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> frames, arguments.numbers("frame-bytes", 0, 65'535));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> chunks, arguments.byte_sizes("chunk-bytes"));
  std::vector<std::string> models = arguments.list("model");
  if (models.empty() == sizes.empty()) {
    return Status(Code::invalid_argument, "give either --model or --size");
  }
  const Setter set_size = [](Case& one, const std::string& text) -> Status {
    PHUB_TRY_ASSIGN(one.model, flat_model(std::stoull(text), size_of(one.type)));
    return Status();
  };
  const Dimension dimensions[] = {
      {arguments.list("dtype"),
       enum_setter(
           "dtype", DataType::int64, [](Case & one) -> auto& { return one.type; })},
      {fabrics_of(arguments), set_fabric},
      {arguments.list("op"),
       enum_setter(
           "op", ReduceOp::product, [](Case & one) -> auto& { return one.op; })},
      {arguments.list("optimizer"), enum_setter(
                                        "optimizer", OptimizerKind::adamw,
                                        [](Case & one) -> auto& { return one.optimizer.kind; })},
      {arguments.list("stores"), set_stores},
      {as_texts(workers),
       number_setter([](Case& one, uint64_t n) { one.workers = static_cast<uint32_t>(n); })},
      {as_texts(hubs), number_setter([](Case& one, uint64_t n) {
         one.form.hubs = n == 0 ? one.workers : static_cast<uint32_t>(n);
       })},
      {as_texts(shards), number_setter([](Case& one, uint64_t n) {
         const uint64_t share = base::allowed_cores().size() / one.form.hubs;
         one.shards = static_cast<uint32_t>(n == 0 ? std::max<uint64_t>(1, share) : n);
       })},
      {as_texts(streams),
       number_setter([](Case& one, uint64_t n) { one.tcp_streams = static_cast<uint32_t>(n); })},
      {as_texts(rails),
       number_setter([](Case& one, uint64_t n) { one.rails = static_cast<uint32_t>(n); })},
      {as_texts(pairs),
       number_setter([](Case& one, uint64_t n) { one.queue_pairs = static_cast<uint32_t>(n); })},
      {as_texts(frames), number_setter([](Case& one, uint64_t n) { one.frame_bytes = n; })},
      {as_texts(chunks), number_setter([](Case& one, uint64_t n) { one.chunk_bytes = n; })},
      {models.empty() ? as_texts(sizes) : models, models.empty() ? set_size : set_model},
  };
  Case base;
  base.form.is_colocated = arguments.is_set("colocated");
  std::vector<Case> cases;
  PHUB_TRY(expand(dimensions, base, cases));
  if (cases.empty()) return Status(Code::invalid_argument, "a list of options is empty");
  if (!arguments.text("sleep-profile").empty()) {
    PHUB_TRY(load_profile(arguments.text("sleep-profile"), cases));
  }
  return cases;
}

std::vector<std::string> to_words(const Case& one) {
  std::vector<std::string> words;
  const auto add = [&](const char* name, std::string value) {
    words.push_back("--" + std::string(name));
    words.push_back(std::move(value));
  };
  if (one.model.name == "flat") {
    add("size", std::to_string(one.bytes()));
  } else {
    add("model", one.model.name);
  }
  add("fabric", one.fabric);
  add("workers", std::to_string(one.workers));
  add("hubs", std::to_string(one.form.hubs));
  if (one.form.is_colocated) words.push_back("--colocated");
  add("shards", std::to_string(one.shards));
  add("tcp-streams", std::to_string(one.tcp_streams));
  add("rails", std::to_string(one.rails));
  add("queue-pairs", std::to_string(one.queue_pairs));
  add("frame-bytes", std::to_string(one.frame_bytes));
  add("chunk-bytes", std::to_string(one.chunk_bytes));
  add("dtype", std::string(to_string(one.type)));
  add("op", std::string(to_string(one.op)));
  add("optimizer", std::string(to_string(one.optimizer.kind)));
  add("stores", one.stores);
  if (!one.profile.empty()) add("sleep-profile", one.profile);
  return words;
}

std::vector<TensorSpec> tensor_specs(const Case& one) {
  std::vector<TensorSpec> specs;
  const int32_t count = static_cast<int32_t>(one.model.tensors.size());
  for (const ModelTensor& tensor : one.model.tensors) {
    TensorSpec spec;
    spec.name = tensor.name;
    spec.type = one.type;
    spec.count = tensor.count;
    spec.op = one.op;
    spec.optimizer = one.optimizer;
    spec.priority = count - static_cast<int32_t>(specs.size());
    specs.push_back(std::move(spec));
  }
  return specs;
}

Result<std::vector<uint64_t>> parse_profile(const Model& model, std::string_view text) {
  std::vector<uint64_t> result(model.tensors.size());
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    const auto bad = [&](const std::string& why) {
      return Status(Code::invalid_argument,
                    "sleep profile, line " + std::to_string(number) + ": " + why);
    };
    const size_t comma = line.rfind(',');
    const char* const end = line.data() + line.size();
    uint64_t us = 0;
    if (comma == std::string::npos ||
        std::from_chars(line.data() + comma + 1, end, us).ptr != end || comma + 1 == line.size()) {
      return bad("\"" + line + "\" is not tensor_name,microseconds");
    }
    const std::string name = line.substr(0, comma);
    const auto tensor = std::find_if(model.tensors.begin(), model.tensors.end(),
                                     [&](const ModelTensor& known) { return known.name == name; });
    if (tensor == model.tensors.end()) {
      return bad("model " + model.name + " has no tensor " + name);
    }
    result[static_cast<size_t>(tensor - model.tensors.begin())] = us;
  }
  return result;
}

}  // namespace phub::perf
