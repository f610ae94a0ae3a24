#include <ps/internal/postoffice.h>

#include <chrono>
#include <thread>

namespace ps {
namespace {

std::string Needed(const char* name) {
  const char* const value = Environment::Get()->find(name);
  if (value != nullptr && *value != '\0') return value;
  LOG(FATAL) << name << " is not set; every node needs DMLC_ROLE, DMLC_NUM_WORKER, "
             << "DMLC_NUM_SERVER, DMLC_PS_ROOT_URI and DMLC_PS_ROOT_PORT";
  return "";
}

int NeededCount(const char* name) {
  const std::string text = Needed(name);
  char* end = nullptr;
  const long count = std::strtol(text.c_str(), &end, 10);
  if (*end != '\0' || count < 0 || count > 1000) {
    LOG(FATAL) << name << " = " << text << "; want a number from 0 to 1000";
  }
  return static_cast<int>(count);
}

Node::Role RoleOf(const std::string& name) {
  if (name == "worker") return Node::WORKER;
  if (name == "server") return Node::SERVER;
  if (name == "scheduler") return Node::SCHEDULER;
  LOG(FATAL) << "DMLC_ROLE = " << name << "; want worker, server or scheduler";
  return Node::WORKER;
}

}  // namespace

Postoffice* Postoffice::Get() {
  static Postoffice* const office = new Postoffice;  // Outlives every user's statics.
  return office;
}

Postoffice::Postoffice() : van_(new Van(this)) {}

void Postoffice::ReadEnvironment(const Node::Role* role) {
  num_workers_ = NeededCount("DMLC_NUM_WORKER");
  num_servers_ = NeededCount("DMLC_NUM_SERVER");
  role_ = role != nullptr ? *role : RoleOf(Needed("DMLC_ROLE"));
  if (role_ == Node::JOINT) LOG(FATAL) << "the role joint: start a server and a worker instead";
  verbose_ = GetEnv("PS_VERBOSE", 0);
  const std::lock_guard<std::mutex> lock(mutex_);
  node_ids_.clear();
  for (int group = 1; group <= (kScheduler | kServerGroup | kWorkerGroup); ++group) {
    std::vector<int>& members = node_ids_[group];
    if ((group & kScheduler) != 0) members.push_back(kScheduler);
    for (int i = 0; (group & kServerGroup) != 0 && i < num_servers_; ++i) {
      members.push_back(ServerRankToID(i));
    }
    for (int i = 0; (group & kWorkerGroup) != 0 && i < num_workers_; ++i) {
      members.push_back(WorkerRankToID(i));
    }
  }
  for (const int node : std::vector<int>(node_ids_[kServerGroup | kWorkerGroup])) {
    node_ids_[node] = {node};
  }
  ranges_.clear();
  const Key share = num_servers_ == 0 ? 0 : kMaxKey / static_cast<Key>(num_servers_);
  for (int i = 0; i < num_servers_; ++i) {
    const Key end = i + 1 == num_servers_ ? kMaxKey : share * static_cast<Key>(i + 1);
    ranges_.emplace_back(share * static_cast<Key>(i), end);
  }
}

void Postoffice::Start(int customer_id, const char* argv0, bool do_barrier) {
  {
    const std::lock_guard<std::mutex> lock(start_mutex_);
    if (!is_started_) ReadEnvironment(nullptr);
    is_started_ = true;
  }
  const int rank = GetEnv("DMLC_WORKER_ID", -1);
  Start(customer_id, role_, role_ == Node::WORKER ? rank : -1, do_barrier, argv0);
}

void Postoffice::Start(int customer_id, Node::Role role, int rank, bool do_barrier,
                       const char* /*argv0*/) {
  {
    const std::lock_guard<std::mutex> lock(start_mutex_);
    if (!is_started_) ReadEnvironment(&role);
    is_started_ = true;
  }
  van_->Start(customer_id, rank);
  if (do_barrier) Barrier(customer_id, kScheduler | kServerGroup | kWorkerGroup);
}

void Postoffice::Finalize(int customer_id, bool do_barrier) {
  if (do_barrier) Barrier(customer_id, kScheduler | kServerGroup | kWorkerGroup);
  if (customer_id != 0) return;
  van_->Stop();
  {
    const std::lock_guard<std::mutex> lock(start_mutex_);
    is_started_ = false;
  }
  Callback callback;
  std::swap(callback, exit_callback_);
  if (callback) callback();
}

void Postoffice::Barrier(int customer_id, int group) {
  if (GetNodeIDs(group).size() <= 1) return;
  van_->Barrier(customer_id, group);
}

void Postoffice::AddCustomer(Customer* customer) {
  const std::pair<int, int> id(customer->app_id(), customer->customer_id());
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!customers_.emplace(id, customer).second) {
    LOG(FATAL) << "customer " << id.second << " of app " << id.first << " is there twice";
  }
  const auto waiting = unclaimed_.find(id);
  if (waiting == unclaimed_.end()) return;
  for (const Message& message : waiting->second) customer->Accept(message);
  unclaimed_.erase(waiting);
}

void Postoffice::RemoveCustomer(Customer* customer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = customers_.find({customer->app_id(), customer->customer_id()});
  if (found != customers_.end() && found->second == customer) customers_.erase(found);
}

Customer* Postoffice::GetCustomer(int app_id, int customer_id, int timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(timeout);
  while (true) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = customers_.find({app_id, customer_id});
      if (found != customers_.end()) return found->second;
    }
    if (std::chrono::steady_clock::now() >= deadline) return nullptr;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

const std::vector<int>& Postoffice::GetNodeIDs(int node_or_group) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = node_ids_.find(node_or_group);
  if (found == node_ids_.end()) LOG(FATAL) << "there is no node or group " << node_or_group;
  return found->second;
}

const std::vector<Range>& Postoffice::GetServerKeyRanges() { return ranges_; }

std::vector<int> Postoffice::GetDeadNodes(int /*seconds*/) { return van_->DeadNodes(); }

// Requests go to the app, answers to whoever asked. What comes before its customer is kept.
void Postoffice::Deliver(Message message) {
  const Meta& meta = message.meta;
  const bool is_for_app = meta.request && role_ != Node::WORKER;
  const std::pair<int, int> id(meta.app_id, is_for_app ? meta.app_id : meta.customer_id);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = customers_.find(id);
  if (found != customers_.end()) return found->second->Accept(message);
  if (meta.request) unclaimed_[id].push_back(std::move(message));
}

void Postoffice::NodeLost(int node, const std::string& why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& one : customers_) one.second->Lost(node, why);
}

}  // namespace ps
