// Memory for messages that come: large blocks are kept and used again, because the pages of a fresh
// block cost more than the copy into it.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/memory.h"

namespace phub::client {

// Thread-safety: any thread. Blocks keep the pool alive.
class MessagePool : public std::enable_shared_from_this<MessagePool> {
 public:
  // At least `bytes`, 64-byte aligned; null: the system refused. Given back with the last copy.
  std::shared_ptr<std::byte> take(size_t bytes);
  size_t kept_bytes() const;

 private:
  void give_back(base::Mapping block);

  mutable std::mutex mutex_;
  std::vector<base::Mapping> kept_;
  size_t kept_bytes_ = 0;
};

}  // namespace phub::client
