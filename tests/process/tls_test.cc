// Goal: with tls:// a job runs from end to end between real processes, and what is wrong with
// certificates and addresses is said to whoever must mend it. Method: phubd with a TCP and a TLS
// address; workers that get their files from the environment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/process/child.h"
#include "tests/transport/certificates.h"

namespace phub::process {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

class TlsProcessTest : public testing::Test {
 protected:
  TlsProcessTest() {
    certificates_.make({.file = "hub", .names = "IP:127.0.0.1"});
    certificates_.make({.file = "worker"});
    hub_ = std::make_unique<Child>(std::vector<std::string>{
        "/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1", PHUB_TEST_PHUBD, "--listen",
        "tcp://127.0.0.1:0,tls://127.0.0.1:0", "--http", "off", "--shards", "1", "--tls-cert",
        path("hub.pem"), "--tls-key", path("hub.key"), "--tls-client-ca", path("ca.pem")});
    const std::string ready = hub_->wait_line("phubd ", seconds(20)).value_or("tcp://,tls://,");
    const auto address = [&ready](const char* scheme) {
      const size_t begin = ready.find(scheme);
      return ready.substr(begin, ready.find(',', begin) - begin);
    };
    tcp_ = address("tcp://");
    tls_ = address("tls://");
  }
  ~TlsProcessTest() override { set_files("", ""); }
  std::string path(const std::string& file) const { return certificates_.path(file); }
  // For the workers that are started from now on. Empty: none.
  void set_files(const std::string& ca, const std::string& worker) const {
    const auto set = [](const char* name, const std::string& value) {
      if (value.empty()) {
        ::unsetenv(name);
      } else {
        ::setenv(name, value.c_str(), 1);
      }
    };
    set("PHUB_TLS_CA", ca.empty() ? "" : path(ca));
    set("PHUB_TLS_CERT", worker.empty() ? "" : path(worker + ".pem"));
    set("PHUB_TLS_KEY", worker.empty() ? "" : path(worker + ".key"));
  }
  Child start(const std::string& address, uint32_t rank, uint32_t size) const {
    return Child({PHUB_TEST_WORKER, address, "secure", std::to_string(rank), std::to_string(size)});
  }
  std::string error_of(const std::string& address) const {
    return start(address, 0, 1).wait_line("error", seconds(20)).value_or("no error");
  }

  // Whether the hub says so in one of the lines to come.
  bool logs(const std::string& part) const {
    while (const auto line = hub_->wait_line("", seconds(20))) {
      if (line->find(part) != std::string::npos) return true;
    }
    return false;
  }

  testing_support::Certificates certificates_;
  std::unique_ptr<Child> hub_;
  std::string tcp_, tls_;
};

TEST_F(TlsProcessTest, AJobMixesRanksWithAndWithoutTls) {
  set_files("ca.pem", "worker");
  std::vector<Child> workers;
  workers.push_back(start(tls_, 0, 3));
  workers.push_back(start(tls_, 1, 3));
  set_files("", "");
  workers.push_back(start(tcp_, 2, 3));
  for (Child& worker : workers) EXPECT_TRUE(worker.wait_line("round", seconds(20)).has_value());
  workers[1].signal(SIGKILL);
  const std::string line = workers[0].wait_line("error", seconds(20)).value_or("");
  EXPECT_THAT(line, AllOf(HasSubstr("aborted"), HasSubstr("rank 1")));
}

TEST_F(TlsProcessTest, WhatIsWrongIsSaidToTheWorker) {
  set_files("", "worker");
  EXPECT_THAT(error_of(tls_), AllOf(HasSubstr("permission_denied"), HasSubstr("PHUB_TLS_CA")));
  set_files("ca.pem", "");
  EXPECT_THAT(error_of(tls_), HasSubstr("wants a certificate of the worker"));
  EXPECT_TRUE(logs("session refused from 127.0.0.1:"));
  set_files("ca.pem", "worker");
  EXPECT_THAT(error_of(tcp_), HasSubstr("is not encrypted"));
  EXPECT_THAT(error_of("tls" + tcp_.substr(3)), HasSubstr("does not speak TLS"));
  set_files("", "");
  EXPECT_THAT(error_of("tcp" + tls_.substr(3)), HasSubstr("connect to it by tls://"));
}

}  // namespace
}  // namespace phub::process
