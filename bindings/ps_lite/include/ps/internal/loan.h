// Loan: a caller's vectors, sent without a copy while the caller waits.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include <ps/sarray.h>

namespace ps {
namespace internal {

// Arrays over a caller's vectors; its end waits until nobody has them any more.
class Loan {
 public:
  Loan() = default;
  Loan(const Loan&) = delete;
  void operator=(const Loan&) = delete;
  ~Loan() {
    std::unique_lock<std::mutex> lock(state_->mutex);
    state_->news.wait(lock, [this] { return state_->open == 0; });
  }

  template <typename V>
  SArray<V> Lend(const std::vector<V>& values) {
    if (values.size() * sizeof(V) < kLargeBytes) return SArray<V>(values);
    ++state_->open;
    SArray<V> array;
    array.reset(const_cast<V*>(values.data()), values.size(), [state = state_](V*) {
      const std::lock_guard<std::mutex> lock(state->mutex);
      if (--state->open == 0) state->news.notify_all();
    });
    return array;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable news;
    int open = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace internal

}  // namespace ps
