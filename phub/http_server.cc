#include "phub/http_server.h"

#include <httplib.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>

#include "base/log.h"
#include "base/random.h"
#include "base/thread.h"
#include "base/try.h"
#include "exchange/session_auth.h"
#include "phub/json.h"
#include "phub/metrics.h"
#include "phub/new_job.h"

namespace phub::hub {
namespace {

using httplib::Request;
using httplib::Response;

constexpr size_t kThreadCount = 8;  // One is held by each connection, for at most the timeouts.
constexpr time_t kTimeoutSeconds = 2;
constexpr int kListenBacklog = 128;
constexpr std::chrono::seconds kStartTimeout{5};
constexpr const char* kJson = "application/json";
constexpr const char* kText = "text/plain; charset=utf-8";
constexpr const char* kPrometheus = "text/plain; version=0.0.4; charset=utf-8";
// A bounded class: the regular expression cannot be made to backtrack or recurse.
constexpr const char* kJobPath = "/v1/jobs/([A-Za-z0-9._-]{1,64})";

int http_status(Code code) {
  switch (code) {
    case Code::ok:
      return 200;
    case Code::invalid_argument:
      return 400;
    case Code::permission_denied:
      return 403;
    case Code::not_found:
      return 404;
    case Code::already_exists:
    case Code::failed_precondition:
    case Code::aborted:
      return 409;
    case Code::resource_exhausted:
      return 507;
    case Code::unavailable:
      return 503;
    case Code::timed_out:
      return 504;
    case Code::unimplemented:
      return 501;
    case Code::internal:
      return 500;
  }
  return 500;
}

void answer_error(const Status& status, Response& response) {
  response.status = http_status(status.code());
  response.set_content(error_to_json(status), kJson);
}

// What httplib itself refuses, in our form.
Status status_of_http(int http, const Request& request) {
  if (http == 404) {
    return Status(Code::not_found, request.method +
                                       ": no such path; GET /v1/status, /v1/jobs, "
                                       "/v1/version, /metrics and /healthz are there");
  }
  if (http == 413) {
    return Status(Code::invalid_argument,
                  "body: longer than " + std::to_string(kHttpBodyBytesMax) + " bytes; send less");
  }
  if (http >= 500) return Status(Code::internal, "HTTP " + std::to_string(http));
  return Status(Code::invalid_argument, "request: not valid HTTP (" + std::to_string(http) + ")");
}

// The members of an httplib server plus what its handlers need.
class Routes {
 public:
  Routes(Admin& admin, const HttpOptions& options)
      : admin_(admin), program_(options.program), token_(options.token) {}

  void set_token(const std::string& token) {
    const std::scoped_lock lock(mutex_);
    token_ = token;
  }

  void add_to(httplib::Server& server) {
    server.Get("/healthz", handler(&Routes::healthz));
    server.Get("/readyz", handler(&Routes::readyz));
    server.Get("/metrics", handler(&Routes::metrics));
    server.Get("/v1/version", handler(&Routes::version));
    server.Get("/v1/status", handler(&Routes::status));
    server.Get("/v1/jobs", handler(&Routes::jobs));
    server.Get(kJobPath, handler(&Routes::job));
    server.Get(std::string(kJobPath) + "/map", handler(&Routes::map));
    server.Get(std::string(kJobPath) + "/late", handler(&Routes::late));
    server.Post("/v1/jobs", guarded(&Routes::create));
    server.Delete(kJobPath, guarded(&Routes::remove));
    server.Post("/v1/drain", guarded(&Routes::drain));
    server.Post("/v1/undrain", guarded(&Routes::undrain));
    server.Post("/v1/stop", guarded(&Routes::stop));
    server.Post("/v1/reload", guarded(&Routes::reload));
    server.Get("/v1/log-level", handler(&Routes::log_level));
    server.Put("/v1/log-level", guarded(&Routes::set_log_level));
  }

 private:
  using Method = Status (Routes::*)(const Request&, Response&);

  httplib::Server::Handler handler(Method method) {
    return [this, method](const Request& request, Response& response) {
      const Status status = (this->*method)(request, response);
      if (!status.ok()) answer_error(status, response);
    };
  }
  httplib::Server::Handler guarded(Method method) {
    return [this, method](const Request& request, Response& response) {
      // A page in somebody's browser can reach loopback; it always names its origin.
      if (request.has_header("Origin")) {
        return answer_error(
            Status(Code::permission_denied, "requests of web pages are refused; use phubctl"),
            response);
      }
      if (!is_authorized(request)) {
        const bool has_token = request.has_header("Authorization");
        answer_error(Status(Code::permission_denied,
                            request.method + " " + request.path + ": " +
                                (has_token ? "this is not the hub's admin token; " : "") +
                                "needs `Authorization: Bearer TOKEN` with the hub's admin token; "
                                "phubctl takes it with --token-file"),
                     response);
        response.status = 401;
        response.set_header("WWW-Authenticate", "Bearer");
        return;
      }
      base::log(base::LogLevel::info,
                "http: " + request.method + " " + request.path + " from " + request.remote_addr);
      const Status status = (this->*method)(request, response);
      if (!status.ok()) answer_error(status, response);
    };
  }
  bool is_authorized(const Request& request) {
    const std::scoped_lock lock(mutex_);
    if (token_.empty()) return true;
    return exchange::is_equal_secret(request.get_header_value("Authorization"), "Bearer " + token_);
  }

