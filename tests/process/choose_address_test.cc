// Goal: a worker that was told only HOST:PORT takes shared memory exactly when it leads to the same
// hub, and says why it did or did not; what is no hub is told apart from a hub that is not there.
// Method: a real hub on the loopback, its socket taken away or replaced, and a pretender.
#include "worker_lib/choose_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "exchange/session_codec.h"
#include "tests/process/hub_fixture.h"
#include "transport/tcp_socket.h"

namespace phub::process {
namespace {

using client::choose_address;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

class ChooseAddressTest : public HubFixture {
 protected:
  void start_both() {
    path_ = fresh_socket();
    start_hub([this](config::HubConfig& config) {
      config.listen = "shm://" + path_ + ",tcp://127.0.0.1:0";
    });
    port_ = address_.substr(address_.find("127.0.0.1:"));
  }
  std::string chosen(const std::string& text, const std::string& boot_id = {}) {
    const base::Instant soon = base::now() + seconds(20);
    const auto hub =
        boot_id.empty() ? choose_address(text, soon) : choose_address(text, soon, boot_id);
    return hub.ok() ? hub->to_text() : hub.status().to_string();
  }
  std::string path_;
  std::string port_;  // "127.0.0.1:34567"
};

TEST_F(ChooseAddressTest, OnTheHubsHostSharedMemoryIsChosenAndWorks) {
  start_both();
  const std::string expected = "shm://" + path_ + ", because it runs on this host";
  EXPECT_EQ(chosen(port_), expected);
  EXPECT_EQ(chosen("auto://" + port_), expected);
  EXPECT_EQ(chosen("tcp://" + port_), "tcp://" + port_);
  address_ = port_;
  const std::vector<TensorSpec> specs = {make_spec("t", 100)};
  run_ranks(2, [&](Worker& worker, uint32_t) {
    EXPECT_EQ(worker.hub_address(), expected);
    const auto tensors = worker.register_tensors(specs);
    ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
    std::vector<float> data(100, 1.0f);
    ASSERT_TRUE(worker.push_pull((*tensors)[0], data.data(), data.data()).ok());
    ASSERT_TRUE(worker.wait_all().ok());
    EXPECT_EQ(data[99], 2.0f);
  });
}

TEST_F(ChooseAddressTest, OnAnotherHostItIsTcp) {
  start_both();
  EXPECT_EQ(chosen(port_, "another boot id"),
            "tcp://" + port_ + ", because it runs on another host (the boot ids differ)");
}

TEST_F(ChooseAddressTest, WithoutTheHubsSocketItIsTcp) {
  start_both();
  const std::string moved = path_ + ".moved";
  ASSERT_EQ(std::rename(path_.c_str(), moved.c_str()), 0);
  EXPECT_THAT(chosen(port_), StartsWith("tcp://" + port_ + ", because " + path_ +
                                        " cannot be opened here: No such file"));
  EXPECT_THAT(chosen(port_), HasSubstr("another mount namespace?"));
  ASSERT_EQ(std::rename(moved.c_str(), path_.c_str()), 0);
  EXPECT_THAT(chosen(port_), StartsWith("shm://"));
}

TEST_F(ChooseAddressTest, ASocketOfAnotherHubIsNotTaken) {
  start_both();
  const std::string first_port = port_;
  const std::string first_path = path_;
  const std::unique_ptr<hub::Hub> first = std::move(hubs_[0]);
  start_both();
  ASSERT_EQ(std::rename(path_.c_str(), first_path.c_str()), 0);
  EXPECT_THAT(chosen(first_port), HasSubstr("leads to another hub here"));
}

TEST_F(ChooseAddressTest, AHubWithoutSharedMemoryIsReachedOverTcp) {
  start_hub([](config::HubConfig& config) { config.listen = "tcp://127.0.0.1:0"; });
  port_ = address_.substr(6);
  EXPECT_EQ(chosen(port_), "tcp://" + port_ + ", because the hub listens on no shm:// address");
}

TEST_F(ChooseAddressTest, AddressesThatMeanNothingAreRefused) {
  for (const char* text : {"", "10.0.0.7", "auto://", "auto://host", "host:0", "ipx://a:1"}) {
    EXPECT_EQ(client::check_hub_address(text).code(), Code::invalid_argument) << text;
  }
  for (const char* text : {"hub:7077", "auto://[::1]:7077", "tcp://hub:1", "shm:///a"}) {
    EXPECT_TRUE(client::check_hub_address(text).ok()) << text;
  }
}

// Listens, reads what comes, and answers each connection with the next of some texts.
class Pretender {
 public:
  explicit Pretender(std::vector<std::string> answers) : answers_(std::move(answers)) {
    base::HostPort bound;
    listener_ = std::move(transport::listen_tcp({"127.0.0.1", 0}, &bound)).value();
    place_ = base::to_text(bound);
    thread_ = std::thread([this] { run(); });
  }
  ~Pretender() {
    is_ending_ = true;
    thread_.join();
  }
  const std::string& place() const { return place_; }

 private:
  void run() {
    std::vector<base::Fd> guests;
    while (!is_ending_) {
      pollfd wait = {listener_.get(), POLLIN, 0};
      ::poll(&wait, 1, 10);
      Result<base::Fd> guest = transport::accept_tcp(listener_.get());
      if (!guest.ok() || !guest->valid()) continue;
      const std::string& answer = answers_[std::min(guests.size(), answers_.size() - 1)];
      ::send(guest->get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      guests.push_back(std::move(guest).value());
    }
  }
  const std::vector<std::string> answers_;
  base::Fd listener_;
  std::string place_;
  std::atomic<bool> is_ending_ = false;
  std::thread thread_;
};

std::string failure(Code code, const std::string& message) {
  return exchange::encode(exchange::Failure{static_cast<uint8_t>(code), message});
}

TEST_F(ChooseAddressTest, AnOlderHubIsReachedOverTcpAndABusyOneIsAskedAgain) {
  const Pretender older({failure(Code::invalid_argument, "message type 16 is unknown")});
  EXPECT_EQ(chosen(older.place()), "tcp://" + older.place() +
                                       ", because the hub answers no probe: message type 16 is "
                                       "unknown");
  const exchange::Probed probed{"busy hub", 1, std::string(64, '0'), "", {}};
  const Pretender busy({failure(Code::resource_exhausted, "too many"),
                        failure(Code::resource_exhausted, "too many"), exchange::encode(probed)});
  EXPECT_THAT(chosen(busy.place()), HasSubstr("does not say its boot id"));
}

TEST_F(ChooseAddressTest, WhatIsNoHubIsSaidToBeNone) {
  const Pretender web({"HTTP/1.1 400 Bad Request\r\n\r\n"});
  EXPECT_THAT(chosen(web.place()), HasSubstr("does not answer as a hub"));
  EXPECT_THAT(chosen(web.place()), HasSubstr("another protocol"));
  EXPECT_THAT(chosen(web.place()), HasSubstr("phubd's --listen, not of --http?"));
  const Pretender silent({""});
  const auto late = choose_address(silent.place(), base::now() + milliseconds(50));
  EXPECT_EQ(late.status().code(), Code::timed_out);
  std::string gone;
  {
    const Pretender nobody({""});
    gone = nobody.place();
  }
  EXPECT_EQ(choose_address(gone, base::now() + seconds(5)).status().code(), Code::unavailable);
  EXPECT_THAT(chosen(gone), HasSubstr("is phubd running"));
}

}  // namespace
}  // namespace phub::process
