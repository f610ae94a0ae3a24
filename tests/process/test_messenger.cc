// A process with a messenger, for messenger_process_test:
//   test_messenger NUMBER none|ADDRESS auto|tcp
// Prints "address A"; echoes what comes with tag 1; waits for tag 2, which nobody sends, and prints
// how that ended: "ended CODE MESSAGE".
#include <phub/message.h>

#include <cstdio>
#include <cstdlib>
#include <string>

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  phub::MessengerOptions options;
  options.number = static_cast<uint32_t>(std::atoi(argv[1]));
  options.peer_timeout = std::chrono::milliseconds(1500);
  options.shared_memory = std::string(argv[3]) == "auto";
  phub::Result<phub::Messenger> messenger = phub::Messenger::open(options);
  if (!messenger.ok()) {
    std::printf("failed %s\n", messenger.status().message().c_str());
    return 1;
  }
  messenger->set_peer_handler([&messenger](phub::PeerId peer, const phub::Status& status) {
    const std::string text = messenger->describe(peer);
    std::printf("%s %s\n", status.ok() ? "met" : "lost", text.c_str());
    std::fflush(stdout);
  });
  std::printf("address %s\n", messenger->address().c_str());
  std::fflush(stdout);
  const std::string peer_address = argv[2];
  const phub::Result<phub::PeerId> peer =
      peer_address == "none" ? messenger->wait_for_peer(1) : messenger->connect(peer_address);
  if (!peer.ok()) {
    std::printf("failed %s\n", peer.status().message().c_str());
    return 1;
  }
  if (peer_address != "none") {
    std::string data(3'000'000, 'x');
    const auto sent = messenger->send(*peer, 1, {{data.data(), data.size()}});
    const phub::Result<phub::Message> back = messenger->receive(*peer, 1);
    const bool is_same = back.ok() && back->bytes() == data.size() && sent->wait().ok();
    std::printf("echo %s\n", is_same ? "whole" : back.status().message().c_str());
  } else {
    const phub::Result<phub::Message> message = messenger->receive(*peer, 1);
    if (message.ok()) {
      const auto& part = message->parts[0];
      std::printf("echoed %d\n",
                  messenger->send(*peer, 1, {{part.data(), part.size()}})->wait().ok());
    }
  }
  std::fflush(stdout);
  const phub::Result<phub::Message> never = messenger->receive(*peer, 2, std::chrono::seconds(60));
  std::printf("ended %s\n", never.status().to_string().c_str());
  return 0;
}
