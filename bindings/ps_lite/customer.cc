#include <ps/internal/customer.h>
#include <ps/internal/postoffice.h>

#include <algorithm>
#include <chrono>

namespace ps {
namespace {

std::string Names(const std::vector<int>& nodes) {
  std::string text;
  for (const int node : nodes) {
    const char* const role = node == kScheduler ? "scheduler"
                             : node % 2 == 0    ? "server "
                                                : "worker ";
    text += (text.empty() ? "" : ", ") + std::string(role) +
            (node == kScheduler ? "" : std::to_string(Postoffice::IDtoRank(node)));
  }
  return text;
}

// PS_WAIT_TIMEOUT, in seconds. Deaths are known at once: this is for nodes that live and are mute.
std::chrono::seconds WaitLimit() { return std::chrono::seconds(GetEnv("PS_WAIT_TIMEOUT", 3600)); }

}  // namespace

Customer::Customer(int app_id, int customer_id, const RecvHandle& recv_handle)
    : app_id_(app_id), customer_id_(customer_id), handle_(recv_handle) {
  thread_.reset(new std::thread([this] { Run(); }));
  Postoffice::Get()->AddCustomer(this);
}

Customer::~Customer() {
  Postoffice::Get()->RemoveCustomer(this);
  inbox_.Push(nullptr);
  thread_->join();
}

int Customer::NewRequest(int recver) {
  Request request;
  request.missing = Postoffice::Get()->GetNodeIDs(recver);
  request.total = static_cast<int>(request.missing.size());
  const std::lock_guard<std::mutex> lock(mutex_);
  const int timestamp = next_++;
  open_[timestamp] = std::move(request);
  return timestamp;
}

void Customer::WaitRequest(int timestamp) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto is_over = [this, timestamp] {
    const auto found = open_.find(timestamp);
    return found == open_.end() || !found->second.failure.empty();
  };
  const std::chrono::seconds limit = WaitLimit();
  const bool is_in_time = news_.wait_for(lock, limit, is_over);
  const auto found = open_.find(timestamp);
  if (found == open_.end()) return;
  const std::string what = "wait for request " + std::to_string(timestamp) + ": ";
  const std::string why = is_in_time
                              ? found->second.failure
                              : "no answer from " + Names(found->second.missing) + " within " +
                                    std::to_string(limit.count()) + " s (PS_WAIT_TIMEOUT)";
  lock.unlock();
  LOG(FATAL) << what << why;
}

int Customer::NumResponse(int timestamp) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = open_.find(timestamp);
  if (found == open_.end()) return answered_total_[timestamp];
  return found->second.total - static_cast<int>(found->second.missing.size());
}

void Customer::AddResponse(int timestamp, int num) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = open_.find(timestamp);
  if (found == open_.end()) return;
  std::vector<int>& missing = found->second.missing;
  missing.resize(missing.size() - std::min<size_t>(missing.size(), static_cast<size_t>(num)));
  if (!missing.empty()) return;
  open_.erase(found);
  news_.notify_all();
}

void Customer::Answered(int timestamp, int node) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = open_.find(timestamp);
  if (found == open_.end()) return;
  std::vector<int>& missing = found->second.missing;
  const auto place = std::find(missing.begin(), missing.end(), node);
  if (place != missing.end()) missing.erase(place);
  if (!missing.empty()) return;
  constexpr size_t kKept = 4096;
  if (answered_total_.size() >= kKept) answered_total_.clear();
  answered_total_[timestamp] = found->second.total;
  open_.erase(found);
  news_.notify_all();
}

bool Customer::IsLast(int timestamp, int node) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = open_.find(timestamp);
  return found != open_.end() && found->second.missing.size() == 1 &&
         found->second.missing.front() == node;
}

void Customer::Accept(const Message& recved) {
  inbox_.Push(std::unique_ptr<Message>(new Message(recved)));
}

void Customer::AcceptFirst(std::vector<Message> messages) {
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    inbox_.PushFront(std::unique_ptr<Message>(new Message(*message)));
  }
}

void Customer::Lost(int node, const std::string& why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto& one : open_) {
    Request& request = one.second;
    const auto& missing = request.missing;
    if (std::find(missing.begin(), missing.end(), node) == missing.end()) continue;
    if (request.failure.empty()) request.failure = why;
  }
  news_.notify_all();
}

void Customer::Fail(int timestamp, const std::string& why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = open_.find(timestamp);
  if (found != open_.end() && found->second.failure.empty()) found->second.failure = why;
  news_.notify_all();
}

void Customer::Run() {
  while (true) {
    std::unique_ptr<Message> message;
    inbox_.WaitAndPop(&message);
    if (message == nullptr) return;
    handle_(*message);
    if (!message->meta.request) Answered(message->meta.timestamp, message->meta.sender);
  }
}

}  // namespace ps
