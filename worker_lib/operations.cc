// Rounds: starting operations, and what became of them.
#include <algorithm>

#include "base/check.h"
#include "base/try.h"
#include "worker_lib/rounds.h"

namespace phub::client {

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::push_pull:
      return "push_pull";
    case Kind::push:
      return "push";
    case Kind::pull:
      return "pull";
    case Kind::broadcast:
      return "broadcast";
  }
  return "operation";
}

std::string describe(Kind kind, uint32_t tensor, std::string_view name, uint32_t round) {
  return std::string(to_string(kind)) + " tensor " + std::to_string(tensor) + " \"" +
         std::string(name) + "\" round " + std::to_string(round);
}

std::string Rounds::shown(uint32_t tensor, Kind kind) const {
  return client::describe(kind, tensor, specs_[tensor].name, tensors_[tensor].round);
}

Result<Operation> Rounds::push_pull(TensorId tensor, const void* gradient, void* result,
                                    Callback done) {
  PHUB_TRY(check_start(Kind::push_pull, tensor));
  const uint32_t t = index_of(tensor);
  PHUB_TRY(check_source(Kind::push_pull, t, gradient, result));
  return start(t, Kind::push_pull, exchange::Verb::push_pull, gradient, result, std::move(done));
}

Result<Operation> Rounds::push(TensorId tensor, const void* gradient, Callback done) {
  PHUB_TRY(check_start(Kind::push, tensor));
  const uint32_t t = index_of(tensor);
  PHUB_TRY(check_source(Kind::push, t, gradient, tensors_[t].place.result));
  return start(t, Kind::push, exchange::Verb::push_pull, gradient, nullptr, std::move(done));
}

Result<Operation> Rounds::broadcast(TensorId tensor, void* data, Rank root, Rank rank,
                                    Callback done) {
  PHUB_TRY(check_start(Kind::broadcast, tensor));
  const uint32_t t = index_of(tensor);
  PHUB_TRY(check_source(Kind::broadcast, t, data, tensors_[t].place.result));
  const bool is_root = root == rank;
  return start(t, Kind::broadcast, exchange::Verb::broadcast, is_root ? data : nullptr,
               is_root ? nullptr : data, std::move(done));
}

Result<Operation> Rounds::pull(TensorId tensor, void* result, Callback done) {
  const uint32_t t = index_of(tensor);
  if (t < tensors_.size() && result != nullptr) {
    const bool joins_push = tensors_[t].remaining > 0 && tensors_[t].kind == Kind::push;
    if (joins_push || (tensors_[t].remaining == 0 && tensors_[t].holds_push)) {
      return collect(t, static_cast<std::byte*>(result), std::move(done));
    }
  }
  PHUB_TRY(check_start(Kind::pull, tensor));
  PHUB_TRY(check_source(Kind::pull, t, result, result));
  if (specs_[t].optimizer.kind == OptimizerKind::none) {
    return Status(Code::failed_precondition,
                  shown(t, Kind::pull) +
                      ": nothing was pushed, and the hub holds no weights of a tensor without an "
                      "optimizer; push first, or use push_pull");
  }
  return start(t, Kind::pull, exchange::Verb::pull, nullptr, result, std::move(done));
}

Status Rounds::check_start(Kind kind, TensorId tensor) const {
  const uint32_t t = index_of(tensor);
  if (t >= tensors_.size()) {
    return Status(Code::not_found, std::string(to_string(kind)) + " tensor " + std::to_string(t) +
                                       ": unknown; " + std::to_string(tensors_.size()) +
                                       " tensors are registered");
  }
  if (tensors_[t].remaining == 0) return {};
  return Status(Code::failed_precondition,
                std::string(to_string(kind)) + " tensor " + std::to_string(t) + " \"" +
                    specs_[t].name + "\": its " + std::string(to_string(tensors_[t].kind)) +
                    " of round " + std::to_string(tensors_[t].round) +
                    " has not ended; wait for it first");
}

// The hub may write the result while other parts of the gradient are still to be read, so the two
// are the same memory or have no byte in common.
Status Rounds::check_source(Kind kind, uint32_t t, const void* source, const void* target) const {
  const std::string name = std::string(to_string(kind)) + " tensor " + std::to_string(t) + " \"" +
                           specs_[t].name + "\": ";
  if (source == nullptr || target == nullptr) {
    return Status(
        Code::invalid_argument,
        name + "a null pointer where " + std::to_string(specs_[t].count) + " elements are wanted");
  }
  const uint64_t bytes = tensors_[t].bytes;
  const std::byte* const slot = tensors_[t].place.result;
  const bool is_torn = (source != target && overlaps(source, bytes, target, bytes)) ||
                       (source != slot && overlaps(source, bytes, slot, bytes)) ||
                       (target != slot && overlaps(target, bytes, slot, bytes));
  if (!is_torn) return {};
  return Status(Code::invalid_argument,
                name +
                    "gradient, result and result(tensor) overlap in part; let them be the same "
                    "memory or apart");
}

