// One line of results: as JSON for programs, as a table for people.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace phub::perf {

// What was exchanged, by whom, and how long it took. Fields are the JSON's, docs/performance.md
// explains each.
struct Row {
  std::string system;  // phub, openmpi, gloo.
  std::string algorithm;
  std::string fabric;
  std::string model;
  uint64_t bytes = 0;  // Per rank.
  uint64_t count = 0;  // Elements per rank.
  uint32_t tensors = 1;
  std::string dtype;
  std::string op;
  std::string optimizer = "none";
  std::string stores;
  uint32_t workers = 0;
  uint32_t hubs = 0;
  std::string form;  // NCC, NCS, CC, CS; see form.h. phub only.
  uint32_t shards = 0;
  uint64_t chunk_bytes = 0;
  double compute_us = 0;  // Slept per round, in time_us; 0: zero-compute.
  uint64_t samples = 0;
  double time_us_min = 0;
  double time_us_p50 = 0;
  double time_us_p99 = 0;
  double algbw_GBps = 0;
  double busbw_GBps = 0;
  double hubbw_GBps = 0;
  double roof_us = 0;  // The hub's bound for these bytes and ranks on this machine.
  double roof_percent = 0;
  uint64_t wrong = 0;
  uint64_t hub_plan_bytes = 0;   // What the hub's memory plan says; phub only.
  uint64_t hub_start_bytes = 0;  // Private memory of the hub before the job.
  uint64_t hub_warm_bytes = 0;   // After the warm-up.
  uint64_t hub_end_bytes = 0;    // After the last round.
  // Over TCP, per exchange, both directions: the busiest host with a hub, and with a worker only.
  double hub_host_bytes = 0;
  double worker_host_bytes = 0;
  double hub_idle_percent = -1;  // Of one core, with all workers connected and idle; -1: not asked.
  std::string revision;
  std::string machine;
};

std::string to_json_line(const Row& row);
// Unknown fields are skipped, missing ones keep their default. invalid_argument: not an object, or
// a field of another type.
Result<Row> parse_row(std::string_view line);
// A JSON Lines file. not_found, or what parse_row says, with the line.
Result<std::vector<Row>> load_rows(const std::string& path);

// Fills the bandwidths and roof_percent from bytes, workers, time_us_p50 and roof_us.
void derive(Row& row);

std::string table_header();  // Two lines, with #.
std::string table_line(const Row& row);

}  // namespace phub::perf
