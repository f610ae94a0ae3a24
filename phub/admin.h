// What an operator can ask of a running hub. Implemented by Hub; called from HTTP threads.
// Thread-safety: any thread; each call is carried out by the control thread and takes at most
// `kAdminTimeout`.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <chrono>
#include <string>

#include "phub/snapshot.h"

namespace phub::hub {

constexpr std::chrono::seconds kAdminTimeout{2};

class Admin {
 public:
  virtual ~Admin() = default;
  virtual Result<HubSnapshot> snapshot() = 0;
  // not_found: no such job.
  virtual Result<std::vector<LateSnapshot>> late(const std::string& job) = 0;
  // The job's map as exchange::to_text gives it. failed_precondition: its tensors are not agreed
  // yet.
  virtual Result<std::string> map_text(const std::string& job) = 0;
  // Creates a job ahead of its ranks ("create service").
  virtual Status create_job(const JobSpec& spec) = 0;
  // Ends a job: its ranks get `reason`, its memory is freed.
  virtual Status remove_job(const std::string& job, const std::string& reason) = 0;
  // No new jobs and no new ranks; running jobs go on. The hub ends when the last job has.
  virtual Status drain() = 0;
  // Cancels a drain that has not ended the hub yet. Jobs that it has ended stay ended.
  // failed_precondition: the hub is being stopped.
  virtual Status undrain() = 0;
  // Ends at once: all ranks get an error naming the hub.
  virtual Status stop() = 0;
};

}  // namespace phub::hub
