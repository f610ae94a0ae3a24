// Goal: doctor tells a hub that can be reached from every way in which one cannot, and leaves no
// trace at the hub.
// Method: a real phubd over shm and TCP on loopback, and impostors made of bare sockets.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/fd.h"
#include "phub/doctor/hub_probe.h"
#include "phub/phubctl.h"
#include "tests/process/child.h"

namespace phub::process {
namespace {

using doctor::FullDatagram;
using doctor::HubProbe;
using doctor::Reach;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;
using Json = nlohmann::json;

HubProbe probe(const std::string& uri, milliseconds patience = seconds(5)) {
  return doctor::probe_hub(uri, patience);
}

class DoctorProcessTest : public testing::Test {
 protected:
  void start_hub() {
    path_ = "/tmp/phub-doctor-" + std::to_string(::getpid()) + ".sock";
    hub_.emplace(std::vector<std::string>{PHUB_TEST_PHUBD, "--listen",
                                          "shm://" + path_ + ",tcp://127.0.0.1:0", "--http",
                                          "127.0.0.1:0", "--shards", "1", "--log-level", "error"});
    const std::string ready = hub_->wait_line("phubd", seconds(20)).value_or("no hub");
    const size_t tcp = ready.find("tcp://");
    ASSERT_NE(tcp, std::string::npos) << ready;
    tcp_ = ready.substr(tcp, ready.find(',', tcp) - tcp);
    const size_t http = ready.find("http ") + 5;
    http_ = ready.substr(http, ready.find(',', http) - http);
  }
  hub::CtlResult ctl(std::vector<std::string> arguments) const {
    const std::vector<std::string> environment{"PHUB_HTTP=" + http_};
    return hub::run_phubctl(arguments, environment);
  }
  std::optional<Child> hub_;
  std::string path_;
  std::string tcp_;
  std::string http_;
};

// A listener on loopback that never speaks PHub.
struct Impostor {
  Impostor() : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof(address);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), bytes), 0);
    EXPECT_EQ(::listen(socket.get(), 4), 0);
    ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &bytes);
    uri = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  base::Fd socket;
  std::string uri;
};

TEST_F(DoctorProcessTest, AHubIsGreetedOverBothNetworksAndJoinedOverNeither) {
  start_hub();
  const HubProbe local = probe("shm://" + path_);
  EXPECT_EQ(local.reach, Reach::greeted) << local.reason;
  EXPECT_THAT(local.hub, StartsWith("phubd "));
  EXPECT_FALSE(local.path_mtu.has_value());
  const HubProbe remote = probe(tcp_);
  EXPECT_EQ(remote.reach, Reach::greeted) << remote.reason;
  EXPECT_EQ(remote.hub, local.hub);
  EXPECT_GT(remote.greeting_us, 0);
  EXPECT_TRUE(remote.round_trip_us.has_value());
  EXPECT_GE(remote.path_mtu.value_or(0), 1500u);
  EXPECT_EQ(remote.full_datagram, FullDatagram::arrived);
  EXPECT_EQ(remote.own_address, "127.0.0.1");
  const Json status = Json::parse(ctl({"status", "--json"}).output);
  EXPECT_TRUE(status["jobs"].empty());
  EXPECT_EQ(status["sessions_accepted"], 0);
  EXPECT_EQ(status["sessions_refused"], 0);
}

TEST_F(DoctorProcessTest, EveryWayNotToReachAHubIsToldApart) {
  EXPECT_EQ(probe("ftp://x").reach, Reach::bad_address);
  EXPECT_EQ(probe("shm:///nonexistent/phub.sock").reach, Reach::no_socket);
  EXPECT_EQ(probe("tcp://host.invalid:7").reach, Reach::unknown_host);
  std::string free_port;
  {
    const Impostor impostor;
    const HubProbe silent = probe(impostor.uri, milliseconds(200));
    EXPECT_EQ(silent.reach, Reach::not_a_hub);
    EXPECT_THAT(silent.reason, HasSubstr("no answer"));
    free_port = impostor.uri;
  }
  EXPECT_EQ(probe(free_port).reach, Reach::refused);
  start_hub();
  const HubProbe door = probe("tcp://" + http_);
  EXPECT_EQ(door.reach, Reach::not_a_hub) << "HTTP is no session";
}

TEST_F(DoctorProcessTest, TheProgramReportsAndItsExitStatusSaysWhetherThereIsAProblem) {
  start_hub();
  const hub::CtlResult good = ctl({"doctor", "--hub", tcp_, "--json"});
  const Json report = Json::parse(good.output);
  EXPECT_EQ(good.exit == hub::CtlExit::refused, report["verdict"] == "problem");
  bool has_hub = false;
  for (const Json& finding : report["findings"]) {
    if (finding["name"] == "hub" || finding["name"] == "hub over HTTP") {
      EXPECT_EQ(finding["verdict"], "ok") << finding.dump();
      has_hub = true;
    }
  }
  EXPECT_TRUE(has_hub);
  const hub::CtlResult both = ctl({"doctor", "--hub", "shm://" + path_ + ", " + tcp_.substr(6)});
  EXPECT_THAT(both.output, HasSubstr("shm://" + path_ + ": phubd"));
  EXPECT_THAT(both.output, HasSubstr(tcp_.substr(6) + " (" + tcp_.substr(6) + "): phubd"));
  const hub::CtlResult bad = ctl({"doctor", "--hub", "shm:///nonexistent/phub.sock"});
  EXPECT_EQ(bad.exit, hub::CtlExit::refused);
  EXPECT_THAT(bad.output, HasSubstr("fix: start phubd --listen shm:///nonexistent/phub.sock"));
  EXPECT_EQ(bad.output.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace phub::process
