// Goal: what the verbs fabric decides without a device is right: which address of a port is used,
// what a peer's words may say, and what an error is called.
// Method: tables and bytes made by hand; no device is needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>

#include <filesystem>
#include <fstream>

#include "base/random.h"
#include "transport/verbs_bootstrap.h"
#include "transport/verbs_gid.h"
#include "transport/verbs_letter.h"
#include "transport/verbs_put_ring.h"
#include "transport/verbs_text.h"

namespace phub::transport {
namespace {

using testing::HasSubstr;

Gid gid_of(const std::string& text) {
  Gid gid = {};
  const std::string full = text.find(':') == std::string::npos ? "::ffff:" + text : text;
  EXPECT_EQ(::inet_pton(AF_INET6, full.c_str(), gid.data()), 1);
  return gid;
}

std::vector<GidEntry> usual_table() {
  return {{0, gid_of("fe80::1"), GidType::infiniband_or_roce_v1},
          {1, gid_of("fe80::1"), GidType::roce_v2},
          {2, gid_of("10.1.0.7"), GidType::infiniband_or_roce_v1},
          {3, gid_of("10.1.0.7"), GidType::roce_v2},
          {4, gid_of("fd00::7"), GidType::roce_v2},
          {5, gid_of("192.168.3.7"), GidType::roce_v2}};
}

uint32_t chosen(const std::vector<GidEntry>& table, const std::string& wanted) {
  const auto choice = choose_gid(table, wanted, false);
  EXPECT_TRUE(choice.ok()) << choice.status().message();
  return choice.ok() ? choice->entry.index : UINT32_MAX;
}

TEST(VerbsGidTest, AutoPrefersRoceV2ThenIpv4AndSaysSo) {
  EXPECT_EQ(chosen(usual_table(), "auto"), 3u);
  EXPECT_EQ(choose_gid(usual_table(), "auto", false)->reason, "index 3, 10.1.0.7: RoCE v2, IPv4");
  std::vector<GidEntry> table = usual_table();
  table.erase(table.begin() + 3);  // The v2 entry of 10.1.0.7.
  EXPECT_EQ(chosen(table, "auto"), 5u);
  table.pop_back();
  EXPECT_EQ(chosen(table, "auto"), 4u) << "v2 over IPv6 before v1 over IPv4";
  table.pop_back();
  EXPECT_EQ(chosen(table, "auto"), 2u) << "v1 before link-local";
  table.pop_back();
  EXPECT_EQ(chosen(table, "auto"), 1u) << "link-local for want of another";
}

TEST(VerbsGidTest, IndexAndBlockChooseWhatTheyName) {
  EXPECT_EQ(chosen(usual_table(), "2"), 2u);
  EXPECT_EQ(chosen(usual_table(), "192.168.0.0/16"), 5u);
  EXPECT_EQ(chosen(usual_table(), "10.0.0.0/8"), 3u) << "v2 of the two inside";
  EXPECT_EQ(chosen(usual_table(), "fd00::/8"), 4u);
}

TEST(VerbsGidTest, WhatDoesNotFitIsRefusedWithWhatThereIs) {
  const auto none = choose_gid(usual_table(), "172.16.0.0/12", false);
  EXPECT_EQ(none.status().code(), Code::not_found);
  EXPECT_THAT(none.status().message(), HasSubstr("index 5, 192.168.3.7: RoCE v2, IPv4"));
  EXPECT_EQ(choose_gid(usual_table(), "17", false).status().code(), Code::not_found);
  EXPECT_EQ(choose_gid(usual_table(), "best", false).status().code(), Code::invalid_argument);
  EXPECT_THAT(choose_gid({}, "auto", false).status().message(), HasSubstr("no address at all"));
}

TEST(VerbsGidTest, InfinibandTakesItsFirst) {
  const std::vector<GidEntry> table = {{0, gid_of("fe80::1"), GidType::infiniband_or_roce_v1},
                                       {1, gid_of("fd00::1"), GidType::infiniband_or_roce_v1}};
  EXPECT_EQ(choose_gid(table, "auto", true)->entry.index, 0u);
}

TEST(VerbsGidTest, TablesAreReadAsTheKernelShowsThem) {
  const std::filesystem::path port =
      std::filesystem::path(testing::TempDir()) / "verbs_gid_test_port";
  std::filesystem::create_directories(port / "gids");
  std::filesystem::create_directories(port / "gid_attrs/types");
  const auto write = [&](const std::string& file, const std::string& text) {
    std::ofstream(port / file) << text << '\n';
  };
  write("gids/0", "fe80:0000:0000:0000:0000:0000:0000:0001");
  write("gid_attrs/types/0", "IB/RoCE v1");
  write("gids/1", "0000:0000:0000:0000:0000:ffff:0a01:0007");
  write("gid_attrs/types/1", "RoCE v2");
  write("gids/2", "0000:0000:0000:0000:0000:0000:0000:0000");  // Empty.
  write("gids/3", "0000:0000:0000:0000:0000:ffff:0a01:0008");  // Its type cannot be read.
  const std::vector<GidEntry> table = read_gid_table(port);
  std::filesystem::remove_all(port);
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(table[0].type, GidType::infiniband_or_roce_v1);
  EXPECT_EQ(table[1].index, 1u);
  EXPECT_EQ(to_text(table[1].gid), "10.1.0.7");
  EXPECT_EQ(table[1].type, GidType::roce_v2);
  EXPECT_TRUE(read_gid_table("/no/such/port").empty());
}

LinkOptions link_options(uint32_t slot_count) {
  LinkOptions options;
  options.slots.resize(2);
  options.peer_slot_count = slot_count;
  options.acceptor_puts_max = 8;
  options.connector_puts_max = 9;
  options.tag_slot_mask = 7;
  return options;
}

VerbsBootstrap sample() {
  VerbsBootstrap blob;
  blob.cookie = 0x1234567890abcdef;
  blob.peer_slot_count = 2;
  blob.acceptor_puts_max = 8;
  blob.connector_puts_max = 9;
  blob.tag_slot_mask = 7;
  blob.receive_depth = 16;
  blob.range_count = 2;
  blob.queue_pairs = 2;
  for (uint32_t i = 0; i < 2; ++i) {
    VerbsRailOffer& rail = blob.rails.emplace_back();
    rail.address = {gid_of("10.1.0." + std::to_string(i)), 5, 1024, i == 1};
    rail.mail_queue_pair = 17 + i;
    rail.mail_key = 99;
    rail.range_keys = {100 + i, 200 + i};
    rail.endpoints = {{1 + i, 0xffffff, 3}, {4, 5, 0}};
  }
  blob.slots = {{4096, 100, 0}, {5120, 100, 0}, {6144, 100, 0}, {64, 7, 1}, {0, 0, 0}};
  return blob;
}

Result<VerbsBootstrap> decode(const std::string& blob, const LinkOptions& options) {
  return decode_verbs_bootstrap(blob, VerbsBootstrap::Role::offer, options);
}

TEST(VerbsBootstrapTest, WhatIsEncodedIsDecoded) {
  const auto decoded = decode(encode(sample()), link_options(5));
  ASSERT_TRUE(decoded.ok()) << decoded.status().message();
  EXPECT_EQ(decoded->cookie, 0x1234567890abcdefu);
  ASSERT_EQ(decoded->rails.size(), 2u);
  EXPECT_EQ(to_text(decoded->rails[1].address.gid), "10.1.0.1");
  EXPECT_TRUE(decoded->rails[1].address.is_infiniband);
  EXPECT_EQ(decoded->rails[1].range_keys, (std::vector<uint32_t>{101, 201}));
  EXPECT_EQ(decoded->rails[0].endpoints[0].first_packet, 0xffffffu);
  ASSERT_EQ(decoded->slots.size(), 5u);
  EXPECT_EQ(decoded->slots[2].address, 6144u);
  EXPECT_EQ(decoded->slots[3].range, 1u);
}

TEST(VerbsBootstrapTest, ManyEqualSlotsTakeLittleRoom) {
  VerbsBootstrap blob = sample();
  blob.slots.clear();
  for (uint64_t i = 0; i < 100'000; ++i) blob.slots.push_back({i * 32768, 32768, 0});
  const std::string bytes = encode(blob);
  EXPECT_LT(bytes.size(), 400u);
  const auto decoded = decode(bytes, link_options(100'000));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->slots[99'999].address, 99'999u * 32768);
}

TEST(VerbsBootstrapTest, OtherNumbersThanOursAreRefusedByName) {
  const auto refusal = [](auto change) {
    LinkOptions options = link_options(5);
    change(options);
    return decode(encode(sample()), options).status().message();
  };
  EXPECT_THAT(refusal([](LinkOptions& o) { o.peer_slot_count = 6; }), HasSubstr("slots = 5"));
  EXPECT_THAT(refusal([](LinkOptions& o) { o.slots.resize(3); }), HasSubstr("slots of its peer"));
  EXPECT_THAT(refusal([](LinkOptions& o) { o.acceptor_puts_max = 1; }),
              HasSubstr("acceptor_puts_max = 8"));
  EXPECT_THAT(refusal([](LinkOptions& o) { o.tag_slot_mask = 0; }), HasSubstr("tag_slot_mask = 7"));
  EXPECT_THAT(refusal([](LinkOptions& o) { o.peer_slot_bytes = {101}; }),
              HasSubstr("slot 0 has 100 bytes; it needs 101"));
}

TEST(VerbsBootstrapTest, CutAndChangedBlobsAreRefusedOrHarmless) {
  const std::string good = encode(sample());
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(decode(good.substr(0, length), link_options(5)).ok()) << length;
  }
  EXPECT_FALSE(decode(good + "x", link_options(5)).ok());
  base::Random random(5);
  for (int i = 0; i < 20'000; ++i) {
    std::string blob = good;
    for (uint64_t k = 0; k <= random.below(4); ++k) {
      blob[random.below(blob.size())] = static_cast<char>(random.next());
    }
    const auto decoded = decode(blob, link_options(5));
    if (!decoded.ok()) continue;
    EXPECT_EQ(decoded->slots.size(), 5u);
    for (const VerbsSlot& slot : decoded->slots) EXPECT_LT(slot.range, decoded->range_count);
    for (const VerbsRailOffer& rail : decoded->rails) {
      EXPECT_EQ(rail.range_keys.size(), decoded->range_count);
      EXPECT_EQ(rail.endpoints.size(), decoded->queue_pairs);
    }
  }
}

TEST(VerbsLetterTest, WhatIsWrittenIsRead) {
  VerbsLetter letter;
  letter.is_from_acceptor = true;
  letter.path = 3;
  letter.phase = VerbsLetter::Phase::joined;
  letter.queue = 500;
  letter.cookie = 0xfedcba9876543210;
  letter.incarnation = 7;
  letter.arrived = 0xfffffff0;
  letter.endpoint = {0xabcdef, 0x123456, 77};
  letter.address = {gid_of("fd00::9"), 12, 4096, false};
  const auto bytes = encode(letter);
  const auto read = decode_letter(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->cookie, letter.cookie);
  EXPECT_EQ(read->arrived, letter.arrived);
  EXPECT_EQ(read->endpoint.window_key, 77u);
  EXPECT_EQ(read->address.gid, letter.address.gid);
  EXPECT_FALSE(decode_letter(std::span(bytes).first(bytes.size() - 1)).has_value());
  for (const size_t i : {size_t{0}, size_t{4}, size_t{7}}) {  // Magic, kind, phase.
    auto wrong = bytes;
    wrong[i] = std::byte{0x77};
    EXPECT_FALSE(decode_letter(wrong).has_value()) << i;
  }
}

TEST(VerbsPutRingTest, PutsFlyLandAndWaitAgainInOrder) {
  VerbsPutRing ring(4);
  for (uint32_t i = 0; i < 4; ++i) ring.push({.cookie = i});
  EXPECT_TRUE(ring.is_full());
  ring.fly(3);
  ring.land_one();
  EXPECT_EQ(ring.done(), 1u);
  EXPECT_EQ(ring.flying(), 2u);
  EXPECT_EQ(ring.oldest_flying().cookie, 1u);
  ring.rewind();
  EXPECT_EQ(ring.waiting(), 3u);
  EXPECT_EQ(ring.oldest_done().cookie, 0u);
  ring.pop_done();
  EXPECT_EQ(ring.take_waiting().cookie, 1u);
  EXPECT_EQ(ring.waiting_at(0).cookie, 2u);
  EXPECT_FALSE(ring.is_full());
}

TEST(VerbsTextTest, ErrorsNameTheSceneTheCauseAndTheRemedy) {
  VerbsScene scene{
      "rank 3 of job \"resnet\"", "mlx5_0", "10.1.0.1", "10.1.0.2", true, true, 5, 0x1000005};
  const std::string text = describe(IBV_WC_RETRY_EXC_ERR, 129, scene);
  for (const char* part : {"rank 3 of job \"resnet\"", "mlx5_0", "10.1.0.1", "10.1.0.2", "slot 5",
                           "0x1000005", "status 12", "vendor code 129", "the way to it has gone"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  scene.has_worked = false;
  EXPECT_THAT(describe(IBV_WC_RETRY_EXC_ERR, 0, scene), HasSubstr("cannot be reached"));
  EXPECT_TRUE(is_recoverable(IBV_WC_RETRY_EXC_ERR));
  EXPECT_FALSE(is_recoverable(IBV_WC_REM_ACCESS_ERR));
  EXPECT_FALSE(is_recoverable(IBV_WC_LOC_PROT_ERR));
}

}  // namespace
}  // namespace phub::transport
