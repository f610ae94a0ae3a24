// Goal: whatever strangers and broken workers send to the hub's ports, over whatever number of
// connections, costs them their own connection or job; a job beside them trains on, exactly.
// Method: raw sockets on a machine of their own, seeded bytes before and after the proof.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/random.h"
#include "exchange/probe.h"
#include "exchange/session_codec.h"
#include "tests/exchange/session_samples.h"
#include "tests/net/rack_fixture.h"
#include "tests/net/raw_rank.h"
#include "transport/tcp_socket.h"

namespace phub::net {
namespace {

constexpr uint16_t kLinkPort = 7100;  // Of the only shard: the first of the range.

class HostileTest : public RackFixture {
 protected:
  void SetUp() override {
    RackFixture::SetUp();
    if (IsSkipped()) return;
    add_nodes(2);
    hub_.emplace(start_hub("tcp://eth0:7077", {"--peer-timeout", "20s"}));
    calm_ = start_job("tcp://10.77.0.1:7077", "calm", 0, 50'000);
    for (Child& worker : calm_) expect_rounds(worker);
  }
  void TearDown() override {
    if (!IsSkipped()) {
      for (Child& worker : calm_) expect_new_rounds(worker);
    }
    calm_.clear();
    hub_.reset();
    RackFixture::TearDown();
  }
  // On the second worker's machine.
  void attack(const std::function<void()>& body) { nodes_[1]->run(body); }
  static base::Fd dial(uint16_t port) {
    Result<base::Fd> socket = transport::connect_tcp({"10.77.0.1", port}, base::now() + kPatience);
    EXPECT_TRUE(socket.ok()) << socket.status().message();
    return socket.ok() ? std::move(socket).value() : base::Fd();
  }
  static void say(int socket, std::string_view bytes) {
    ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // Cut short, with some bytes changed.
  static std::string spoil(std::string bytes, base::Random& random) {
    for (uint64_t flips = random.below(6); flips > 0; --flips) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    }
    if (random.chance(0.5)) bytes.resize(1 + random.below(bytes.size()));
    return bytes;
  }
  static std::string noise(size_t bytes, base::Random& random) {
    std::string text(bytes, '\0');
    for (char& byte : text) byte = static_cast<char>(random.next());
    return text;
  }

  std::optional<Child> hub_;
  std::vector<Child> calm_;
};

TEST_F(HostileTest, BrokenBytesBeforeTheProof) {
  attack([] {
    base::Random random(5);
    const std::vector<exchange::Body> samples = exchange::make_samples();
    for (int i = 0; i < 400; ++i) {
      const base::Fd socket = dial(i % 4 == 0 ? kLinkPort : 7077);
      const std::string frame = exchange::encode(samples[random.below(samples.size())]);
      say(socket.get(), i % 3 == 0 ? noise(1 + random.below(5000), random)
                                   : spoil(frame, random) + spoil(frame, random));
      if (i % 4 == 0) say(socket.get(), "PHUBTCP2" + noise(1 + random.below(64), random));
    }
  });
}

TEST_F(HostileTest, BrokenBytesAfterTheProof) {
  attack([] {
    base::Random random(6);
    const std::vector<exchange::Body> samples = exchange::make_samples();
    for (int i = 0; i < 60; ++i) {
      RawRank rank({"10.77.0.1", 7077}, "raw" + std::to_string(i), 100);
      ASSERT_TRUE(rank.is_trusted()) << i;
      for (int part = 0; part < 4; ++part) {
        const std::string frame = exchange::encode(samples[random.below(samples.size())]);
        say(rank.session().fd(),
            i % 3 == 0 ? noise(1 + random.below(5000), random) : spoil(frame, random));
      }
    }
  });
}

TEST_F(HostileTest, BrokenBytesOnALinkThatIsWhole) {
  attack([] {
    base::Random random(7);
    for (int i = 0; i < 60; ++i) {
      RawRank rank({"10.77.0.1", 7077}, "link" + std::to_string(i), 100);
      const base::Fd link = rank.open_link();
      ASSERT_TRUE(link.valid()) << i;
      const auto any = [&random](uint32_t usual) {
        return random.chance(0.5) ? usual : static_cast<uint32_t>(random.next());
      };
      for (int frame = 0; frame < 3; ++frame) {
        say(link.get(),
            spoil(link_frame(any(1u << 24), any(0), any(400)) + noise(400, random), random));
      }
    }
  });
}

TEST_F(HostileTest, ARankThatNeverReadsItsResultsHoldsUpNobody) {
  constexpr uint32_t kChunkBytes = 8192 * 4;
  constexpr uint32_t kChunks = 1024;  // 32 MiB: far more than all sockets on the way can hold.
  std::optional<RawRank> rank;
  base::Fd link;
  attack([&] {
    rank.emplace(base::HostPort{"10.77.0.1", 7077}, "deaf", uint64_t{kChunks} * 8192);
    link = rank->open_link();
    ASSERT_TRUE(link.valid());
    ::fcntl(link.get(), F_SETFL, 0);  // Blocking.
    const std::string payload(kChunkBytes, '\0');
    for (uint32_t slot = 0; slot < kChunks; ++slot) {
      const std::string frame = link_frame(1u << 24, slot, kChunkBytes) + payload;
      ASSERT_EQ(::send(link.get(), frame.data(), frame.size(), MSG_NOSIGNAL), std::ssize(frame));
    }
  });
  for (Child& worker : calm_) expect_new_rounds(worker);
  pollfd wait = {link.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 0), 1);
  EXPECT_EQ(wait.revents, POLLIN) << "results were waiting, and the link was whole";
}

TEST_F(HostileTest, EveryProbeOfAFloodIsAnsweredOrTurnedAway) {
  attack([] {
    int answered = 0, refused = 0;
    for (int i = 0; i < 6000; ++i) {
      const auto answer =
          exchange::probe_hub(dial(7077), std::string(64, 'a'), base::now() + kPatience);
      ASSERT_TRUE(answer.ok()) << answer.status().message();
      ++(answer->refusal.ok() ? answered : refused);
    }
    EXPECT_GE(answered, 4096);
    EXPECT_EQ(answered + refused, 6000);
  });
}

TEST_F(HostileTest, TenThousandConnectionsThatComeAndGo) {
  attack([] {
    const linger reset{1, 0};
    std::vector<base::Fd> idle;
    for (int i = 0; i < 10'000; ++i) {
      base::Fd socket = dial(i % 2 == 0 ? kLinkPort : 7077);
      if (i % 3 == 0) ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
      if (i % 20 == 0 && idle.size() < 400) idle.push_back(std::move(socket));
    }
  });
  // A newcomer finds its way through what the storm has left.
  std::vector<Child> late = start_job("10.77.0.1:7077", "late", 10, 20'000);
  expect_done(late);
}

}  // namespace
}  // namespace phub::net
