// The table of phubd's options: one row each, read by the parser, by --help and by the tests.
// Internal to config/.
#pragma once

#include <span>
#include <string_view>

#include "config/hub_config.h"

namespace phub::config {

struct HubOption {
  std::string_view name;  // As in a file; dashes for underscores on the command line, PHUBD_ and
                          // capitals in the environment.
  std::string_view argument;  // What the value looks like.
  std::string_view help;
  std::string_view fallback;  // The default, as it may be written: "50%", "none".
  Status (*apply_to_hub)(std::string_view value, const Machine& machine, HubConfig& config);
  bool can_reload = false;  // Takes effect in a running hub (SIGHUP); else at the next start.
  const DeviceOption* device = nullptr;  // One that workers have as well: then it applies itself.

  // Sets the field. invalid_argument: a phrase that fits behind `NAME = VALUE`: " is not ..." or
  // ", but ...". Not called for the fallback, which needs not be a value of the kind.
  Status apply(std::string_view value, const Machine& machine, HubConfig& config) const {
    if (device != nullptr) return device->apply(value, config.devices);
    return apply_to_hub(value, machine, config);
  }
};

std::span<const HubOption> hub_options();
const HubOption* find_hub_option(std::string_view name);  // Null if there is none.

}  // namespace phub::config
