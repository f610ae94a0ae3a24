#include <algorithm>

#include "base/check.h"
#include "tests/sim/cluster.h"

namespace phub::sim {
namespace {

// Small integers, so that float32 sums are exact and order cannot hide a bug.
float summand(uint32_t tensor, uint32_t rank, uint32_t round, uint64_t element) {
  return static_cast<float>((element * 7 + rank * 13 + round * 5 + tensor * 3) % 64);
}

}  // namespace

Trainer::Trainer(const JobPlan& plan, uint32_t rank, NodeId node,
                 std::unique_ptr<client::Client> client)
    : plan_(plan), rank_(rank), node_(node), client_(std::move(client)), tensors_(plan.tensors) {}

size_t Trainer::poll(Instant now) {
  if (client_ == nullptr) return 0;
  size_t work = client_->poll(now);
  std::vector<client::Finished> finished;
  client_->take_finished(&finished);
  if (client_->state() == client::State::failed && plan_.exits_on_failure) {
    failure_ = client_->failure();
    client_.reset();
    return work + 1;
  }
  if (has_ended()) return work;
  switch (client_->state()) {
    case client::State::idle:
      if (!has_agreed_) {
        agree();
        ++work;
      }
      break;
    case client::State::running:
      if (!is_in_round_) {
        start_round();
        ++work;
      } else if (finish_round()) {
        ++work;
      }
      break;
    case client::State::left:
      is_done_ = true;
      ++work;
      break;
    default:
      break;
  }
  return work;
}

void Trainer::agree() {
  has_agreed_ = true;
  gradients_.clear();
  for (const TensorSpec& spec : tensors_) {
    Result<std::span<std::byte>> memory = client_->allocate(spec.count * sizeof(float));
    PHUB_CHECK(memory.ok());
    gradients_.push_back(*memory);
  }
  const std::vector<void*> results(tensors_.size(), nullptr);
  PHUB_CHECK(client_->begin_tensors(tensors_, results).ok());
}

void Trainer::start_round() {
  const bool leaves_early = plan_.last_rank_leaves_after > 0 && rank_ == plan_.rank_count - 1;
  const uint32_t rounds = leaves_early ? plan_.last_rank_leaves_after : plan_.rounds;
  if (round_ == rounds) {
    if (!is_leaving_) PHUB_CHECK(client_->begin_leave().ok());
    is_leaving_ = true;
    return;
  }
  if (!plan_.later_tensors.empty() && !has_grown_ && round_ == plan_.rounds / 2) {
    has_grown_ = true;
    tensors_.insert(tensors_.end(), plan_.later_tensors.begin(), plan_.later_tensors.end());
    return agree();
  }
  ++round_;
  is_in_round_ = true;
  started_.clear();
  for (uint32_t t = 0; t < tensors_.size(); ++t) {
    float* const gradient = reinterpret_cast<float*>(gradients_[t].data());
    for (uint64_t i = 0; i < tensors_[t].count; ++i) gradient[i] = summand(t, rank_, round_, i);
    Result<Operation> operation =
        client_->push_pull(TensorId{t}, gradient, client_->result(TensorId{t}).data(), {});
    PHUB_CHECK(operation.ok());
    started_.push_back(*operation);
  }
}

bool Trainer::finish_round() {
  for (const Operation& operation : started_) {
    if (!client_->rounds()->is_done(operation)) return false;
  }
  for (uint32_t t = 0; t < tensors_.size(); ++t) check(t);
  is_in_round_ = false;
  return true;
}

uint32_t Trainer::contributors() const {
  const bool has_left = plan_.last_rank_leaves_after > 0 && round_ > plan_.last_rank_leaves_after;
  return plan_.rank_count - (has_left ? 1 : 0);
}

void Trainer::check(uint32_t tensor) {
  const TensorSpec& spec = tensors_[tensor];
  const auto* result = reinterpret_cast<const float*>(client_->result(TensorId{tensor}).data());
  for (uint64_t i = 0; i < spec.count; ++i) {
    float expected = 0;
    for (uint32_t rank = 0; rank < contributors(); ++rank) {
      expected += summand(tensor, rank, round_, i);
    }
    if (spec.op == ReduceOp::mean) expected /= static_cast<float>(contributors());
    if (result[i] != expected) ++wrong_;
  }
}

}  // namespace phub::sim