  // A hub that answers is alive, draining or not; one whose control thread is stuck is not.
  Status healthz(const Request&, Response& response) {
    PHUB_TRY_ASSIGN(const HubSnapshot hub, admin_.snapshot());
    response.set_content(hub.is_draining ? "draining\n" : "ok\n", kText);
    return Status();
  }
  Status readyz(const Request&, Response& response) {
    PHUB_TRY_ASSIGN(const HubSnapshot hub, admin_.snapshot());
    if (hub.is_draining) {
      return Status(Code::unavailable, "the hub is draining: it takes no new jobs and ranks");
    }
    response.set_content("ready\n", kText);
    return Status();
  }
  Status metrics(const Request&, Response& response) {
    PHUB_TRY_ASSIGN(const HubSnapshot hub, admin_.snapshot());
    std::vector<JobLateness> lateness;
    for (const JobSnapshot& job : hub.jobs) {
      const Result<std::vector<LateSnapshot>> late = admin_.late(job.name);
      if (late.ok()) lateness.push_back(summarize(job.name, *late));
      if (!late.ok() && late.status().code() != Code::not_found) return late.status();
    }
    response.set_content(to_metrics(hub, lateness), kPrometheus);
    return Status();
  }
  Status version(const Request&, Response& response) {
    PHUB_TRY_ASSIGN(const HubSnapshot hub, admin_.snapshot());
    response.set_content(version_to_json(hub), kJson);
    return Status();
  }
  Status status(const Request&, Response& response) {
    PHUB_TRY_ASSIGN(const HubSnapshot hub, admin_.snapshot());
    response.set_content(to_json(hub), kJson);
    return Status();
  }
  Status jobs(const Request&, Response& response) {
    PHUB_TRY_ASSIGN(const HubSnapshot hub, admin_.snapshot());
    response.set_content(to_json(hub.jobs), kJson);
    return Status();
  }
  static Status no_such_job(const std::string& name) {
    return Status(Code::not_found,
                  "job \"" + name + "\": the hub has no such job; see phubctl jobs");
  }
  static Status about_job(const std::string& name, const Status& status) {
    return status.code() == Code::not_found ? no_such_job(name) : status;
  }
  Status job(const Request& request, Response& response) {
    const std::string name = request.matches[1];
    PHUB_TRY_ASSIGN(const HubSnapshot hub, admin_.snapshot());
    for (const JobSnapshot& job : hub.jobs) {
      if (job.name != name) continue;
      response.set_content(to_json(job), kJson);
      return Status();
    }
    return no_such_job(name);
  }
  Status map(const Request& request, Response& response) {
    const std::string name = request.matches[1];
    const std::string format =
        request.has_param("format") ? request.get_param_value("format") : "text";
    if (format != "text" && format != "json") {
      return Status(Code::invalid_argument, "format: want text or json");
    }
    const Result<std::string> found = admin_.map_text(name);
    if (!found.ok()) return about_job(name, found.status());
    const std::string& text = *found;
    const bool is_json = format == "json";
    response.set_content(is_json ? map_to_json(name, text) : text, is_json ? kJson : kText);
    return Status();
  }
  Status late(const Request& request, Response& response) {
    const std::string name = request.matches[1];
    const Result<std::vector<LateSnapshot>> found = admin_.late(name);
    if (!found.ok()) return about_job(name, found.status());
    const std::vector<LateSnapshot>& late = *found;
    response.set_content(to_json(name, late), kJson);
    return Status();
  }
  Status create(const Request& request, Response& response) {
    PHUB_TRY_ASSIGN(const NewJob job, parse_new_job(request.body));
    PHUB_TRY(admin_.create_job(job.spec));
    response.status = 201;
    response.set_content(created_to_json(job.spec, job.is_secret_ours), kJson);
    return Status();
  }
  Status remove(const Request& request, Response& response) {
    const std::string name = request.matches[1];
    const Status removed = admin_.remove_job(name, "removed by the operator");
    if (!removed.ok()) return about_job(name, removed);
    response.set_content(done_to_json("removed job " + name), kJson);
    return Status();
  }
  Status drain(const Request&, Response& response) {
    PHUB_TRY(admin_.drain());
    response.set_content(done_to_json("draining: no new jobs and ranks; ends with the last job"),
                         kJson);
    return Status();
  }
  Status undrain(const Request&, Response& response) {
    PHUB_TRY(admin_.undrain());
    response.set_content(done_to_json("maintenance is cancelled: the hub takes jobs and ranks"),
                         kJson);
    return Status();
  }
  Status needs_program() const {
    if (program_ != nullptr) return Status();
    return Status(Code::unimplemented,
                  "this hub was not started by phubd: it has no "
                  "configuration and no log of its own");
  }
  Status reload(const Request&, Response& response) {
    PHUB_TRY(needs_program());
    PHUB_TRY_ASSIGN(const config::HubReload reload, program_->reload());
    response.set_content(to_json(reload), kJson);
    return Status();
  }
  Status log_level(const Request&, Response& response) {
    PHUB_TRY(needs_program());
    response.set_content(log_level_to_json(program_->log_level()), kJson);
    return Status();
  }
  Status set_log_level(const Request& request, Response& response) {
    PHUB_TRY(needs_program());
    PHUB_TRY_ASSIGN(const base::LogLevel level, parse_new_log_level(request.body));
    program_->set_log_level(level);
    response.set_content(log_level_to_json(level), kJson);
    return Status();
  }
  Status stop(const Request&, Response& response) {
    PHUB_TRY(admin_.stop());
    response.set_content(done_to_json("stopping"), kJson);
    return Status();
  }

