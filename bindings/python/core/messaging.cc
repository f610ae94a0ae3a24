#include "messaging.h"

#include <utility>

#include "array.h"
#include "errors.h"
#include "graveyard.h"
#include "interpreter.h"
#include "milliseconds.h"

namespace phub::python {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSlice{1000};  // How long a wait may ignore Ctrl-C.

template <typename Call>
auto without_gil(Call call) {
  const nb::gil_scoped_release unlocked;
  return call();
}

// call(time) in slices, between which Ctrl-C is heard.
template <typename Call>
uint32_t wait_for_id(double timeout, Call call) {
  const auto deadline = std::chrono::steady_clock::now() + to_milliseconds(timeout);
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    const auto time = std::clamp(left, milliseconds(0), kSlice);
    Result<PeerId> peer = without_gil([&] { return call(time); });
    const bool is_late = !peer.ok() && peer.status().code() == Code::timed_out;
    if (!is_late || left <= kSlice) {
      return static_cast<uint32_t>(value_or_raise(std::move(peer)));
    }
    if (PyErr_CheckSignals() != 0) nb::raise_python_error();
  }
}

Messenger::Callback callback_of(const std::shared_ptr<Completion>& completion) {
  return [completion](const Status& status) { completion->finish(status); };
}

}  // namespace

Messaging::Messaging(HandlePtr handle) : handle_(std::move(handle)), made_in_(handle_->made_in) {}

Messaging Messaging::open(const std::string& name, uint32_t number, const std::string& secret,
                          const std::string& listen, const std::string& advertise,
                          bool shared_memory, double peer_timeout, double linger) {
  bury_dead();
  MessengerOptions options;
  options.name = name;
  options.number = number;
  options.secret = secret;
  options.listen = listen;
  options.advertise = advertise;
  options.shared_memory = shared_memory;
  options.peer_timeout = to_milliseconds(peer_timeout);
  options.linger = to_milliseconds(linger);
  Messenger messenger = value_or_raise(without_gil([&] { return Messenger::open(options); }));
  const auto destroy = [](Handle* handle) {
    bury(handle->made_in, handle->garbage, [handle] { delete handle; });
  };
  return Messaging(HandlePtr(
      new Handle{std::move(messenger), fork_count(), std::make_shared<Garbage>()}, destroy));
}

bool Messaging::is_foreign() const { return made_in_ != fork_count(); }

Messaging::HandlePtr Messaging::open_handle(const char* call) const {
  if (is_foreign()) {
    raise(Code::failed_precondition,
          std::string(call) +
              ": this Messenger belongs to the process that forked this one; open one here, too");
  }
  if (handle_ != nullptr) return handle_;
  raise(Code::failed_precondition, std::string(call) + ": this Messenger is closed");
}

std::string Messaging::address() const {
  const HandlePtr handle = open_handle("address");
  return without_gil([&] { return handle->messenger.address(); });
}

uint32_t Messaging::connect(const std::string& address, double timeout) {
  const HandlePtr handle = open_handle("connect");
  return wait_for_id(timeout,
                     [&](milliseconds time) { return handle->messenger.connect(address, time); });
}

uint32_t Messaging::wait_for_peer(uint32_t number, double timeout) {
  const HandlePtr handle = open_handle("wait_for_peer");
  return wait_for_id(
      timeout, [&](milliseconds time) { return handle->messenger.wait_for_peer(number, time); });
}

uint32_t Messaging::number_of(uint32_t peer) const {
  const HandlePtr handle = open_handle("number_of");
  return without_gil([&] { return handle->messenger.number_of(PeerId{peer}); });
}

std::string Messaging::describe(uint32_t peer) const {
  const HandlePtr handle = open_handle("describe");
  return without_gil([&] { return handle->messenger.describe(PeerId{peer}); });
}

nb::object Messaging::error_of(uint32_t peer) const {
  const HandlePtr handle = open_handle("error_of");
  const Status status = without_gil([&] { return handle->messenger.state_of(PeerId{peer}); });
  return status.ok() ? nb::none() : make_error(status);
}

bool Messaging::has_left(uint32_t peer) const {
  const HandlePtr handle = open_handle("has_left");
  return without_gil([&] { return handle->messenger.has_left(PeerId{peer}); });
}

std::vector<uint32_t> Messaging::peers() const {
  const HandlePtr handle = open_handle("peers");
  std::vector<uint32_t> numbers;
  for (const PeerId peer : without_gil([&] { return handle->messenger.peers(); })) {
    numbers.push_back(static_cast<uint32_t>(peer));
  }
  return numbers;
}

void Messaging::disconnect(uint32_t peer) {
  const HandlePtr handle = open_handle("disconnect");
  without_gil([&] { handle->messenger.disconnect(PeerId{peer}); });
}

StartedTransfer Messaging::send(uint32_t peer, uint64_t tag,
                                const std::vector<nb::object>& objects) {
  const HandlePtr handle = open_handle("send");
  std::vector<Array> arrays;
  std::vector<MessagePart> parts;
  for (const nb::object& object : objects) {
    arrays.push_back(memory_of(object, Access::read, "send"));
    parts.push_back({arrays.back().data(), arrays.back().nbytes()});
  }
  const auto completion = std::make_shared<Completion>(handle->garbage, std::move(arrays));
  Result<Transfer> transfer = without_gil(
      [&] { return handle->messenger.send(PeerId{peer}, tag, parts, callback_of(completion)); });
  if (!transfer.ok()) completion->cancel();
  return {handle->garbage, value_or_raise(std::move(transfer)), completion};
}

StartedTransfer Messaging::receive(uint32_t peer, uint64_t tag, nb::handle memory) {
  const HandlePtr handle = open_handle("receive");
  std::vector<Array> arrays{memory_of(memory, Access::write, "receive")};
  auto* const data = static_cast<std::byte*>(const_cast<void*>(arrays[0].data()));
  const std::span<std::byte> bytes(data, arrays[0].nbytes());
  const auto completion = std::make_shared<Completion>(handle->garbage, std::move(arrays));
  Result<Transfer> transfer = without_gil(
      [&] { return handle->messenger.receive(PeerId{peer}, tag, bytes, callback_of(completion)); });
  if (!transfer.ok()) completion->cancel();
  return {handle->garbage, value_or_raise(std::move(transfer)), completion};
}

void Messaging::close() {
  const HandlePtr handle = std::exchange(handle_, nullptr);
}  // The last that uses it destroys it.

}  // namespace phub::python
