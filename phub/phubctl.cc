#include "phub/phubctl.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "config/ctl_config.h"
#include "phub/phubctl_client.h"
#include "phub/phubctl_doctor.h"
#include "phub/phubctl_drain.h"
#include "phub/phubctl_plan.h"
#include "phub/phubctl_tables.h"
#include "phub/phubctl_top.h"

namespace phub::hub {
namespace {

using config::CtlCommand;
using config::CtlVerb;

// How a verb becomes a request, and its reply text.
struct Request : CtlRequest {
  Result<std::string> (*render)(const std::string&) = nullptr;  // Null: the reply as it is.
};

std::string create_body(const CtlCommand& command) {
  nlohmann::ordered_json body = {{"name", command.job},
                                 {"rank_count", command.plan.rank_count},
                                 {"chunk_elements", command.plan.chunk_elements}};
  if (!command.secret.empty()) body["secret"] = command.secret;
  return body.dump();
}

std::string level_body(base::LogLevel level) {
  return nlohmann::json{{"level", to_string(level)}}.dump();
}

Request request_of(const CtlCommand& command) {
  const std::string job_path = "/v1/jobs/" + command.job;
  switch (command.verb) {
    case CtlVerb::status:
      return {{"GET", "/v1/status", ""}, status_table};
    case CtlVerb::jobs:
      return {{"GET", "/v1/jobs", ""}, jobs_table};
    case CtlVerb::job:
      return {{"GET", job_path, ""}, job_table};
    case CtlVerb::map:
      return {{"GET", job_path + (command.wants_json ? "/map?format=json" : "/map"), ""}, nullptr};
    case CtlVerb::late:
      return {{"GET", job_path + "/late", ""}, late_table};
    case CtlVerb::create:
      return {{"POST", "/v1/jobs", create_body(command)}, created_text};
    case CtlVerb::remove:
      return {{"DELETE", job_path, ""}, done_text};
    case CtlVerb::drain:
      return {{"POST", "/v1/drain", ""}, done_text};
    case CtlVerb::undrain:
      return {{"POST", "/v1/undrain", ""}, done_text};
    case CtlVerb::reload:
      return {{"POST", "/v1/reload", ""}, reload_text};
    case CtlVerb::log_level:
      if (!command.log_level) return {{"GET", "/v1/log-level", ""}, log_level_text};
      return {{"PUT", "/v1/log-level", level_body(*command.log_level)}, log_level_text};
    case CtlVerb::stop:
      return {{"POST", "/v1/stop", ""}, done_text};
    case CtlVerb::version:
      return {{"GET", "/v1/version", ""}, version_text};
    case CtlVerb::metrics:
      return {{"GET", "/metrics", ""}, nullptr};
    case CtlVerb::help:
    case CtlVerb::plan:
    case CtlVerb::top:
    case CtlVerb::doctor:
      break;  // Answered without a hub, or by more than one request.
  }
  return {};
}

CtlResult ask_hub(const CtlCommand& command) {
  const Request request = request_of(command);
  const CtlReply reply = ask(command, request);
  if (reply.exit != CtlExit::done) return {reply.exit, "", reply.error};
  if (command.wants_json || request.render == nullptr) return {CtlExit::done, reply.body, ""};
  const Result<std::string> text = request.render(reply.body);
  if (!text.ok()) {
    return {CtlExit::refused, "", hub_text(command) + ": " + text.status().message()};
  }
  return {CtlExit::done, *text, ""};
}

// Progress of a command that takes long.
void say(const std::string& line) {
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace

CtlResult run_phubctl(std::span<const std::string> arguments,
                      std::span<const std::string> environment) {
  const Result<CtlCommand> command = config::parse_ctl_command(arguments, environment);
  if (!command.ok()) return {CtlExit::usage, "", command.status().message()};
  if (command->verb == CtlVerb::help) return {CtlExit::done, config::ctl_usage(), ""};
  if (command->verb == CtlVerb::plan) {
    const Result<std::string> text = plan_text(command->plan, command->wants_json);
    if (!text.ok()) return {CtlExit::refused, "", text.status().message()};
    return {CtlExit::done, *text, ""};
  }
  if (command->verb == CtlVerb::drain && command->wants_wait) return drain_and_wait(*command, say);
  if (command->verb == CtlVerb::top) return run_top(*command);
  if (command->verb == CtlVerb::doctor) return run_doctor(*command);
  CtlResult result = ask_hub(*command);
  if (command->verb == CtlVerb::version && !command->wants_json) {
    result.output = "phubctl " PHUB_VERSION "\n" + result.output;
  }
  return result;
}

}  // namespace phub::hub