  Admin& admin_;
  ProgramAdmin* const program_;
  std::mutex mutex_;
  std::string token_;  // Guarded by mutex_.
};

// listener: becomes the listening socket when the server binds.
void set_limits(httplib::Server& server, int& listener) {
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreadCount); };
  server.set_payload_max_length(kHttpBodyBytesMax);
  server.set_read_timeout(kTimeoutSeconds);
  server.set_write_timeout(kTimeoutSeconds);
  server.set_keep_alive_timeout(kTimeoutSeconds);
  server.set_keep_alive_max_count(1);  // An idle connection must not hold a thread.
  server.set_tcp_nodelay(true);
  // Without SO_REUSEPORT, which httplib sets by default: a second hub on the same port must fail.
  server.set_socket_options([&listener](socket_t socket) {
    const int on = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    listener = socket;
  });
  server.set_error_handler([](const Request& request, Response& response) {
    if (!response.body.empty()) return;
    const int http = response.status;
    response.set_content(error_to_json(status_of_http(http, request)), kJson);
  });
  server.set_exception_handler([](const Request&, Response& response, std::exception_ptr) {
    answer_error(Status(Code::internal, "request: an exception in its handler; please report it"),
                 response);
  });
}

}  // namespace

struct HttpServer::State {
  State(Admin& admin, const HttpOptions& options)
      : routes(admin, options), address(options.address) {}

  Routes routes;
  httplib::Server server;
  int listener = -1;  // Owned by `server`.
  base::HostPort address;
  base::Thread thread;
};

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() {
  state_->server.stop();
  state_->thread.join();
}

void HttpServer::set_token(const std::string& token) { state_->routes.set_token(token); }

const base::HostPort& HttpServer::address() const { return state_->address; }

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpOptions& options, Admin& admin) {
  const std::string where = "http " + base::to_text(options.address);
  if (options.token.empty() && !base::is_loopback(options.address.host)) {
    return Status(Code::permission_denied,
                  where +
                      ": not a loopback address, so anybody on the network could stop the hub; "
                      "set admin_token_file, or use 127.0.0.1");
  }
  auto state = std::make_unique<State>(admin, options);
  set_limits(state->server, state->listener);
  state->routes.add_to(state->server);
  const int wanted = options.address.port;
  const int port = wanted == 0 ? state->server.bind_to_any_port(options.address.host)
                   : state->server.bind_to_port(options.address.host, wanted) ? wanted
                                                                              : -1;
  if (port <= 0) {
    return Status(Code::unavailable, where +
                                         ": cannot bind: the address is not this machine's, or "
                                         "the port is taken; choose another with --http");
  }
  // httplib queues five connections; beyond that a client would wait for a second SYN.
  ::listen(state->listener, kListenBacklog);
  state->address.port = static_cast<uint16_t>(port);
  httplib::Server* const server = &state->server;
  state->thread = base::Thread("phub-http", -1, [server] { server->listen_after_bind(); });
  // stop() of a server that does not run yet is lost, so wait until it does.
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  while (!server->is_running() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

}  // namespace phub::hub
