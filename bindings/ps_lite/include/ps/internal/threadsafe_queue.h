// A queue between threads.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

namespace ps {

template <typename T>
class ThreadsafeQueue {
 public:
  void Push(T value) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      values_.push_back(std::move(value));
    }
    news_.notify_one();
  }
  // Before all others: what was taken too early.
  void PushFront(T value) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      values_.push_front(std::move(value));
    }
    news_.notify_one();
  }
  void WaitAndPop(T* value) {
    std::unique_lock<std::mutex> lock(mutex_);
    news_.wait(lock, [this] { return !values_.empty(); });
    *value = std::move(values_.front());
    values_.pop_front();
  }
  bool TryPop(T* value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (values_.empty()) return false;
    *value = std::move(values_.front());
    values_.pop_front();
    return true;
  }
  size_t Size() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return values_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable news_;
  std::deque<T> values_;
};

}  // namespace ps
