// Goal: what the verbs fabric chooses for a device suits the device: windows, paths, which devices
// are used at all.
// Method: devices and ranges described by hand; none is opened and no memory is touched.
#include <gtest/gtest.h>

#include "transport/verbs_event.h"
#include "transport/verbs_memory.h"
#include "transport/verbs_path.h"

namespace phub::transport {
namespace {

std::span<std::byte> range_of(size_t bytes) {
  return {reinterpret_cast<std::byte*>(uint64_t{1} << 40), bytes};
}

TEST(VerbsWindowTest, OneRangeOfAtMostTwoGibibytesIsOpenedByAWindow) {
  const std::vector<std::span<std::byte>> most = {range_of(size_t{2} << 30)};
  const std::vector<std::span<std::byte>> more = {range_of((size_t{2} << 30) + 1)};
  const std::vector<std::span<std::byte>> two = {range_of(64), range_of(64)};
  EXPECT_TRUE(fits_window(most));
  EXPECT_FALSE(fits_window(more));
  EXPECT_FALSE(fits_window(two));
  EXPECT_FALSE(fits_window({}));
}

TEST(VerbsPathTest, InfinibandNamesTheWholeAddressOnlyWhereItMust) {
  VerbsDevice device;
  device.is_infiniband = true;
  device.gid.entry.gid = {0xfe, 0x80, 0, 0, 0, 0, 0, 1, 7};
  VerbsAddress peer{device.gid.entry.gid, 12, 4096, true};
  peer.gid[15] = 9;
  EXPECT_EQ(path_to(peer, device, {}).is_global, 0);
  EXPECT_EQ(path_to(peer, device, {}).dlid, 12);
  device.needs_global_path = true;
  EXPECT_EQ(path_to(peer, device, {}).is_global, 1);
  device.needs_global_path = false;
  peer.gid[7] = 2;  // Another subnet.
  EXPECT_EQ(path_to(peer, device, {}).is_global, 1);
  EXPECT_EQ(path_to(peer, device, {}).grh.dgid.raw[15], 9);
}

TEST(VerbsPathTest, EthernetAlwaysNamesTheWholeAddress) {
  EXPECT_EQ(path_to({}, VerbsDevice{}, {}).is_global, 1);
}

TEST(VerbsDeviceKindTest, OnlyChannelAdaptersOfTheInfinibandTransportAreUsed) {
  ibv_device device = {};
  device.transport_type = IBV_TRANSPORT_IB;
  device.node_type = IBV_NODE_CA;
  EXPECT_TRUE(has_infiniband_transport(device));
  device.transport_type = IBV_TRANSPORT_IWARP;
  device.node_type = IBV_NODE_RNIC;
  EXPECT_FALSE(has_infiniband_transport(device));
  device.transport_type = IBV_TRANSPORT_UNSPECIFIED;  // EFA.
  device.node_type = IBV_NODE_UNSPECIFIED;
  EXPECT_FALSE(has_infiniband_transport(device));
}

TEST(VerbsEventTest, OnlyEventsOfTheOwnPortAreOfInterest) {
  ibv_async_event event = {};
  for (const auto& [type, kind] :
       {std::pair{IBV_EVENT_PORT_ERR, VerbsEvent::Kind::port_down},
        std::pair{IBV_EVENT_PORT_ACTIVE, VerbsEvent::Kind::port_change},
        std::pair{IBV_EVENT_GID_CHANGE, VerbsEvent::Kind::port_change}}) {
    event.event_type = type;
    event.element.port_num = 2;
    EXPECT_EQ(meaning_of(event, 2).kind, kind);
    EXPECT_EQ(meaning_of(event, 1).kind, VerbsEvent::Kind::other);
  }
}

TEST(VerbsEventTest, TheEndOfADeviceIsSaidInWords) {
  ibv_async_event event = {};
  for (const ibv_event_type type : {IBV_EVENT_CQ_ERR, IBV_EVENT_DEVICE_FATAL}) {
    event.event_type = type;
    EXPECT_EQ(meaning_of(event, 1).kind, VerbsEvent::Kind::fatal);
    EXPECT_STRNE(meaning_of(event, 1).what, "");
  }
}

}  // namespace
}  // namespace phub::transport
