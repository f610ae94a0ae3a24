// The public face of messenger_core.h.
#include <phub/message.h>

#include <utility>

#include "base/try.h"
#include "worker_lib/messenger_core.h"

namespace phub {

bool Transfer::is_done() const { return state_ == nullptr || state_->owner->is_done(*state_); }
Status Transfer::wait(std::chrono::milliseconds timeout) const {
  return state_ == nullptr ? Status() : state_->owner->wait(state_, timeout);
}
PeerId Transfer::peer() const { return state_->peer; }
size_t Transfer::bytes() const { return state_->bytes; }
bool Transfer::cancel() const { return state_ != nullptr && state_->owner->cancel(state_); }

Result<Messenger> Messenger::open(const MessengerOptions& options) {
  PHUB_TRY_ASSIGN(std::shared_ptr<Impl> impl, Impl::open(options));
  return Messenger(std::move(impl));
}

Messenger::Messenger(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Messenger::Messenger(Messenger&&) noexcept = default;
Messenger& Messenger::operator=(Messenger&& other) noexcept {
  if (this == &other) return *this;
  if (impl_ != nullptr) impl_->close();
  impl_ = std::move(other.impl_);
  return *this;
}
Messenger::~Messenger() {
  if (impl_ != nullptr) impl_->close();
}

std::string Messenger::address() const { return impl_->address(); }
uint32_t Messenger::number() const { return impl_->number(); }

Result<PeerId> Messenger::connect(std::string_view address, std::chrono::milliseconds timeout) {
  return impl_->connect(address, timeout);
}
Result<PeerId> Messenger::wait_for_peer(uint32_t number, std::chrono::milliseconds timeout) {
  return impl_->wait_for_peer(number, timeout);
}
uint32_t Messenger::number_of(PeerId peer) const { return impl_->number_of(peer); }
std::string Messenger::describe(PeerId peer) const { return impl_->describe(peer); }
Status Messenger::state_of(PeerId peer) const { return impl_->state_of(peer); }
bool Messenger::has_left(PeerId peer) const { return impl_->has_left(peer); }
std::vector<PeerId> Messenger::peers() const { return impl_->peers(); }
void Messenger::disconnect(PeerId peer) { impl_->disconnect(peer); }

Result<Transfer> Messenger::send(PeerId peer, uint64_t tag, std::span<const MessagePart> parts,
                                 Callback callback) {
  return impl_->send(peer, tag, parts, std::move(callback));
}

Result<Transfer> Messenger::receive(PeerId peer, uint64_t tag, std::span<std::byte> memory,
                                    Callback callback) {
  return impl_->receive(peer, tag, memory, true, std::move(callback));
}

Result<Message> Messenger::receive(PeerId peer, uint64_t tag, std::chrono::milliseconds timeout) {
  PHUB_TRY_ASSIGN(const Transfer transfer, impl_->receive(peer, tag, {}, false, {}));
  Status status = impl_->wait(transfer.state_, timeout);
  if (status.code() == Code::timed_out && !impl_->cancel(transfer.state_)) {
    // It is on its way, or came just now.
    status = impl_->wait(transfer.state_, timeout);
  }
  PHUB_TRY(status);
  return std::move(transfer.state_->message);
}

void Messenger::set_handler(Handler handler) { impl_->set_handler(std::move(handler)); }
void Messenger::set_peer_handler(PeerHandler handler) {
  impl_->set_peer_handler(std::move(handler));
}

}  // namespace phub
