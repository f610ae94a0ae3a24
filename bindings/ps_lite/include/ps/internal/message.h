// What nodes say to each other: who, to whom, which request, and the arrays that go along.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include <ps/sarray.h>

namespace ps {

struct Node {
  enum Role { SERVER, WORKER, SCHEDULER, JOINT };
  static constexpr int kEmpty = -1;

  std::string DebugString() const;

  Role role = WORKER;
  int id = kEmpty;
  int customer_id = 0;
  std::string hostname;
  int port = 0;
  bool is_recovery = false;
};

struct Meta {
  static constexpr int kEmpty = -1;

  std::string DebugString() const;

  int head = kEmpty;
  int app_id = kEmpty;
  int customer_id = kEmpty;
  int timestamp = kEmpty;
  int sender = kEmpty;
  int recver = kEmpty;
  bool request = false;
  bool push = false;
  bool pull = false;
  bool simple_app = false;
  bool same_keys = false;  // A response whose keys are the request's, which are not sent again.
  std::string body;
  int data_size = 0;
  int priority = 0;
};

struct Message {
  template <typename V>
  void AddData(const SArray<V>& array) {
    const SArray<char> bytes(array);
    meta.data_size += static_cast<int>(bytes.size());
    data.push_back(bytes);
  }
  std::string DebugString() const;

  Meta meta;
  std::vector<SArray<char>> data;
};

}  // namespace ps
