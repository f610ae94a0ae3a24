// phubd: the hub as a program. See docs/operations.md.
//
//   SIGTERM, SIGINT: drain; a second one: stop at once. SIGHUP: read the configuration again. Exit
//   status: 0 ended cleanly, 1 could not start or failed, 2 wrong option.
#include <malloc.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/try.h"
#include "config/hub_config.h"
#include "phub/http_server.h"
#include "phub/hub.h"
#include "phub/program.h"
#include "phub/program_log.h"
#include "phub/service_manager.h"

namespace phub::hub {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// SIGTERM, SIGINT and SIGHUP as a descriptor. Called before any thread starts, so that none of them
// takes the signals itself.
Result<base::Fd> catch_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  base::Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd.valid()) return Status(Code::internal, "signalfd: " + base::errno_text());
  return fd;
}

// A drain may have been cancelled since (phubctl undrain). A hub that does not answer is not asked
// twice.
bool still_drains(Admin& hub) {
  const Result<HubSnapshot> snapshot = hub.snapshot();
  return !snapshot.ok() || snapshot->is_draining;
}

// Runs until `end` is signalled: the first signal drains the hub, the next one stops it.
void obey_signals(int signals, int end, Admin& hub, ProgramAdmin& program) {
  bool is_draining = false;
  pollfd fds[] = {{signals, POLLIN, 0}, {end, POLLIN, 0}};
  while (true) {
    if (::poll(fds, 2, -1) < 0) continue;  // EINTR.
    if ((fds[1].revents & POLLIN) != 0) return;
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof(info)) != sizeof(info)) continue;
    if (info.ssi_signo == SIGHUP) {
      [[maybe_unused]] const auto reload = program.reload();  // The log has its result.
      continue;
    }
    is_draining = is_draining && still_drains(hub);
    const char* const name = info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM";
    const Status status = is_draining ? hub.stop() : hub.drain();
    base::log(
        base::LogLevel::warning,
        std::string(name) + (is_draining ? ": stopping at once"
                                         : ": draining; the hub ends with its last job, or at "
                                           "once at a second signal"));
    if (!status.ok()) base::log(base::LogLevel::error, status.message());
    is_draining = true;
  }
}

// One line for people and for whoever started this process and waits for it.
void say_ready(const config::HubCommand& command, const Hub& hub, const HttpServer* http) {
  const std::string line = std::string("phubd ") + version() + " ready: " + hub.listen_text() +
                           ", http " + (http == nullptr ? "off" : base::to_text(http->address())) +
                           ", " + std::to_string(command.config.shards) +
                           (command.config.shards == 1 ? " shard" : " shards") + "\n";
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
  if (command.ready_fd < 0) return;
  const base::Fd ready(command.ready_fd);
  if (::write(ready.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    base::log(base::LogLevel::warning,
              "--ready-fd = " + std::to_string(command.ready_fd) + ": " + base::errno_text());
  }
}

Status run(const config::HubCommand& command, Program& program) {
  PHUB_TRY_ASSIGN(const base::Fd signals, catch_signals());
  PHUB_TRY_ASSIGN(const base::Fd end, base::make_event_fd());
  PHUB_TRY_ASSIGN(const std::unique_ptr<Hub> hub, Hub::start(command.config));
  std::unique_ptr<HttpServer> http;
  if (command.config.http) {
    PHUB_TRY_ASSIGN(http, HttpServer::start(
                              {*command.config.http, command.config.admin_token, &program}, *hub));
  }
  program.begin([&](const config::HubConfig& config) {
    PHUB_TRY(hub->change(config));
    if (http != nullptr) http->set_token(config.admin_token);
    return Status();
  });
  PHUB_TRY_ASSIGN(const std::unique_ptr<ServiceManager> service, ServiceManager::start(*hub));
  base::Thread obey("phub-signals", -1,
                    [&] { obey_signals(signals.get(), end.get(), *hub, program); });
  say_ready(command, *hub, http.get());
  const Status status = hub->wait();
  program.end();
  base::signal_event(end.get());
  obey.join();
  return status;
}

int main_of(const std::vector<std::string>& arguments) {
  const Result<config::HubCommand> command =
      config::parse_hub_command(arguments, config::this_environment(), config::this_machine());
  if (!command.ok()) {
    std::fprintf(stderr, "phubd: %s\n", command.status().message().c_str());
    return kExitUsage;
  }
  if (command->wants_help) {
    std::printf(
        "phubd [OPTIONS]: sums gradients for the ranks of many jobs\n\n"
        "  --config FILE  NAME = VALUE lines; environment (PHUBD_NAME) and options override\n"
        "  --ready-fd N   Write a line to this descriptor when ranks can join\n"
        "  --print-config  Print all of this as a configuration file, and end\n"
        "  --version      Print the version, and end\n%s\n"
        "SIGHUP or phubctl reload reads the configuration again: options marked SIGHUP change,\n"
        "the others at the next start\n",
        config::hub_options_text().c_str());
    return 0;
  }
  if (command->wants_version) {
    std::printf("phubd %s\n", version());
    return 0;
  }
  if (command->wants_config) {
    std::fputs(config::hub_config_text(command->settings).c_str(), stdout);
    return 0;
  }
  start_log(command->config.log_level, command->config.is_log_json);
  Program program(arguments, config::this_environment(), *command);
  const Status status = run(*command, program);
  stop_log();
  if (status.ok()) return 0;
  std::fprintf(stderr, "phubd: %s\n", status.message().c_str());
  return kExitFailed;
}

}  // namespace
}  // namespace phub::hub

int main(int argument_count, char** arguments) {
  // What passes through the hub while a job is set up goes back to the system when freed: big
  // blocks at once, the rest by malloc_trim(), which cannot shrink the arenas of threads. One arena
  // is enough: the data path allocates nothing.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 10);
  ::mallopt(M_ARENA_MAX, 1);
  return phub::hub::main_of(std::vector<std::string>(arguments + 1, arguments + argument_count));
}
