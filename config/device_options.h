// The options of the fabrics that drive devices themselves, rdma_* and dpdk_*: one table, read by
// phubd (command line, environment, file) and by workers (environment, WorkerOptions::network).
#pragma once

#include <phub/status.h>

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "config/dpdk_options.h"
#include "config/rdma_options.h"

namespace phub::config {

struct DeviceOptions {
  RdmaOptions rdma;
  DpdkOptions dpdk;

  bool operator==(const DeviceOptions&) const = default;
};

struct DeviceOption {
  std::string_view name;      // As in phubd's file: "rdma_mtu".
  std::string_view argument;  // What the value looks like.
  std::string_view help;
  std::string_view fallback;  // The default, as it may be written.
  // Sets the field. invalid_argument: a phrase that fits behind `NAME = VALUE`: " is not ...". Not
  // called for the fallback.
  Status (*apply)(std::string_view value, DeviceOptions& options);
};

std::span<const DeviceOption> device_options();
const DeviceOption* find_device_option(std::string_view name);  // Null if there is none.

// "PHUB_RDMA_MTU": where workers read the option.
std::string worker_variable(const DeviceOption& option);

// Options by their names. invalid_argument: an unknown name, a wrong value, or values that do not
// fit together; a whole sentence.
Result<DeviceOptions> parse_device_options(const std::map<std::string, std::string>& texts);
// invalid_argument: the values do not fit together; a whole sentence.
Status check_device_options(const DeviceOptions& options);

}  // namespace phub::config
