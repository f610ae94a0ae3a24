#include "phub/phubctl.h"

#include <httplib.h>

#include <nlohmann/json.hpp>

#include "config/ctl_config.h"
#include "phub/phubctl_plan.h"
#include "phub/phubctl_tables.h"

namespace phub::hub {
namespace {

using config::CtlCommand;
using config::CtlVerb;

constexpr time_t kConnectSeconds = 2;
constexpr time_t kAnswerSeconds = 10;  // Longer than the hub takes for any request.

// How a verb becomes a request, and its reply text.
struct Request {
  std::string method = "GET";
  std::string path;
  std::string body;
  Result<std::string> (*render)(const std::string&) = nullptr;  // Null: the reply as it is.
};

std::string create_body(const CtlCommand& command) {
  nlohmann::ordered_json body = {{"name", command.job},
                                 {"rank_count", command.plan.rank_count},
                                 {"chunk_elements", command.plan.chunk_elements}};
  if (!command.secret.empty()) body["secret"] = command.secret;
  return body.dump();
}

Request request_of(const CtlCommand& command) {
  const std::string job_path = "/v1/jobs/" + command.job;
  switch (command.verb) {
    case CtlVerb::status:
      return {"GET", "/v1/status", "", status_table};
    case CtlVerb::jobs:
      return {"GET", "/v1/jobs", "", jobs_table};
    case CtlVerb::job:
      return {"GET", job_path, "", job_table};
    case CtlVerb::map:
      return {"GET", job_path + (command.wants_json ? "/map?format=json" : "/map"), "", nullptr};
    case CtlVerb::late:
      return {"GET", job_path + "/late", "", late_table};
    case CtlVerb::create:
      return {"POST", "/v1/jobs", create_body(command), created_text};
    case CtlVerb::remove:
      return {"DELETE", job_path, "", done_text};
    case CtlVerb::drain:
      return {"POST", "/v1/drain", "", done_text};
    case CtlVerb::stop:
      return {"POST", "/v1/stop", "", done_text};
    case CtlVerb::version:
      return {"GET", "/v1/version", "", version_text};
    case CtlVerb::metrics:
      return {"GET", "/metrics", "", nullptr};
    case CtlVerb::help:
    case CtlVerb::plan:
      break;  // Answered without a hub.
  }
  return {};
}

httplib::Result send(const CtlCommand& command, const Request& request) {
  httplib::Client client(command.http.host, command.http.port);
  client.set_connection_timeout(kConnectSeconds);
  client.set_read_timeout(kAnswerSeconds);
  client.set_write_timeout(kConnectSeconds);
  httplib::Headers headers;
  if (!command.token.empty()) headers.emplace("Authorization", "Bearer " + command.token);
  if (request.method == "POST") {
    return client.Post(request.path, headers, request.body, "application/json");
  }
  if (request.method == "DELETE") return client.Delete(request.path, headers);
  return client.Get(request.path, headers);
}

const char* reason_of(httplib::Error error) {
  switch (error) {
    case httplib::Error::Connection:
    case httplib::Error::ConnectionTimeout:
      return "nothing accepts connections";
    case httplib::Error::Read:
      return "no answer in time, or the connection was closed";
    default:
      return "the request could not be sent";
  }
}

CtlResult ask_hub(const CtlCommand& command) {
  const Request request = request_of(command);
  const std::string where = "hub at http " + base::to_text(command.http);
  const httplib::Result reply = send(command, request);
  if (!reply) {
    return {CtlExit::no_hub, "",
            where + ": " + reason_of(reply.error()) +
                "; is phubd running there? choose another with --http or PHUB_HTTP"};
  }
  if (reply->status < 200 || reply->status > 299) {
    return {CtlExit::refused, "", where + ": " + error_text(reply->body)};
  }
  if (command.wants_json || request.render == nullptr) return {CtlExit::done, reply->body, ""};
  const Result<std::string> text = request.render(reply->body);
  if (!text.ok()) return {CtlExit::refused, "", where + ": " + text.status().message()};
  return {CtlExit::done, *text, ""};
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
  CtlResult result = ask_hub(*command);
  if (command->verb == CtlVerb::version && !command->wants_json) {
    result.output = "phubctl " PHUB_VERSION "\n" + result.output;
  }
  return result;
}

}  // namespace phub::hub
