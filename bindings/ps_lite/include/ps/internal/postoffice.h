// Postoffice: which nodes there are, who this one is, and who here gets which message.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ps/base.h>
#include <ps/internal/customer.h>
#include <ps/internal/env.h>
#include <ps/internal/van.h>
#include <ps/range.h>

namespace ps {

// Thread-safety: any thread.
class Postoffice {
 public:
  static Postoffice* Get();
  // One process is one node here, whatever its index.
  static Postoffice* GetServer(int = 0) { return Get(); }
  static Postoffice* GetWorker(int = 0) { return Get(); }
  static Postoffice* GetScheduler() { return Get(); }

  Van* van() { return van_.get(); }

  // Reads DMLC_*, meets the other nodes; with do_barrier, returns when all have. The first call of
  // a process does it, others add a customer. dmlc::Error: a variable is missing, or nodes are,
  // when time is up (PS_START_TIMEOUT seconds, 300): names which.
  void Start(int customer_id, const char* argv0, bool do_barrier);
  void Start(int customer_id, Node::Role role, int rank, bool do_barrier, const char* argv0);
  // customer_id 0: leaves, then runs the exit callback. dmlc::Error: a node is gone.
  void Finalize(int customer_id, bool do_barrier = true);
  // Returns when every node and customer of the group has called it. dmlc::Error: one is gone.
  void Barrier(int customer_id, int group);

  void AddCustomer(Customer* customer);
  void RemoveCustomer(Customer* customer);
  // Null: none within `timeout` seconds.
  Customer* GetCustomer(int app_id, int customer_id, int timeout = 0) const;

  const std::vector<int>& GetNodeIDs(int node_or_group) const;
  // One for each server, in order; together they have every key: the last one's end is kMaxKey,
  // which is its, too.
  const std::vector<Range>& GetServerKeyRanges();
  using Callback = std::function<void()>;
  void RegisterExitCallback(const Callback& callback) { exit_callback_ = callback; }

  static int WorkerRankToID(int rank) { return rank * 2 + 9; }
  static int ServerRankToID(int rank) { return rank * 2 + 8; }
  static int IDtoRank(int id) { return std::max((id - 8) / 2, 0); }

  int num_workers() const { return num_workers_; }
  int num_servers() const { return num_servers_; }
  int my_rank() const { return IDtoRank(van_->my_node().id); }
  int is_worker() const { return role_ == Node::WORKER ? 1 : 0; }
  int is_server() const { return role_ == Node::SERVER ? 1 : 0; }
  int is_scheduler() const { return role_ == Node::SCHEDULER ? 1 : 0; }
  Node::Role role() const { return role_; }
  int verbose() const { return verbose_; }
  bool is_recovery() const { return false; }
  // Nodes that died; known at once, or after PS_HEARTBEAT_TIMEOUT seconds of silence.
  std::vector<int> GetDeadNodes(int seconds = 60);

  // The library's own.
  void Deliver(Message message);
  void NodeLost(int node, const std::string& why);

 private:
  Postoffice();
  void ReadEnvironment(const Node::Role* role);

  std::unique_ptr<Van> van_;
  mutable std::mutex mutex_;
  std::mutex start_mutex_;
  std::map<std::pair<int, int>, Customer*> customers_;
  std::map<std::pair<int, int>, std::vector<Message>> unclaimed_;  // For customers to come.
  std::unordered_map<int, std::vector<int>> node_ids_;
  std::vector<Range> ranges_;
  Node::Role role_ = Node::WORKER;
  int num_servers_ = 0;
  int num_workers_ = 0;
  int verbose_ = 0;
  bool is_started_ = false;
  Callback exit_callback_;
  DISALLOW_COPY_AND_ASSIGN(Postoffice);
};

#define PS_VLOG(level) LOG_IF(INFO, (level) <= ::ps::Postoffice::Get()->verbose())

}  // namespace ps
