#include "phub/phubctl_client.h"

#include <httplib.h>

#include "phub/phubctl_tables.h"

namespace phub::hub {
namespace {

constexpr time_t kConnectSeconds = 2;
constexpr time_t kAnswerSeconds = 10;  // Longer than the hub takes for any request.

httplib::Result send(const config::CtlCommand& command, const CtlRequest& request) {
  httplib::Client client(command.http.host, command.http.port);
  client.set_connection_timeout(kConnectSeconds);
  client.set_read_timeout(kAnswerSeconds);
  client.set_write_timeout(kConnectSeconds);
  httplib::Headers headers;
  if (!command.token.empty()) headers.emplace("Authorization", "Bearer " + command.token);
  if (request.method == "POST") {
    return client.Post(request.path, headers, request.body, "application/json");
  }
  if (request.method == "PUT") {
    return client.Put(request.path, headers, request.body, "application/json");
  }
  if (request.method == "DELETE") return client.Delete(request.path, headers);
  return client.Get(request.path, headers);
}

bool is_gone(httplib::Error error) {
  return error == httplib::Error::Connection || error == httplib::Error::ConnectionTimeout;
}

const char* reason_of(httplib::Error error) {
  if (is_gone(error)) return "nothing accepts connections";
  return error == httplib::Error::Read ? "no answer in time, or the connection was closed"
                                       : "the request could not be sent";
}

}  // namespace

std::string hub_text(const config::CtlCommand& command) {
  return "hub at http " + base::to_text(command.http);
}

CtlReply ask(const config::CtlCommand& command, const CtlRequest& request) {
  const httplib::Result reply = send(command, request);
  if (!reply) {
    return {CtlExit::no_hub, "",
            hub_text(command) + ": " + reason_of(reply.error()) +
                "; is phubd running there? choose another with --http or PHUB_HTTP",
            is_gone(reply.error())};
  }
  if (reply->status < 200 || reply->status > 299) {
    return {CtlExit::refused, "", hub_text(command) + ": " + error_text(reply->body)};
  }
  return {CtlExit::done, reply->body, ""};
}

}  // namespace phub::hub
