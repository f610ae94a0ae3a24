// Goal: every message arrives as it was sent, and no damaged frame is taken for a message.
// Method: one sample of each message, compared field by field; cut at every byte; headers damaged.
#include "exchange/session_codec.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "tests/exchange/session_samples.h"

namespace phub::exchange {

namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

auto fields(const Hello& m) {
  return std::tuple(m.job.name, m.job.rank_count, m.job.chunk_elements, m.rank, m.process, m.host,
                    m.fabric, m.nonce);
}
auto fields(const Proof& m) { return std::tuple(m.hmac, m.key); }
auto fields(const Tensors& m) {
  return std::tuple(m.epoch, m.digest, m.table.size(), m.hub, m.hubs);
}
auto fields(const Answer& m) { return std::tuple(m.epoch, m.links, m.fd_counts); }
auto fields(const Barrier& m) { return std::tuple(m.id); }
auto fields(const Settings& m) { return std::tuple(m.id, m.values, m.first_rounds); }
auto fields(const LateQuery& m) { return std::tuple(m.id); }
auto fields(const StateQuery& m) {
  return std::tuple(m.id, m.tensor, m.kind, m.write, m.first_element, m.count, m.step_count,
                    m.blob);
}
auto fields(const Leave&) { return std::tuple(); }
auto fields(const Abort& m) { return std::tuple(m.message); }
auto fields(const Heartbeat&) { return std::tuple(); }
auto fields(const Challenge& m) { return std::tuple(m.nonce, m.is_new_job, m.hub); }
auto fields(const Welcome& m) { return std::tuple(m.hub, m.shape, m.peer_timeout_ms); }
auto fields(const Offer& m) { return std::tuple(m.epoch, m.digest, m.links, m.fd_counts); }
auto fields(const Start& m) { return std::tuple(m.epoch); }
auto fields(const BarrierDone& m) { return std::tuple(m.id); }
auto fields(const SettingsDone& m) { return std::tuple(m.id); }
auto fields(const LateReport& m) { return std::tuple(m.id, m.text); }
auto fields(const StateReply& m) {
  return std::tuple(m.id, m.code, m.message, m.step_count, m.blob);
}
auto fields(const Left&) { return std::tuple(); }
auto fields(const Failure& m) { return std::tuple(m.code, m.message); }
auto fields(const Probe& m) { return std::tuple(m.nonce); }
auto fields(const Probed& m) {
  return std::tuple(m.hub, m.protocol, m.instance, m.host_proof, m.listen);
}
auto fields(const TensorSpec& t) {
  return std::tuple(t.name, t.type, t.count, t.op, t.optimizer, t.priority);
}

TEST(SessionCodecTest, SamplesCoverEveryMessage) {
  const std::vector<Body> samples = make_samples();
  ASSERT_EQ(samples.size(), std::variant_size_v<Body>);
  for (size_t i = 0; i < samples.size(); ++i) EXPECT_EQ(samples[i].index(), i);
}

TEST(SessionCodecTest, EveryMessageArrivesAsItWasSent) {
  for (const Body& sample : make_samples()) {
    SCOPED_TRACE(name_of(sample));
    const std::string frame = encode(sample);
    const auto decoded = decode(bytes_of(frame));
    ASSERT_TRUE(decoded.ok()) << decoded.status().message();
    ASSERT_EQ(decoded->index(), sample.index());
    std::visit(
        [&](const auto& message) {
          using T = std::decay_t<decltype(message)>;
          EXPECT_TRUE(fields(message) == fields(std::get<T>(*decoded)));
        },
        sample);
    EXPECT_EQ(encode(*decoded), frame);
  }
}

TEST(SessionCodecTest, AnAnswerToAProbeFitsBeforeTheProofHoweverManyAddressesThereAre) {
  Probed probed{std::string(200, 'h'), 1, std::string(64, 'a'), std::string(64, 'b'), {}};
  for (int i = 0; i < 100; ++i) probed.listen.push_back("shm:///" + std::string(106, 'p'));
  const std::string frame = encode(probed);
  EXPECT_LE(frame.size(), kFrameBytesBeforeAuth);
  const auto decoded = decode(bytes_of(frame));
  ASSERT_TRUE(decoded.ok()) << decoded.status().message();
  EXPECT_EQ(std::get<Probed>(*decoded).listen.size(), 16u);
}

TEST(SessionCodecTest, TensorTablesArriveAsTheyWereSent) {
  const std::vector<Body> samples = make_samples();
  const auto& sent = std::get<Tensors>(samples[2]);
  const auto decoded = decode(bytes_of(encode(sent)));
  ASSERT_TRUE(decoded.ok()) << decoded.status().message();
  const auto& came = std::get<Tensors>(*decoded);
  ASSERT_EQ(came.table.size(), sent.table.size());
  for (size_t i = 0; i < sent.table.size(); ++i) {
    EXPECT_TRUE(fields(came.table[i]) == fields(sent.table[i])) << i;
  }
}

TEST(SessionCodecTest, FloatsArriveBitForBit) {
  for (const float value : {0.1f, -0.0f, 1e-45f, 3.4028235e38f, 0x1.000002p-1f, 16777217.0f}) {
    const Settings sent{.id = 1, .values = {.learning_rate = value}, .first_rounds = {}};
    const auto decoded = decode(bytes_of(encode(sent)));
    ASSERT_TRUE(decoded.ok()) << decoded.status().message();
    const float came = std::get<Settings>(*decoded).values.learning_rate;
    EXPECT_EQ(std::bit_cast<uint32_t>(came), std::bit_cast<uint32_t>(value)) << value;
  }
}

TEST(SessionCodecTest, NumbersThatAreNotFiniteAreRefused) {
  for (const float value :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    const Settings sent{.id = 1, .values = {.gradient_scale = value}, .first_rounds = {}};
    const auto decoded = decode(bytes_of(encode(sent)));
    EXPECT_EQ(decoded.status().message(),
              "message settings: field gradient_scale: want a number in float32's range, got null");
  }
}

TEST(SessionCodecTest, AFrameCutAnywhereIsRefused) {
  for (const Body& sample : make_samples()) {
    const std::string frame = encode(sample);
    for (size_t size = 0; size < frame.size(); ++size) {
      const auto decoded = decode(bytes_of(std::string_view(frame).substr(0, size)));
      ASSERT_EQ(decoded.status().code(), Code::invalid_argument) << name_of(sample) << " " << size;
      ASSERT_FALSE(decoded.status().message().empty());
    }
    EXPECT_FALSE(decode(bytes_of(frame + "x")).ok()) << name_of(sample);
  }
}

// Also for a body that is shorter than the header said, cut so that the header agrees.
TEST(SessionCodecTest, AJsonBodyCutAnywhereIsRefused) {
  for (const Body& sample : make_samples()) {
    const std::string frame = encode(sample);
    const auto header = read_frame_header(bytes_of(frame).first(kFrameHeaderBytes), kFrameBytesMax);
    ASSERT_TRUE(header.ok());
    for (uint32_t size = 0; size < header->json_bytes; ++size) {
      std::string cut = frame.substr(0, kFrameHeaderBytes + size) +
                        frame.substr(kFrameHeaderBytes + header->json_bytes);
      for (int i = 0; i < 4; ++i) cut[8 + i] = static_cast<char>(size >> (8 * i));
      ASSERT_FALSE(decode(bytes_of(cut)).ok()) << name_of(sample) << " " << size;
    }
  }
}

TEST(SessionCodecTest, AnotherVersionIsNamedBesideOurs) {
  std::string frame = encode(Heartbeat{});
  frame[4] = 7;
  const auto size = frame_size(bytes_of(frame).first(kFrameHeaderBytes), kFrameBytesMax);
  EXPECT_EQ(size.status().code(), Code::invalid_argument);
  EXPECT_EQ(size.status().message(),
            "the peer speaks protocol version 7, this side version 1; install the same release of "
            "PHub on both");
  EXPECT_EQ(decode(bytes_of(frame)).status().message(), size.status().message());
}

TEST(SessionCodecTest, AnotherProtocolIsRecognized) {
  const std::string frame = "GET / HTTP/1.1\r\nHost: hub\r\n\r\n";
  const auto size = frame_size(bytes_of(frame).first(kFrameHeaderBytes), kFrameBytesMax);
  EXPECT_NE(size.status().message().find("another protocol"), std::string::npos);
}

TEST(SessionCodecTest, UnknownTypesAreRefused) {
  std::string frame = encode(Heartbeat{});
  for (const char type : {'\0', '\x0b', '\x40', '\x4b'}) {
    frame[6] = type;
    EXPECT_EQ(decode(bytes_of(frame)).status().code(), Code::invalid_argument);
  }
}

TEST(SessionCodecTest, FramesOverTheLimitAreRefusedByTheirHeader) {
  const std::string frame = encode(Failure{.code = 1, .message = std::string(5000, 'x')});
  const auto header = bytes_of(frame).first(kFrameHeaderBytes);
  const auto size = static_cast<uint32_t>(frame.size());
  EXPECT_EQ(*frame_size(header, size), frame.size());
  EXPECT_EQ(frame_size(header, size - 1).status().code(), Code::invalid_argument);
  EXPECT_EQ(frame_size(header, kFrameBytesBeforeAuth).status().code(), Code::invalid_argument);

  // Lengths whose sum wraps around 32 bits.
  std::string hostile = frame;
  for (int i = 8; i < 16; ++i) hostile[i] = '\xff';
  EXPECT_FALSE(frame_size(bytes_of(hostile).first(kFrameHeaderBytes), kFrameBytesMax).ok());
}

TEST(SessionCodecTest, DescriptorsBelongToOffersAndAnswersOnly) {
  std::string heartbeat = encode(Heartbeat{});
  heartbeat[16] = 1;
  EXPECT_FALSE(decode(bytes_of(heartbeat)).ok());

  const Offer offer{.epoch = 1, .digest = 0, .links = {"a"}, .fd_counts = {3}};
  EXPECT_EQ(fd_count(offer), 3u);
  const std::string frame = encode(offer);
  const auto header = bytes_of(frame).first(kFrameHeaderBytes);
  EXPECT_EQ(read_frame_header(header, kFrameBytesMax)->fd_count, 3u);
  // Nobody unknown may send any.
  EXPECT_FALSE(read_frame_header(header, kFrameBytesBeforeAuth).ok());
  std::string other = frame;
  other[16] = 2;
  EXPECT_NE(decode(bytes_of(other)).status().message().find("header says 2 descriptors"),
            std::string::npos);
  const Offer many{.epoch = 1, .digest = 0, .links = {"a", "b"}, .fd_counts = {200, 51}};
  EXPECT_FALSE(decode(bytes_of(encode(many))).ok());
}

TEST(SessionCodecTest, TextThatIsNotUtf8IsReplacedNotSent) {
  const auto decoded = decode(bytes_of(encode(Failure{.code = 3, .message = "bad \xff byte"})));
  ASSERT_TRUE(decoded.ok()) << decoded.status().message();
  EXPECT_EQ(std::get<Failure>(*decoded).message, "bad \xef\xbf\xbd byte");
}

TEST(SessionCodecTest, AFlippedBitNeverGivesAValueOutOfRange) {
  std::string frame = encode(make_samples()[0]);
  for (size_t i = 0; i < frame.size(); ++i) {
    if (i == 6 || i == 7) continue;  // The type: another message may ignore these fields.
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = frame;
      damaged[i] = static_cast<char>(damaged[i] ^ 1 << bit);
      const auto decoded = decode(bytes_of(damaged));
      // A digit may turn into another one; what is accepted must still be in range.
      if (!decoded.ok()) continue;
      const auto* hello = std::get_if<Hello>(&*decoded);
      ASSERT_NE(hello, nullptr) << i << " " << bit;
      EXPECT_LT(hello->rank, hello->job.rank_count);
      EXPECT_EQ(hello->nonce.size(), 64u);
    }
  }
}

}  // namespace
}  // namespace phub::exchange
