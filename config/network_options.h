// The options of phubd that say where its links are. Internal to config/.
#pragma once

#include <phub/status.h>

#include <string_view>

#include "config/hub_config.h"

namespace phub::config {

// As HubOption::apply.
Status apply_advertise(std::string_view value, const Machine& machine, HubConfig& config);
Status apply_port_range(std::string_view value, const Machine& machine, HubConfig& config);
Status apply_tcp_streams(std::string_view value, const Machine& machine, HubConfig& config);

}  // namespace phub::config
