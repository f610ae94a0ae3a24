// Van: the way to the other nodes, over a phub::Messenger.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <ps/internal/message.h>

namespace ps {

class Postoffice;

// Thread-safety: any thread, between Start and Stop.
class Van {
 public:
  explicit Van(Postoffice* office);
  ~Van();

  const Node& my_node() const;
  bool IsReady() const;
  int GetTimestamp() { return timestamp_++; }
  // Bytes of payload; the arrays are borrowed until they are sent. dmlc::Error: no such node. A
  // request to a node that is gone fails there, where it is waited for.
  int Send(const Message& message);

  // The library's own.
  void Start(int customer_id, int preferred_rank);
  void Stop();
  void Barrier(int customer_id, int group);
  std::vector<int> DeadNodes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
  std::atomic<int> timestamp_{0};
  DISALLOW_COPY_AND_ASSIGN(Van);
};

}  // namespace ps
