// Customer: one end of requests and responses in this process, with a thread that handles what
// comes for it, one message at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ps/internal/message.h>
#include <ps/internal/threadsafe_queue.h>

namespace ps {

// Thread-safety: any thread.
class Customer {
 public:
  using RecvHandle = std::function<void(const Message& recved)>;

  Customer(int app_id, int customer_id, const RecvHandle& recv_handle);
  ~Customer();

  int app_id() { return app_id_; }
  int customer_id() { return customer_id_; }

  // A number for a request to a node or a group; each node in it has to answer.
  int NewRequest(int recver);
  // Returns when all have. dmlc::Error: one of them is gone, or time is up; names who.
  void WaitRequest(int timestamp);
  int NumResponse(int timestamp);
  // Counts answers that will not come as messages.
  void AddResponse(int timestamp, int num = 1);
  void Accept(const Message& recved);

  // The library's own. The node has answered, or is not asked.
  void Answered(int timestamp, int node);
  // True: all answers but `node`'s are there.
  bool IsLast(int timestamp, int node);
  void AcceptFirst(std::vector<Message> messages);
  // The node is gone: ends the requests that wait for it.
  void Lost(int node, const std::string& why);
  void Fail(int timestamp, const std::string& why);

 private:
  struct Request {
    std::vector<int> missing;  // Nodes.
    int total = 0;
    std::string failure;
  };

  void Run();

  const int app_id_;
  const int customer_id_;
  const RecvHandle handle_;
  ThreadsafeQueue<std::unique_ptr<Message>> inbox_;  // Null: the end.
  std::mutex mutex_;
  std::condition_variable news_;
  int next_ = 0;
  std::unordered_map<int, Request> open_;        // Those that are not answered.
  std::unordered_map<int, int> answered_total_;  // Of the last ones, for NumResponse.
  std::unique_ptr<std::thread> thread_;

  DISALLOW_COPY_AND_ASSIGN(Customer);
};

}  // namespace ps
