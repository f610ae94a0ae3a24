// One send or receive under way, as Python sees it.
#pragma once

#include <phub/message.h>

#include <cstdint>
#include <memory>

#include "completion.h"

namespace phub::python {

class StartedTransfer {
 public:
  StartedTransfer(std::shared_ptr<Garbage> garbage, Transfer transfer,
                  std::shared_ptr<Completion> completion);

  // Returns when it has ended; raises why not. Seconds.
  void wait(double timeout);
  // The same; false where it has not ended in time.
  bool wait_for(double timeout);
  bool is_done() const { return completion_->is_done(); }
  // The exception that it ended with; none: it ended well, or has not ended.
  nb::object error() const;
  bool cancel();
  void call_when_done(nb::object function) { completion_->call_when_done(std::move(function)); }

  // Of receives, once done.
  uint32_t peer() const { return static_cast<uint32_t>(transfer_.peer()); }
  size_t bytes() const { return transfer_.bytes(); }

 private:
  void check_process(const char* call) const;
  Status wait_once(std::chrono::milliseconds timeout);

  uint32_t made_in_;
  std::shared_ptr<Garbage> garbage_;
  Transfer transfer_;
  std::shared_ptr<Completion> completion_;
};

}  // namespace phub::python