Result<Operation> Rounds::start(uint32_t t, Kind kind, exchange::Verb verb, const void* source,
                                void* target, Callback done) {
  Tensor& tensor = tensors_[t];
  std::byte* const slot = tensor.place.result;
  tensor.kind = kind;
  tensor.verb = verb;
  tensor.source = static_cast<const std::byte*>(source);
  tensor.target = target == slot ? nullptr : static_cast<std::byte*>(target);
  // What is put is borrowed by the fabric until it is sent, so the copy out of an early reply must
  // not write there. By reference it waits for `sent`; elsewhere a late duplicate could change the
  // reply until then, so the gradient is staged even in registered memory.
  const bool is_overwritten = source != nullptr && source != slot && source == target;
  const bool is_foreign = source != nullptr && !regions_->is_known(source, tensor.bytes);
  tensor.is_staged = is_foreign || (is_overwritten && !by_reference_);
  tensor.copies_late = is_overwritten && !tensor.is_staged;
  // A pull is this rank's alone and is no round: it carries the round that it follows, as the
  // hub's reply does.
  if (verb != exchange::Verb::pull) ++tensor.round;
  tensor.remaining = tensor.chunk_end - tensor.chunk_begin;
  tensor.unreplied = tensor.remaining;
  tensor.holds_push = false;
  tensor.status = {};
  tensor.callbacks[0] = std::move(done);
  ++busy_count_;
  ++started_count_;
  std::fill(awaited_.begin() + tensor.chunk_begin, awaited_.begin() + tensor.chunk_end, kQueued);
  for (Link& link : links_) {
    const uint32_t begin = link.slot_begin[t];
    const uint32_t end_slot = link.slot_begin[t + 1];
    link.unreplied[t] = end_slot - begin;
    if (begin == end_slot) continue;
    link.queue.push({specs_[t].priority, started_count_, t, begin, end_slot, begin});
  }
  return Operation{TensorId{t}, tensor.round};
}

// A pull of what push brought or is bringing: nothing is sent.
Result<Operation> Rounds::collect(uint32_t t, std::byte* target, Callback done) {
  Tensor& tensor = tensors_[t];
  PHUB_TRY(check_source(Kind::pull, t, target, tensor.place.result));
  const bool is_ended = tensor.remaining == 0;
  if (!is_ended && (tensor.callbacks[1] || tensor.target != nullptr)) {
    return Status(Code::failed_precondition,
                  shown(t, Kind::pull) + ": an earlier pull of it has not ended; wait for it");
  }
  if (target != tensor.place.result) {
    const bool overlaps = tensor.source != nullptr && target < tensor.source + tensor.bytes &&
                          tensor.source < target + tensor.bytes;
    if (overlaps && !is_ended && !tensor.is_staged) {
      return Status(Code::failed_precondition,
                    shown(t, Kind::pull) +
                        ": the result would overwrite the gradient that is still being sent; wait "
                        "for the push first");
    }
    tensor.target = target;
    for (uint32_t number = tensor.chunk_begin; number < tensor.chunk_end; ++number) {
      if ((awaited_[number] & (kQueued | kReply)) == 0) {
        copy_out(tensor, map_.chunks()[number]);
      }
    }
  }
  if (is_ended) {
    // The hub's weights are what a later pull asks for; without an optimizer this is all there is.
    tensor.holds_push = specs_[t].optimizer.kind == OptimizerKind::none;
    if (done) finished_->push_back({std::move(done), {}});
  } else {
    tensor.callbacks[1] = std::move(done);
  }
  return Operation{TensorId{t}, tensor.round};
}

Status Rounds::check(const Operation& operation) const {
  const uint32_t t = index_of(operation.tensor);
  if (t >= tensors_.size()) {
    return Status(Code::invalid_argument, "wait: tensor " + std::to_string(t) + " is unknown; " +
                                              std::to_string(tensors_.size()) +
                                              " tensors are registered");
  }
  if (operation.round <= tensors_[t].round) return {};
  return Status(Code::invalid_argument,
                "wait: tensor " + std::to_string(t) + " \"" + specs_[t].name + "\" has started " +
                    std::to_string(tensors_[t].round) + " rounds in this epoch, not " +
                    std::to_string(operation.round));
}

bool Rounds::is_done(const Operation& operation) const {
  if (index_of(operation.tensor) >= tensors_.size()) return true;  // Of an epoch that is over.
  const Tensor& tensor = tensors_[index_of(operation.tensor)];
  return operation.round != tensor.round || tensor.remaining == 0;
}

Status Rounds::status_of(const Operation& operation) const {
  if (index_of(operation.tensor) >= tensors_.size()) return {};
  const Tensor& tensor = tensors_[index_of(operation.tensor)];
  // A later round was started, which only follows an earlier one that ended well.
  return operation.round == tensor.round ? tensor.status : Status();
}

std::string Rounds::describe(const Operation& operation) const {
  const uint32_t t = index_of(operation.tensor);
  return client::describe(tensors_[t].kind, t, specs_[t].name, operation.round);
}

std::span<std::byte> Rounds::result(uint32_t tensor) const {
  if (tensor >= tensors_.size()) return {};
  return {tensors_[tensor].place.result, tensors_[tensor].bytes};
}

}  // namespace phub::client
