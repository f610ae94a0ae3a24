// Programs written for ps-lite, recompiled over PHub: docs/ps-lite.md.
#pragma once

#include <functional>
#include <string>

#include <ps/base.h>
#include <ps/kv_app.h>
#include <ps/simple_app.h>

namespace ps {

inline int NumWorkers() { return Postoffice::Get()->num_workers(); }
inline int NumServers() { return Postoffice::Get()->num_servers(); }
inline bool IsWorker() { return Postoffice::Get()->is_worker() != 0; }
inline bool IsServer() { return Postoffice::Get()->is_server() != 0; }
inline bool IsScheduler() { return Postoffice::Get()->is_scheduler() != 0; }
inline int MyRank() { return Postoffice::Get()->my_rank(); }

inline void Start(int customer_id, const char* argv0 = nullptr) {
  Postoffice::Get()->Start(customer_id, argv0, true);
}
inline void StartAsync(int customer_id, const char* argv0 = nullptr) {
  Postoffice::Get()->Start(customer_id, argv0, false);
}
inline void Finalize(int customer_id, const bool do_barrier = true) {
  Postoffice::Get()->Finalize(customer_id, do_barrier);
}
inline void RegisterExitCallback(const std::function<void()>& callback) {
  Postoffice::Get()->RegisterExitCallback(callback);
}

// The other dialect: the role and the rank are arguments. rank < 0: any.
inline Node::Role GetRole(const std::string& name) {
  if (name == "worker") return Node::WORKER;
  if (name == "server") return Node::SERVER;
  if (name == "scheduler") return Node::SCHEDULER;
  if (name == "joint") return Node::JOINT;
  LOG(FATAL) << "DMLC_ROLE = " << name << "; want worker, server or scheduler";
  return Node::WORKER;
}
inline void StartPS(int customer_id, Node::Role role, int rank, bool do_barrier,
                    const char* argv0 = nullptr) {
  Postoffice::Get()->Start(customer_id, role, rank, do_barrier, argv0);
}
inline void Finalize(int customer_id, Node::Role, const bool do_barrier = true) {
  Postoffice::Get()->Finalize(customer_id, do_barrier);
}

}  // namespace ps
