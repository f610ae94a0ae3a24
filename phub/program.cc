#include "phub/program.h"

#include "base/try.h"
#include "phub/program_log.h"

namespace phub::hub {

using base::LogLevel;

Program::Program(std::vector<std::string> arguments, std::vector<std::string> environment,
                 config::HubCommand command)
    : arguments_(std::move(arguments)),
      environment_(std::move(environment)),
      running_(std::move(command)) {}

void Program::begin(std::function<Status(const config::HubConfig&)> apply) {
  const std::scoped_lock lock(mutex_);
  apply_ = std::move(apply);
}

void Program::end() { begin({}); }

Result<config::HubReload> Program::reload() {
  Result<config::HubReload> reload = try_reload();
  if (!reload.ok()) {
    base::log(LogLevel::error, "reload: nothing has changed: " + reload.status().message());
    return reload;
  }
  for (const config::OptionChange& change : reload->applied) {
    base::log(LogLevel::warning, "reload: " + config::applied_text(change));
  }
  for (const config::OptionChange& change : reload->needs_restart) {
    base::log(LogLevel::warning, "reload: " + config::needs_restart_text(change));
  }
  if (reload->applied.empty() && reload->needs_restart.empty()) {
    base::log(LogLevel::warning, "reload: the configuration is as before");
  }
  return reload;
}

Result<config::HubReload> Program::try_reload() {
  const std::scoped_lock lock(mutex_);
  if (!apply_) return Status(Code::unavailable, "phubd is starting or ending; try again");
  PHUB_TRY_ASSIGN(const config::HubCommand read,
                  config::parse_hub_command(arguments_, environment_, config::this_machine()));
  PHUB_TRY_ASSIGN(config::HubReload reload, config::plan_reload(running_, read));
  PHUB_TRY(apply_(reload.command.config));
  start_log(reload.command.config.log_level, reload.command.config.is_log_json);
  running_ = reload.command;
  return reload;
}

LogLevel Program::log_level() {
  const std::scoped_lock lock(mutex_);
  return running_.config.log_level;
}

void Program::set_log_level(LogLevel level) {
  const std::scoped_lock lock(mutex_);
  running_.config.log_level = level;
  for (config::HubSetting& setting : running_.settings) {
    if (setting.name == "log_level") setting.text = to_string(level);
  }
  start_log(level, running_.config.is_log_json);
}

}  // namespace phub::hub
