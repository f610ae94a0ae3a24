// The PHub client: one training process's view of the hub.
//
//   Every step each rank pushes its gradients, cut into chunks; the hub adds them in rank order,
//   applies the optimizer if the tensor has one, and hands every rank the result.
//
//     Result<Worker> worker = Worker::connect(*WorkerOptions::from_environment());
//     auto tensors = worker->register_tensors(specs);           // All ranks, the same table.
//     auto operation = worker->push_pull((*tensors)[0], gradient, result);
//     Status done = worker->wait(*operation);
//
// Source: Parameter Hub (Luo et al., SoCC 2018): chunked push/pull, fused push-pull, one owner
// core. Thread-safety: any thread may call anything; operations on one tensor must not overlap.
// Errors: values only (phub/status.h). What the hub ends (`aborted`: a rank failed or ranks
// disagree; `unavailable`: the hub; another code: it refused something of this rank's) ends the
// Worker: every later call returns that error; destroy it and connect again. Wrong arguments and
// deadlines that pass leave the Worker as it was.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <phub/status.h>
#include <phub/types.h>

namespace phub {

// Who moves the bytes. caller: they move inside the calls of this class only. thread: a thread of
// the library moves them while the trainer computes. automatic: a thread where overlap needs one;
// over shm the hub does the work, so automatic means caller there.
enum class Progress : uint8_t { automatic = 0, caller, thread };

struct WorkerOptions {
  // Where it listens: shm://PATH, tcp://HOST:PORT, tls://HOST:PORT, verbs://HOST:PORT (chunks over
  // RDMA) or dpdk://HOST:PORT. HOST:PORT alone, or auto://HOST:PORT, asks the hub there and takes
  // shared memory if it runs on this host and its socket is here, TCP otherwise. A job over several
  // hubs lists them with commas between, the same hubs in the same order on every rank, each by the
  // way that is this rank's.
  std::string hub = "shm:///tmp/phub.sock";
  JobSpec job;  // Name, secret and rank count; see JobSpec.
  Rank rank = Rank{0};
  Progress progress = Progress::automatic;
  std::chrono::milliseconds join_timeout{60'000};  // For the hub to answer and all ranks to join.
  std::chrono::milliseconds wait_timeout{60'000};  // For every wait that names no other.
  // For tls:// hubs, paths of PEM files. Empty: the machine's trust store; no certificate, which a
  // hub may want to see.
  std::string tls_ca;
  std::string tls_cert;
  std::string tls_key;
  // For verbs:// and dpdk:// hubs, options of their devices by name, as phubd has them:
  // {"rdma_devices", "mlx5_0"}. docs/rdma.md and docs/dpdk.md have all.
  std::map<std::string, std::string> network;

  // Reads PHUB_HUB, PHUB_JOB, PHUB_SECRET or PHUB_SECRET_FILE, PHUB_RANK, PHUB_SIZE, PHUB_PROGRESS,
  // PHUB_CHUNK_ELEMENTS, PHUB_JOIN_TIMEOUT_MS, PHUB_WAIT_TIMEOUT_MS, PHUB_TLS_CA, PHUB_TLS_CERT,
  // PHUB_TLS_KEY, and PHUB_RDMA_DEVICES, PHUB_DPDK_EAL, ... for `network`. Rank and size also from
  // Open MPI's, torchrun's, Slurm's and ps-lite's (DMLC_*) variables, in this order of preference;
  // the first that has set both counts. invalid_argument: a value is malformed, or only one of rank
  // and size is set; names the variable.
  static Result<WorkerOptions> from_environment();
};

// One started exchange of one tensor. A value; may be dropped without waiting.
struct Operation {
  TensorId tensor = TensorId{0};
  uint32_t round = 0;  // Of this tensor, from 1; a pull has the round of the push before it.
};

// Runs once, when the operation has ended, on the thread that noticed: inside poll or wait, or on
// the library's thread. Must not block; may start new operations.
using Callback = std::function<void(const Status&)>;

struct WorkerStats {
  uint64_t pushed_bytes = 0;  // Payload handed to the fabric.
  uint64_t pulled_bytes = 0;  // Payload received.
  uint64_t copied_bytes =
      0;                // Copied between the trainer's memory and registered memory, both ways.
  uint64_t rounds = 0;  // Operations completed.
};

class Worker {
 public:
  // Joins the job at options.hub, creating it if it is not there; returns when the hub has accepted
  // this rank. The other ranks are waited for in register_tensors.
  // invalid_argument: malformed address, job, rank or network option.  permission_denied: wrong
  // secret, or TLS: one side refuses the other's certificate. already_exists: the rank is taken, or
  // the job has another spec.  unavailable: no hub there. resource_exhausted: the hub's limits.
  // timed_out: the hub did not answer.
  static Result<Worker> connect(const WorkerOptions& options);

  Worker(Worker&&) noexcept;
  Worker& operator=(Worker&&) noexcept;
  // Leaves the job if nothing failed: the others go on without this rank. Waits up to a second for
  // operations in flight; with some left it does not leave: the others then see this rank die.
  ~Worker();

  Rank rank() const;
  uint32_t rank_count() const;
  // The hub's address in use; where it was chosen, with the reason:
  // "shm:///run/phub.sock, because it runs on this host".
  std::string hub_address() const;

  // Memory that the fabric can use without a copy, zeroed, 64-byte aligned, owned by the Worker and
  // freed with it. Memory allocated after register_tensors counts as registered from the next call.
  // resource_exhausted: the operating system refused.
  Result<std::span<std::byte>> allocate(size_t bytes);

  // Agrees with all ranks on the tensors of a new epoch: every tensor of the job, in the same order
  // on every rank; tensors known from the epoch before keep their id and the hub's state. Blocks
  // until all ranks have called it. REQUIRES: no operation in flight.
  //   results[i]  where results of specs[i] land, count elements in memory from allocate(); null,
  //   or
  //               an empty span: the library allocates it (see result()). May equal the gradient.
  // invalid_argument: bad spec, or ranks disagree (names the rank, the tensor and both values).
  // resource_exhausted: the hub's memory limit.  timed_out: names the missing ranks.
  Result<std::vector<TensorId>> register_tensors(std::span<const TensorSpec> specs,
                                                 std::span<void* const> results = {});

  // The registered memory where results of the tensor land; count elements. Empty: unknown tensor.
  std::span<std::byte> result(TensorId tensor);

  // Starts one round: pushes this rank's gradient and asks for the result. Returns at once,
  // but where no thread of the library moves the bytes, foreign gradients are copied first.
  //   gradient  [count] elements, this rank's summand. Read until the operation ends; do not
  //   modify. result    [count] elements; undefined until the operation ends. May equal gradient.
  // In memory from allocate() (gradient) and at result(tensor) (result) nothing is copied; from
  // other memory each costs one copy, counted in stats().
  // not_found: unknown tensor.  failed_precondition: the tensor's last operation has not ended.
  Result<Operation> push_pull(TensorId tensor, const void* gradient, void* result,
                              Callback callback = {});

  // As push_pull, but the result stays at result(tensor) until pull asks for it.
  Result<Operation> push(TensorId tensor, const void* gradient, Callback callback = {});

  // After push: the result of that round. Otherwise: the weights that the hub holds now.
  // failed_precondition: nothing was pushed and the hub holds no weights of this tensor.
  Result<Operation> pull(TensorId tensor, void* result, Callback callback = {});

  // Starts one round in which every rank gets root's data. If the tensor has an optimizer, the
  // data becomes the hub's weights: how initial weights are set.
  //   data  [count] elements; read on root, written on all others.
  // Name the same root on every rank. aborted, for all: no rank, or several, named themselves.
  // Where just one did, all ranks get its data, whatever root the others named.
  Result<Operation> broadcast(TensorId tensor, void* data, Rank root, Callback callback = {});

  // Returns when the operation has ended: ok, or why not. Waiting twice is allowed.
  // timed_out: the deadline passed; names the ranks that are late, and on which tensor; the
  // operation goes on.  aborted: a rank failed; names it.  unavailable: names the hub.
  Status wait(const Operation& operation);
  Status wait(const Operation& operation, std::chrono::milliseconds timeout);
  Status wait_all();  // All operations started so far; the first failure.
  Status wait_all(std::chrono::milliseconds timeout);
  bool is_done(const Operation& operation);  // Polls, so a loop around it ends.

  // Moves what can be moved now, without blocking, and runs callbacks. Needed where no thread of
  // the library does (Progress::caller, and automatic over shm) and nobody waits.
  void poll();

  // Returns when every rank has called it.
  Status barrier();
  Status barrier(std::chrono::milliseconds timeout);

  // Rank 0 only: settings for every round that rank 0 starts after this call; one round trip.
  // permission_denied: not rank 0.
  Status set_step(const StepSettings& settings);

  // Copies the hub's float32 state of a tensor out of, or into, `values`: count elements. REQUIRES:
  // no operation of any rank on this tensor in flight. For checkpoints. failed_precondition: the
  // tensor has no such state.
  Status read_state(TensorId tensor, StateKind kind, std::span<float> values);
  Status write_state(TensorId tensor, StateKind kind, std::span<const float> values);
  // Steps that the tensor's optimizer has taken (Adam's t). Part of a checkpoint.
  Result<uint64_t> read_step_count(TensorId tensor);
  Status write_step_count(TensorId tensor, uint64_t step_count);

  // Waits for this rank's operations, then leaves: from the next round of each tensor on the others
  // go on alone, and mean divides by those who contribute. Afterwards only the destructor is
  // allowed.
  Status leave();

  WorkerStats stats() const;

 private:
  class Impl;
  explicit Worker(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace phub
