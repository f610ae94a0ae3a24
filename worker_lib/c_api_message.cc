// The C ABI of messengers.
#include <phub/message.h>
#include <phub/phub.h>

#include <utility>
#include <vector>

#include "base/try.h"
#include "worker_lib/c_api_call.h"

struct phub_messenger {
  phub::Messenger messenger;
  std::string address;
};
struct phub_transfer {
  phub::Transfer transfer;
};
struct phub_message {
  phub::Message message;
};

namespace {

using namespace phub::client::c_api;
using phub::Code;
using phub::PeerId;
using phub::Result;
using phub::Status;
using std::chrono::milliseconds;

static_assert(PHUB_MESSAGE_PARTS_MAX == phub::kMessagePartsMax);

milliseconds time_of(int64_t timeout_ms) {
  return timeout_ms < 0 ? milliseconds(60'000) : milliseconds(timeout_ms);
}

Result<phub::MessengerOptions> convert(const phub_messenger_options* given) {
  phub::MessengerOptions to;
  if (given == nullptr) return to;
  PHUB_TRY_ASSIGN(const phub_messenger_options from, sized_copy(given, "options"));
  if (from.name != nullptr) to.name = from.name;
  if (from.secret != nullptr) to.secret = from.secret;
  if (from.listen != nullptr) to.listen = from.listen;
  if (from.advertise != nullptr) to.advertise = from.advertise;
  to.number = from.number;
  to.shared_memory = from.no_shared_memory == 0;
  if (from.peer_timeout_ms != 0) to.peer_timeout = milliseconds(from.peer_timeout_ms);
  if (from.linger_ms != 0) to.linger = milliseconds(from.linger_ms);
  if (from.unexpected_bytes_max != 0) to.unexpected_bytes_max = from.unexpected_bytes_max;
  return to;
}

phub::Messenger::Callback wrap(phub_callback callback, void* context) {
  if (callback == nullptr) return {};
  return [callback, context](const Status& status) {
    callback(context, static_cast<phub_status>(status.code()), status.message().c_str());
  };
}

Status give(Result<phub::Transfer> started, phub_transfer** transfer) {
  if (!started.ok()) return started.status();
  if (transfer != nullptr) *transfer = new phub_transfer{std::move(started).value()};
  return {};
}

Status give(Result<PeerId> found, uint32_t* peer) {
  if (!found.ok()) return found.status();
  if (peer != nullptr) *peer = static_cast<uint32_t>(*found);
  return {};
}

}  // namespace

extern "C" {

void phub_messenger_options_init(phub_messenger_options* options) {
  if (options == nullptr) return;
  const phub::MessengerOptions defaults;
  *options = {};
  options->struct_size = sizeof(*options);
  options->peer_timeout_ms = defaults.peer_timeout.count();
  options->linger_ms = defaults.linger.count();
  options->unexpected_bytes_max = defaults.unexpected_bytes_max;
}

phub_status phub_messenger_open(const phub_messenger_options* options, phub_messenger** messenger) {
  return guarded([&]() -> Status {
    if (messenger == nullptr) return null_argument("messenger");
    *messenger = nullptr;
    PHUB_TRY_ASSIGN(const phub::MessengerOptions converted, convert(options));
    PHUB_TRY_ASSIGN(phub::Messenger opened, phub::Messenger::open(converted));
    std::string address = opened.address();
    *messenger = new phub_messenger{std::move(opened), std::move(address)};
    return {};
  });
}

void phub_messenger_close(phub_messenger* messenger) { delete messenger; }

const char* phub_messenger_address(phub_messenger* messenger) {
  return messenger == nullptr ? "" : messenger->address.c_str();
}

phub_status phub_messenger_connect(phub_messenger* messenger, const char* address,
                                   int64_t timeout_ms, uint32_t* peer) {
  return guarded([&]() -> Status {
    if (messenger == nullptr) return null_argument("messenger");
    if (address == nullptr) return null_argument("address");
    return give(messenger->messenger.connect(address, time_of(timeout_ms)), peer);
  });
}

phub_status phub_messenger_wait_for_peer(phub_messenger* messenger, uint32_t number,
                                         int64_t timeout_ms, uint32_t* peer) {
  return guarded([&]() -> Status {
    if (messenger == nullptr) return null_argument("messenger");
    return give(messenger->messenger.wait_for_peer(number, time_of(timeout_ms)), peer);
  });
}

uint32_t phub_messenger_peer_number(phub_messenger* messenger, uint32_t peer) {
  return messenger == nullptr ? UINT32_MAX : messenger->messenger.number_of(PeerId{peer});
}

phub_status phub_messenger_peer_state(phub_messenger* messenger, uint32_t peer) {
  return guarded([&]() -> Status {
    if (messenger == nullptr) return null_argument("messenger");
    return messenger->messenger.state_of(PeerId{peer});
  });
}

void phub_messenger_disconnect(phub_messenger* messenger, uint32_t peer) {
  if (messenger != nullptr) messenger->messenger.disconnect(PeerId{peer});
}

phub_status phub_send(phub_messenger* messenger, uint32_t peer, uint64_t tag,
                      const phub_part* parts, size_t part_count, phub_callback callback,
                      void* context, phub_transfer** transfer) {
  return guarded([&]() -> Status {
    if (messenger == nullptr) return null_argument("messenger");
    if (transfer != nullptr) *transfer = nullptr;
    if (parts == nullptr && part_count > 0) return null_argument("parts");
    if (part_count > phub::kMessagePartsMax) {
      return Status(Code::invalid_argument, "part_count = " + std::to_string(part_count) +
                                                "; at most " +
                                                std::to_string(phub::kMessagePartsMax));
    }
    std::vector<phub::MessagePart> converted;
    for (size_t i = 0; i < part_count; ++i) converted.push_back({parts[i].data, parts[i].bytes});
    return give(messenger->messenger.send(PeerId{peer}, tag, converted, wrap(callback, context)),
                transfer);
  });
}

phub_status phub_receive(phub_messenger* messenger, uint32_t peer, uint64_t tag, void* memory,
                         size_t bytes, phub_callback callback, void* context,
                         phub_transfer** transfer) {
  return guarded([&]() -> Status {
    if (messenger == nullptr) return null_argument("messenger");
    if (transfer != nullptr) *transfer = nullptr;
    if (memory == nullptr && bytes > 0) return null_argument("memory");
    return give(
        messenger->messenger.receive(PeerId{peer}, tag, {static_cast<std::byte*>(memory), bytes},
                                     wrap(callback, context)),
        transfer);
  });
}

phub_status phub_receive_message(phub_messenger* messenger, uint32_t peer, uint64_t tag,
                                 int64_t timeout_ms, phub_message** message) {
  return guarded([&]() -> Status {
    if (messenger == nullptr) return null_argument("messenger");
    if (message == nullptr) return null_argument("message");
    *message = nullptr;
    PHUB_TRY_ASSIGN(phub::Message got,
                    messenger->messenger.receive(PeerId{peer}, tag, time_of(timeout_ms)));
    *message = new phub_message{std::move(got)};
    return {};
  });
}

phub_status phub_transfer_wait(phub_transfer* transfer, int64_t timeout_ms) {
  return guarded([&]() -> Status {
    if (transfer == nullptr) return null_argument("transfer");
    return transfer->transfer.wait(time_of(timeout_ms));
  });
}

int phub_transfer_is_done(phub_transfer* transfer) {
  return transfer == nullptr || transfer->transfer.is_done() ? 1 : 0;
}

size_t phub_transfer_bytes(phub_transfer* transfer) {
  return transfer == nullptr ? 0 : transfer->transfer.bytes();
}

uint32_t phub_transfer_peer(phub_transfer* transfer) {
  return transfer == nullptr ? PHUB_ANY_PEER : static_cast<uint32_t>(transfer->transfer.peer());
}

int phub_transfer_cancel(phub_transfer* transfer) {
  return transfer != nullptr && transfer->transfer.cancel() ? 1 : 0;
}

void phub_transfer_free(phub_transfer* transfer) { delete transfer; }

uint32_t phub_message_peer(const phub_message* message) {
  return static_cast<uint32_t>(message->message.peer);
}
uint64_t phub_message_tag(const phub_message* message) { return message->message.tag; }
size_t phub_message_part_count(const phub_message* message) {
  return message->message.parts.size();
}
void* phub_message_part(const phub_message* message, size_t part, size_t* bytes) {
  if (part >= message->message.parts.size()) return nullptr;
  if (bytes != nullptr) *bytes = message->message.parts[part].size();
  return message->message.parts[part].data();
}
void phub_message_free(phub_message* message) { delete message; }

}  // extern "C"
