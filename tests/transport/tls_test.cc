// Goal: whoever cannot prove who he is, or does not speak TLS, gets nowhere, learns why, and costs
// nobody else anything. Method: TLS contexts with every kind of wrong certificate, and raw sockets
// that break the handshake, against a real acceptor on the loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <thread>

#include "base/random.h"
#include "tests/transport/certificates.h"
#include "transport/tcp.h"

namespace phub::transport {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing_support::Certificates;

class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    certificates_.make({.file = "hub", .names = "IP:127.0.0.1,DNS:hub.rack8"});
    certificates_.make({.file = "worker"});
    certificates_.make({.file = "old", .begins = seconds(-7200), .ends = seconds(-3600)});
  }
  TlsOptions files(const std::string& name, bool has_ca = true) const {
    return {.ca = has_ca ? path("ca.pem") : "",
            .certificate = name.empty() ? "" : path(name + ".pem"),
            .key = name.empty() ? "" : path(name + ".key")};
  }
  std::string path(const std::string& file) const { return certificates_.path(file); }

  void start_hub(const TlsOptions& options) {
    auto tls = TlsContext::for_hub(options);
    ASSERT_TRUE(tls.ok()) << tls.status().message();
    hub_ = TcpFabric::make({.listen = base::HostPort{"127.0.0.1", 0}, .tls = *tls}).value();
    const std::span<std::byte> memory = hub_->allocate(64).value();
    options_.slots = {{memory.data(), 64}};
    options_.peer_slot_count = 1;
    options_.acceptor_puts_max = options_.connector_puts_max = 2;
    link_ = hub_->open(options_, &offer_).value();
    ASSERT_TRUE(hub_->accept(link_, {encode_tcp_answer(options_), {}}).ok());
  }
  // What comes of a worker that joins the hub's link: "joined", or why it lost the link.
  std::string join(const TlsOptions& options, const std::string& host = "127.0.0.1") {
    auto tls = TlsContext::for_worker(options, host);
    if (!tls.ok()) return tls.status().message();
    return join(TcpOptions{.hub_host = "127.0.0.1", .tls = *tls});
  }
  std::string join(const TcpOptions& options) {
    const std::unique_ptr<Fabric> worker = TcpFabric::make(options).value();
    LinkOptions own = options_;
    own.slots[0].data = worker->allocate(64)->data();
    Bootstrap answer;
    const auto link = worker->connect(own, {offer_.blob, {}}, &answer);
    if (!link.ok()) return link.status().message();
    const std::byte byte{7};
    const Put put = {.link = *link, .tag = 5, .bytes = 1, .data = &byte};
    worker->put({&put, 1});
    std::array<Event, 4> events;
    for (int i = 0; i < 5000; ++i) {
      if (hub_->poll(base::now(), events) > 0 && events[0].kind == EventKind::arrived) {
        return "joined";
      }
      const size_t count = worker->poll(base::now(), events);
      for (size_t k = 0; k < count; ++k) {
        if (events[k].kind == EventKind::lost) return worker->lost_reason(*link);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return "nothing came of it";
  }
  base::Fd dial() const {
    const TcpOffer offer = decode_tcp_offer(offer_.blob, options_).value();
    return connect_tcp({"127.0.0.1", offer.port}, base::now() + seconds(5)).value();
  }
  static void say(const base::Fd& socket, std::string_view bytes) {
    ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

  Certificates certificates_;
  std::unique_ptr<Fabric> hub_;
  LinkOptions options_;
  LinkId link_{0};
  Bootstrap offer_;
};

TEST_F(TlsTest, AWorkerThatTrustsTheHubNeedsNoCertificateUnlessTheHubAsks) {
  start_hub(files("hub", false));
  EXPECT_EQ(hub_->name(), "tls");
  EXPECT_EQ(join(files("")), "joined");
}
TEST_F(TlsTest, ACertificateOfTheClientCaIsLetIn) {
  start_hub(files("hub"));
  EXPECT_EQ(join(files("worker")), "joined");
}
TEST_F(TlsTest, AMissingCertificateIsRefusedAndTheNextWorkerComesIn) {
  start_hub(files("hub"));
  EXPECT_THAT(join(files("")), AllOf(HasSubstr("wants a certificate"), HasSubstr("PHUB_TLS_CERT")));
  EXPECT_EQ(join(files("worker")), "joined");
}
TEST_F(TlsTest, ACertificateOfAnotherCaIsRefused) {
  start_hub(files("hub"));
  for (const char* const ca : {"ca", "another"}) {
    Certificates others(ca);
    others.make({.file = "worker"});
    TlsOptions options = files("");
    options.certificate = others.path("worker.pem");
    options.key = others.path("worker.key");
    EXPECT_THAT(join(options), HasSubstr("does not know who signed this side's certificate")) << ca;
  }
}
TEST_F(TlsTest, AHubOfAnUnknownCaIsNotBelieved) {
  start_hub(files("hub"));
  TlsOptions options = files("worker");
  for (const char* const ca : {"ca", "another"}) {
    const Certificates others(ca);
    options.ca = others.path("ca.pem");
    EXPECT_THAT(join(options), AllOf(HasSubstr("is signed by"), HasSubstr("PHUB_TLS_CA"))) << ca;
  }
  options.ca = "";  // The machine's trust store.
  EXPECT_THAT(join(options), HasSubstr("is signed by"));
}
TEST_F(TlsTest, AHubOfAnotherNameIsNotBelievedAndItsNamesAreSaid) {
  start_hub(files("hub"));
  EXPECT_EQ(join(files("worker"), "hub.rack8"), "joined");
  for (const char* const host : {"hub.rack9", "127.0.0.2"}) {
    EXPECT_THAT(join(files("worker"), host), HasSubstr("it names IP 127.0.0.1, hub.rack8")) << host;
  }
}
TEST_F(TlsTest, APlainWorkerGetsNowhereAndATlsWorkerFindsOutThatAHubIsPlain) {
  start_hub(files("hub"));
  EXPECT_NE(join(TcpOptions{.hub_host = "127.0.0.1"}), "joined");
  EXPECT_EQ(join(files("worker")), "joined");
  hub_ = TcpFabric::make({.listen = base::HostPort{"127.0.0.1", 0}}).value();
  link_ = hub_->open(options_, &offer_).value();
  EXPECT_NE(join(files("worker")), "joined");
}

TEST_F(TlsTest, FilesThatWillNotDoAreNamedWithTheReason) {
  const auto hub_error = [](const TlsOptions& options) {
    const auto made = TlsContext::for_hub(options);
    return made.ok() ? "no error" : made.status().message();
  };
  TlsOptions options = files("hub");
  options.certificate = path("absent.pem");
  EXPECT_THAT(hub_error(options), AllOf(HasSubstr("tls_cert"), HasSubstr("No such file")));
  options = files("hub");
  options.key = path("worker.key");
  EXPECT_THAT(hub_error(options), AllOf(HasSubstr("tls_key"), HasSubstr("not the key of")));
  options.key = path("hub.pem");
  ::chmod(options.key.c_str(), 0600);
  EXPECT_THAT(hub_error(options), HasSubstr("no private key"));
  options = files("hub");
  ::chmod(options.key.c_str(), 0644);
  EXPECT_THAT(hub_error(options), HasSubstr("every user can read it"));
  ::chmod(options.key.c_str(), 0640);
  EXPECT_EQ(hub_error(options), "no error");
  options.ca = options.key;
  EXPECT_THAT(hub_error(options), HasSubstr("tls_client_ca"));
  EXPECT_THAT(hub_error(files("old")), HasSubstr("has expired on"));
  EXPECT_EQ(TlsContext::for_worker({.key = path("hub.key")}, "h").status().code(),
            Code::invalid_argument);
}

TEST_F(TlsTest, StrangersWhoStallOrTalkNonsenseHinderNobody) {
  start_hub(files("hub"));
  std::vector<base::Fd> strangers;
  base::Random random(5);
  // A client hello as it looks, up to some byte; then silence, noise, or the end.
  const std::string head("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  for (int i = 0; i < 60; ++i) {
    std::string bytes = head + std::string(600, 'x');
    for (char& byte : bytes) {
      if (random.below(20) == 0) byte = static_cast<char>(random.next());
    }
    strangers.push_back(dial());
    say(strangers.back(), std::string_view(bytes).substr(0, random.below(bytes.size())));
    if (i % 3 == 0) strangers.pop_back();
    std::array<Event, 1> event;
    EXPECT_EQ(hub_->poll(base::now(), event), 0u);
  }
  EXPECT_EQ(join(files("worker")), "joined");
  // Those who drip are gone after ten seconds, whatever they still say.
  std::array<Event, 4> events;
  const base::Instant later = base::now() + seconds(3600);
  hub_->poll(later, events);
  hub_->poll(later + seconds(11), events);
  for (const base::Fd& socket : strangers) {
    std::array<char, 64> bytes;
    ssize_t count = 1;
    while (count > 0) count = ::recv(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    EXPECT_TRUE(count == 0 || errno == ECONNRESET) << "still there";
  }
}

}  // namespace
}  // namespace phub::transport
