#include "phub/phubctl_doctor.h"

#include <unistd.h>

#include <cstdlib>

#include "base/list.h"
#include "config/hub_config.h"
#include "phub/doctor/checks.h"
#include "phub/doctor/report.h"
#include "phub/phubctl_client.h"
#include "phub/table.h"

namespace phub::hub {
namespace {

constexpr std::chrono::milliseconds kProbePatience{3000};

doctor::Door knock(const config::CtlCommand& command) {
  doctor::Door door;
  door.address = base::to_text(command.http);
  door.is_given = command.is_http_given;
  const CtlReply reply = ask(command, {"GET", "/healthz", ""});
  door.has_answered = reply.exit == CtlExit::done;
  door.answer = reply.is_gone ? "nothing accepts connections"
                              : printable(door.has_answered ? reply.body : reply.error);
  if (door.has_answered && reply.body.ends_with('\n')) door.answer.pop_back();
  return door;
}

// Each of a job's hubs is in the worker's way.
void probe_hubs(const std::string& list, doctor::Facts& facts) {
  for (const std::string& uri : base::split_list(list)) {
    doctor::HubProbe probe = doctor::probe_hub(uri, kProbePatience);
    if (facts.hub.reach == doctor::Reach::not_asked) {
      facts.hub = std::move(probe);
    } else {
      facts.other_hubs.push_back(std::move(probe));
    }
  }
}

}  // namespace

CtlResult run_doctor(const config::CtlCommand& command) {
  doctor::Facts facts;
  facts.shards = config::this_machine().core_count;  // As phubd chooses.
  facts.sessions_max = config::HubConfig().sessions_max;
  doctor::read_files("", facts);
  doctor::try_machine(facts);
  if (const char* const gid = std::getenv("PHUB_RDMA_GID")) facts.devices.rdma_gid = gid;
  if (!command.hub.empty()) probe_hubs(command.hub, facts);
  facts.door = knock(command);

  std::vector<doctor::Finding> findings = doctor::examine(facts);
  for (doctor::Finding& finding : findings) finding.seen = printable(finding.seen);
  const bool has_colour = ::isatty(STDOUT_FILENO) == 1 && !command.wants_json;
  CtlResult result;
  result.output = command.wants_json ? doctor::report_json(findings)
                                     : doctor::report_text(findings, has_colour);
  if (doctor::worst_of(findings) == doctor::Verdict::problem) result.exit = CtlExit::refused;
  return result;
}

}  // namespace phub::hub
