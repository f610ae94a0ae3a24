#include "perf/row.h"

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "perf/statistics.h"

namespace phub::perf {
namespace {

// Calls visit(name, field) for every field, in the order of the JSON.
template <typename R, typename Visit>
void each_field(R& row, Visit&& visit) {
  visit("system", row.system);
  visit("algorithm", row.algorithm);
  visit("fabric", row.fabric);
  visit("model", row.model);
  visit("bytes", row.bytes);
  visit("count", row.count);
  visit("tensors", row.tensors);
  visit("dtype", row.dtype);
  visit("op", row.op);
  visit("optimizer", row.optimizer);
  visit("stores", row.stores);
  visit("workers", row.workers);
  visit("hubs", row.hubs);
  visit("form", row.form);
  visit("shards", row.shards);
  visit("chunk_bytes", row.chunk_bytes);
  visit("compute_us", row.compute_us);
  visit("samples", row.samples);
  visit("time_us_min", row.time_us_min);
  visit("time_us_p50", row.time_us_p50);
  visit("time_us_p99", row.time_us_p99);
  visit("algbw_GBps", row.algbw_GBps);
  visit("busbw_GBps", row.busbw_GBps);
  visit("hubbw_GBps", row.hubbw_GBps);
  visit("roof_us", row.roof_us);
  visit("roof_percent", row.roof_percent);
  visit("wrong", row.wrong);
  visit("hub_plan_bytes", row.hub_plan_bytes);
  visit("hub_start_bytes", row.hub_start_bytes);
  visit("hub_warm_bytes", row.hub_warm_bytes);
  visit("hub_end_bytes", row.hub_end_bytes);
  visit("hub_host_bytes", row.hub_host_bytes);
  visit("worker_host_bytes", row.worker_host_bytes);
  visit("hub_idle_percent", row.hub_idle_percent);
  visit("revision", row.revision);
  visit("machine", row.machine);
}

template <typename T>
bool fits(const nlohmann::json& value) {
  if constexpr (std::is_same_v<T, std::string>) return value.is_string();
  if constexpr (std::is_same_v<T, double>) return value.is_number();
  return value.is_number_unsigned();
}

}  // namespace

std::string to_json_line(const Row& row) {
  nlohmann::ordered_json object;
  each_field(row, [&](const char* name, const auto& field) { object[name] = field; });
  return object.dump();
}

Result<Row> parse_row(std::string_view line) {
  const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
  if (!object.is_object()) return Status(Code::invalid_argument, "not a JSON object");
  Row row;
  std::string bad;
  each_field(row, [&](const char* name, auto& field) {
    using Field = std::remove_reference_t<decltype(field)>;
    const auto found = object.find(name);
    if (found == object.end()) return;
    if (fits<Field>(*found)) {
      field = found->template get<Field>();
    } else {
      bad = name;
    }
  });
  if (!bad.empty()) {
    return Status(Code::invalid_argument, "field " + bad + " has another type");
  }
  return row;
}

Result<std::vector<Row>> load_rows(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Status(Code::not_found, "results " + path + ": cannot be opened");
  std::vector<Row> rows;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    Result<Row> row = parse_row(line);
    if (!row.ok()) return row.status().with_context(path + ", line " + std::to_string(number));
    rows.push_back(*std::move(row));
  }
  return rows;
}

void derive(Row& row) {
  const Bandwidth speed = bandwidth(row.bytes, row.workers, row.time_us_p50);
  row.algbw_GBps = speed.alg;
  row.busbw_GBps = speed.bus;
  row.hubbw_GBps = speed.hub;
  row.roof_percent = row.time_us_p50 > 0 ? 100 * row.roof_us / row.time_us_p50 : 0;
}

std::string table_header() {
  char lines[400];
  const auto line = [&](const char* format, auto... names) {
    std::snprintf(lines, sizeof(lines), format, names...);
    return std::string(lines);
  };
  const char* const format =
      "%-8s %-6s %-13s %12s %12s %6s %7s %9s %3s %6s %8s %9s %9s %8s %7s %7s %6s %7s  %s\n";
  return line(format, "# system", "fabric", "model", "size", "count", "type", "redop", "optimizer",
              "n", "shards", "chunk", "p50", "p99", "algbw", "busbw", "hubbw", "%roof", "#wrong",
              "algorithm") +
         line(format, "#", "", "", "(B)", "(elements)", "", "", "", "", "", "(B)", "(us)", "(us)",
              "(GB/s)", "(GB/s)", "(GB/s)", "", "", "");
}

std::string table_line(const Row& row) {
  const auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  char line[400];
  std::snprintf(
      line, sizeof(line),
      "%-8s %-6s %-13s %12llu %12llu %6s %7s %9s %3u %6u %8llu %9.1f %9.1f %8.2f %7.2f %7.2f "
      "%6.1f %7llu  %s\n",
      row.system.c_str(), row.fabric.c_str(), row.model.c_str(), number(row.bytes),
      number(row.count), row.dtype.c_str(), row.op.c_str(), row.optimizer.c_str(), row.workers,
      row.shards, number(row.chunk_bytes), row.time_us_p50, row.time_us_p99, row.algbw_GBps,
      row.busbw_GBps, row.hubbw_GBps, row.roof_percent, number(row.wrong), row.algorithm.c_str());
  return line;
}

}  // namespace phub::perf
