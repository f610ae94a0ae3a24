#include "config/hub_reload.h"

namespace phub::config {
namespace {

// What HubOption::can_reload names, and what follows from it. A test compares the two.
void take_reloadable(const HubConfig& from, HubConfig& to) {
  to.memory_limit_bytes = from.memory_limit_bytes;
  to.job_memory_limit_bytes = from.job_memory_limit_bytes;
  to.jobs_max = from.jobs_max;
  to.sessions_max = from.sessions_max;
  to.peer_timeout_ms = from.peer_timeout_ms;
  to.join_timeout_ms = from.join_timeout_ms;
  to.idle_spin_us = from.idle_spin_us;
  to.can_workers_create = from.can_workers_create;
  to.admin_token = from.admin_token;
  to.log_level = from.log_level;
  to.is_log_json = from.is_log_json;
}

}  // namespace

Result<HubReload> plan_reload(const HubCommand& running, const HubCommand& read) {
  const std::optional<base::HostPort>& http = running.config.http;
  if (read.config.admin_token.empty() && http && !base::is_loopback(http->host)) {
    return Status(Code::invalid_argument,
                  "admin_token_file = none, but http = " + base::to_text(*http) +
                      " is not a loopback address, so anybody on the network could stop the hub; "
                      "give a token file, or restart with http = 127.0.0.1:" +
                      std::to_string(http->port));
  }
  HubReload reload;
  reload.command = running;
  take_reloadable(read.config, reload.command.config);
  for (size_t i = 0; i < reload.command.settings.size(); ++i) {
    HubSetting& holds = reload.command.settings[i];
    const HubSetting& wanted = read.settings[i];
    const OptionChange change{holds.name, holds.text, wanted.text};
    if (holds.text != wanted.text) {
      (holds.can_reload ? reload.applied : reload.needs_restart).push_back(change);
      if (holds.can_reload) holds.text = wanted.text;
    } else if (holds.name == "admin_token_file" &&
               running.config.admin_token != read.config.admin_token) {
      reload.applied.push_back({change.option, change.from, change.to + " (its new content)"});
    }
  }
  return reload;
}

std::string applied_text(const OptionChange& change) {
  return change.option + ": " + change.from + " -> " + change.to;
}

std::string needs_restart_text(const OptionChange& change) {
  return applied_text(change) + " needs a restart; still " + change.from;
}

}  // namespace phub::config
