#include "phub/phubctl_drain.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "phub/phubctl_client.h"
#include "phub/phubctl_tables.h"
#include "phub/table.h"

namespace phub::hub {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kInterval{250};
constexpr size_t kJobsNamed = 8;

// What of /v1/status the waiting goes by.
struct Drain {
  bool is_draining = false;
  double uptime_seconds = 0;
  std::string waits_for;
};

// Ranks that are on their way into the job, if there are any.
std::string joined_text(const Json& job) {
  const auto joined = job.at("ranks_joined").get<uint64_t>();
  return joined == job.at("ranks_ready").get<uint64_t>()
             ? ""
             : ", " + std::to_string(joined) + " joined";
}

std::string jobs_text(const Json& jobs) {
  if (jobs.empty()) return "its last words";
  std::string text = std::to_string(jobs.size()) + (jobs.size() == 1 ? " job:" : " jobs:");
  for (size_t i = 0; i < std::min(jobs.size(), kJobsNamed); ++i) {
    const Json& job = jobs[i];
    text += std::string(i == 0 ? " " : ", ") + printable(job.at("name").get<std::string>()) + " (" +
            job.at("state").get<std::string>() + ", " + job.at("ranks_ready").dump() + " of " +
            job.at("rank_count").dump() + " ranks ready" + joined_text(job) + ")";
  }
  if (jobs.size() > kJobsNamed) {
    text += " and " + std::to_string(jobs.size() - kJobsNamed) + " more";
  }
  return text;
}

Result<Drain> read_drain(const std::string& json) {
  try {
    const Json hub = Json::parse(json);
    return Drain{hub.at("is_draining").get<bool>(), hub.at("uptime_seconds").get<double>(),
                 jobs_text(hub.at("jobs"))};
  } catch (const Json::exception& error) {
    return Status(Code::invalid_argument,
                  "the hub's answer is not understood (" + std::string(error.what()) +
                      "); is it a PHub of the same version? see phubctl version");
  }
}

CtlResult done(const CtlReply& reply, const std::string& where) {
  if (reply.is_gone) return {CtlExit::done, where + " has ended\n", ""};
  return {reply.exit, "", reply.error};
}

}  // namespace

Result<std::string> waiting_text(const std::string& json) {
  const Result<Drain> drain = read_drain(json);
  if (!drain.ok()) return drain.status();
  return drain->waits_for;
}

CtlResult drain_and_wait(const config::CtlCommand& command,
                         const std::function<void(const std::string&)>& say) {
  const Clock::time_point start = Clock::now();
  const std::string where = hub_text(command);
  const CtlReply drained = ask(command, {"POST", "/v1/drain", ""});
  if (drained.exit != CtlExit::done) return {drained.exit, "", drained.error};
  double uptime_seconds = 0;
  std::string said;
  while (true) {
    const CtlReply reply = ask(command, {"GET", "/v1/status", ""});
    if (reply.is_gone) return done(reply, where);
    // A hub in its last moments may leave a request unanswered: the next try tells.
    const Result<Drain> drain = reply.exit == CtlExit::done
                                    ? read_drain(reply.body)
                                    : Result<Drain>(Drain{true, uptime_seconds, said});
    if (!drain.ok()) return {CtlExit::refused, "", where + ": " + drain.status().message()};
    if (drain->uptime_seconds < uptime_seconds) {
      return {CtlExit::done, where + " has ended; a new one answers there\n", ""};
    }
    if (!drain->is_draining) {
      return {CtlExit::refused, "", where + ": somebody has cancelled the drain (undrain)"};
    }
    uptime_seconds = drain->uptime_seconds;
    if (drain->waits_for != said) say("waits for " + drain->waits_for + "\n");
    said = drain->waits_for;
    if (command.wait_ms && Clock::now() - start >= std::chrono::milliseconds(*command.wait_ms)) {
      return {CtlExit::timed_out, "",
              where + ": still waits for " + said + " after " + std::to_string(*command.wait_ms) +
                  " ms; it goes on draining: wait again, cancel with phubctl undrain, or end it "
                  "with phubctl stop"};
    }
    std::this_thread::sleep_for(kInterval);
  }
}

}  // namespace phub::hub
