// The Messenger of Python: phub/messenger.py's, one call each. <phub/message.h> has what they mean.
//
// Every call that may wait gives the GIL away. REQUIRES the GIL throughout.
#pragma once

#include <phub/message.h>

#include <memory>
#include <string>
#include <vector>

#include "completion.h"
#include "transfer.h"

namespace phub::python {

class Messaging {
 public:
  static Messaging open(const std::string& name, uint32_t number, const std::string& secret,
                        const std::string& listen, const std::string& advertise, bool shared_memory,
                        double peer_timeout, double linger);

  std::string address() const;
  bool is_closed() const { return handle_ == nullptr; }
  // Whether this process is a fork of the one that opened it.
  bool is_foreign() const;

  uint32_t connect(const std::string& address, double timeout);
  uint32_t wait_for_peer(uint32_t number, double timeout);
  uint32_t number_of(uint32_t peer) const;
  std::string describe(uint32_t peer) const;
  // Why it is gone, as an exception; none: it is there.
  nb::object error_of(uint32_t peer) const;
  bool has_left(uint32_t peer) const;
  std::vector<uint32_t> peers() const;
  void disconnect(uint32_t peer);

  StartedTransfer send(uint32_t peer, uint64_t tag, const std::vector<nb::object>& parts);
  StartedTransfer receive(uint32_t peer, uint64_t tag, nb::handle memory);

  // Leaves, after what is still to be sent; transfers under way end with Aborted.
  void close();

 private:
  struct Handle {
    Messenger messenger;
    uint32_t made_in;
    std::shared_ptr<Garbage> garbage;
  };
  using HandlePtr = std::shared_ptr<Handle>;

  explicit Messaging(HandlePtr handle);
  // The messenger, or why it cannot be used here and now.
  HandlePtr open_handle(const char* call) const;

  HandlePtr handle_;
  uint32_t made_in_;
};

}  // namespace phub::python
