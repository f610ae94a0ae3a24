// The Worker of Python: phub/worker.py's, one call each. phub::Worker has what they mean.
//
// Every call that may wait gives the GIL away. REQUIRES the GIL throughout.
#pragma once

#include <phub/worker.h>

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "handle.h"
#include "operation.h"

namespace phub::python {

// None: as the environment says.
struct ConnectArguments {
  std::optional<std::string> hub, job, secret, progress, tls_ca, tls_cert, tls_key;
  std::optional<uint32_t> rank, size, chunk_elements;
  std::optional<double> join_timeout, wait_timeout;
  std::optional<std::map<std::string, std::string>> network;
};

// kind, learning_rate, momentum, dampening, weight_decay, beta1, beta2, epsilon, clip_global_norm.
using OptimizerTuple = std::tuple<int, float, float, float, float, float, float, float, float>;
// name, type, count, op, priority, optimizer.
using SpecTuple = std::tuple<std::string, int, uint64_t, int, int32_t, OptimizerTuple>;

class Connection {
 public:
  static Connection connect(const ConnectArguments& arguments);

  uint32_t rank() const { return rank_; }
  uint32_t size() const { return size_; }
  std::string hub_address() const { return open("hub_address")->worker.hub_address(); }
  bool has_thread() const { return has_thread_; }
  double wait_timeout() const;
  bool is_closed() const { return handle_ == nullptr; }
  // Whether this process is a fork of the one that connected.
  bool is_foreign() const;

  nb::object allocate(const std::vector<size_t>& shape, int type);
  void register_tensors(const std::vector<SpecTuple>& specs,
                        const std::vector<nb::object>& results);
  nb::object result(uint32_t tensor);

  StartedOperation push_pull(uint32_t tensor, nb::handle gradient, nb::handle out);
  StartedOperation push(uint32_t tensor, nb::handle gradient);
  StartedOperation pull(uint32_t tensor, nb::handle out);
  StartedOperation broadcast(uint32_t tensor, nb::handle data, uint32_t root);

  void wait_all(std::optional<double> timeout);
  void poll();
  void barrier(std::optional<double> timeout);
  void set_step(float learning_rate, float gradient_scale, bool skip);
  void read_state(uint32_t tensor, int kind, nb::handle out);
  void write_state(uint32_t tensor, int kind, nb::handle values);
  uint64_t read_step_count(uint32_t tensor);
  void write_step_count(uint32_t tensor, uint64_t count);
  std::map<std::string, uint64_t> stats() const;

  void leave();
  // Leaves if nothing failed, and lets go; arrays in the connection's memory stay good.
  void close();

 private:
  Connection(HandlePtr handle, bool has_thread);
  // The connection, or why it cannot be used here and now.
  HandlePtr open(const char* call) const;
  // start(callback) under no GIL.
  template <typename Start>
  StartedOperation start(const HandlePtr& handle, std::vector<Array> arrays, Start start);

  HandlePtr handle_;
  uint32_t made_in_;
  uint32_t rank_;
  uint32_t size_;
  bool has_thread_;
};

}  // namespace phub::python
