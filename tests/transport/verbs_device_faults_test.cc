// Goal: what devices and drivers refuse costs no put and no repeat, and neither does one of two
// rails that is dead from the start; what they lack is made up for.
// Method: real devices, some of whose functions are others for a while.
#include <cerrno>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "tests/transport/verbs_ends.h"

namespace phub::transport {
namespace {

// What the devices do beside their own. Contexts are counted in the order of their opening.
struct Faults {
  uint32_t refused_puts = 0;
  uint32_t queue_pairs_made = 0;
  bool lacks_windows = false;            // The first context.
  bool cannot_grow = false;              // Completion queues.
  uint32_t dead = 0;                     // Bits by context: no way leads from there.
  uint32_t down = 0;                     // And these ports are down.
  std::optional<ibv_async_event> event;  // Of the first context.
  int event_error = 0;
  std::vector<ibv_context*> contexts;
  int (*post_send)(ibv_qp*, ibv_send_wr*, ibv_send_wr**) = nullptr;
  uint64_t late_by = 0;             // Completions of the first context: so many polls.
  bool is_never_short = false;      // No poll of a completion queue brings less than it can.
  bool flushes_in_silence = false;  // Receives of queue pairs in error get no completion.
  int (*poll_cq)(ibv_cq*, int, ibv_wc*) = nullptr;
  struct Late {
    uint64_t polls = 0;
    std::deque<std::pair<uint64_t, ibv_wc>> completions;
  };
  std::map<ibv_cq*, Late> late;
  std::map<ibv_mr*, size_t> regions;  // Those that are registered, with their bytes.
  size_t region_bytes() const {
    size_t bytes = 0;
    for (const auto& [region, its_bytes] : regions) bytes += its_bytes;
    return bytes;
  }
};
Faults faults;
VerbsLibrary real;

ibv_context* open_device(ibv_device* device) {
  faults.contexts.push_back(real.open_device(device));
  return faults.contexts.back();
}

int query_device(ibv_context* context, ibv_device_attr* limits) {
  const int error = real.query_device(context, limits);
  if (faults.lacks_windows && context == faults.contexts[0]) {
    limits->device_cap_flags &= ~static_cast<unsigned>(IBV_DEVICE_MEM_WINDOW_TYPE_2B);
  }
  return error;
}

bool is_among(uint32_t contexts, const ibv_context* context) {
  for (size_t i = faults.contexts.size(); i-- > 0;) {  // A closed one's address is taken again.
    if (faults.contexts[i] == context) return (contexts >> i & 1) != 0;
  }
  return false;
}

int query_port(ibv_context* context, uint8_t port, ibv_port_attr* attributes) {
  const int error = real.query_port(context, port, attributes);
  if (is_among(faults.down, context)) attributes->state = IBV_PORT_DOWN;
  return error;
}

int resize_cq(ibv_cq* queue, int room) {
  return faults.cannot_grow ? EOPNOTSUPP : real.resize_cq(queue, room);
}

ibv_ah* create_ah(ibv_pd* pd, ibv_ah_attr* path) {
  if (!is_among(faults.dead, pd->context)) return real.create_ah(pd, path);
  errno = ETIMEDOUT;
  return nullptr;
}

int modify_qp(ibv_qp* queue_pair, ibv_qp_attr* attributes, int mask) {
  const bool is_dead = (mask & IBV_QP_AV) != 0 && is_among(faults.dead, queue_pair->context);
  return is_dead ? ETIMEDOUT : real.modify_qp(queue_pair, attributes, mask);
}

bool is_made_up = false;  // The event that was handed out last.

int get_async_event(ibv_context* context, ibv_async_event* event) {
  const bool is_first = context == faults.contexts[0];
  is_made_up = is_first && faults.event.has_value();
  if (is_made_up) {
    *event = *std::exchange(faults.event, std::nullopt);
    return 0;
  }
  if (!is_first || faults.event_error == 0) return real.get_async_event(context, event);
  errno = faults.event_error;
  return -1;
}

void ack_async_event(ibv_async_event* event) {
  if (!is_made_up) real.ack_async_event(event);
}

ibv_mr* reg_mr_iova2(ibv_pd* pd, void* data, size_t bytes, uint64_t address, unsigned access) {
  ibv_mr* const region = real.reg_mr_iova2(pd, data, bytes, address, access);
  if (region != nullptr) faults.regions[region] = bytes;
  return region;
}

int dereg_mr(ibv_mr* region) {
  faults.regions.erase(region);
  return real.dereg_mr(region);
}

int post_send(ibv_qp* queue_pair, ibv_send_wr* request, ibv_send_wr** bad) {
  if (request->opcode == IBV_WR_RDMA_WRITE_WITH_IMM && faults.refused_puts > 0) {
    --faults.refused_puts;
    *bad = request;
    return ENOMEM;
  }
  return faults.post_send(queue_pair, request, bad);
}

int poll_cq(ibv_cq* queue, int room, ibv_wc* to) {
  Faults::Late& late = faults.late[queue];
  ++late.polls;
  std::array<ibv_wc, 64> taken;
  const int got = faults.poll_cq(queue, 64, taken.data());
  const uint64_t due = late.polls + (queue->context == faults.contexts[0] ? faults.late_by : 0);
  for (const ibv_wc& one : std::span(taken).first(static_cast<size_t>(got))) {
    const bool is_receive = (one.wr_id & uint64_t{1} << 31) != 0;
    const bool is_flushed = is_receive && one.status == IBV_WC_WR_FLUSH_ERR;
    if (!is_flushed || !faults.flushes_in_silence) late.completions.emplace_back(due, one);
  }
  int count = 0;
  for (; count < room && !late.completions.empty(); late.completions.pop_front()) {
    if (late.completions.front().first > late.polls) break;
    to[count++] = late.completions.front().second;
  }
  while (faults.is_never_short && count < room) {
    to[count] = {};
    to[count++].wr_id = uint64_t{kVerbsMailNumber - 1} << 48;  // Of nobody.
  }
  return count;
}

ibv_qp* create_qp(ibv_pd* pd, ibv_qp_init_attr* wanted) {
  ++faults.queue_pairs_made;
  if (pd->context->ops.poll_cq != poll_cq) {
    faults.poll_cq = std::exchange(pd->context->ops.poll_cq, poll_cq);
  }
  if (pd->context->ops.post_send != post_send) {
    faults.post_send = std::exchange(pd->context->ops.post_send, post_send);
  }
  return real.create_qp(pd, wanted);
}

class VerbsDeviceFaultsTest : public VerbsEndsTest {
 protected:
  static void report_port_error(int port) {
    ibv_async_event event = {};
    event.event_type = IBV_EVENT_PORT_ERR;
    event.element.port_num = port;
    faults.event = event;
  }
  void SetUp() override {
    VerbsEndsTest::SetUp();
    faults = {};
    if (IsSkipped()) return;
    real = verbs();
    VerbsLibrary& changed = verbs_to_change();
    changed.open_device = open_device;
    changed.query_device = query_device;
    changed.query_port = query_port;
    changed.resize_cq = resize_cq;
    changed.create_ah = create_ah;
    changed.modify_qp = modify_qp;
    changed.get_async_event = get_async_event;
    changed.ack_async_event = ack_async_event;
    changed.create_qp = create_qp;
    changed.dereg_mr = dereg_mr;
    if (real.reg_mr_iova2 != nullptr) changed.reg_mr_iova2 = reg_mr_iova2;
  }
  void TearDown() override {
    hub_ = {};
    worker_ = {};
    if (!IsSkipped()) verbs_to_change() = real;
  }
};

TEST_F(VerbsDeviceFaultsTest, PutsThatTheDeviceRefusesGoAgainByANewQueuePair) {
  start(1);
  const uint32_t before = faults.queue_pairs_made;
  exchange(6, [&](uint32_t round) {
    if (round % 2 == 0) return;
    faults.refused_puts = 1;
    if (round == 3) hub_.verbs().force_error(hub_.link, 0);  // Refused as the lane comes up.
  });
  expect_all_once();
  EXPECT_EQ(faults.refused_puts, 0u);
  // Each end one for each failure, and not one for each completion of a queue pair that has failed.
  EXPECT_LE(faults.queue_pairs_made - before, 16u);
}

// The worker's puts are acknowledged before the hub's completion queue has them, and the hub stops
// its queue pair of its own accord.
TEST_F(VerbsDeviceFaultsTest, ArrivalsWhoseCompletionsAreLateAreCountedBeforeARepair) {
  start(1);
  exchange(1, [](uint32_t) {});
  faults.late_by = 50;
  for (uint32_t slot = 0; slot < kSlots; ++slot) worker_.put(next_tag_ + slot);
  while (worker_.sent < 2 * kSlots && worker_.lost == 0) worker_.poll();
  report_port_error(1);
  hub_.fabric->disarm();
  ASSERT_EQ(hub_.fabric->rails()[0].failures.get(), 1u);
  ASSERT_TRUE(until([&] { return hub_.arrived.size() == 2 * kSlots || hub_.lost > 0; }));
  expect_all_once();
}

TEST_F(VerbsDeviceFaultsTest, RepairsDoNotWaitForACompletionQueueToBeShort) {
  for (const bool has_marker : {true, false}) {
    SCOPED_TRACE(has_marker);
    hub_ = {};
    worker_ = {};
    next_tag_ = 0;
    faults = {};
    start(1);
    faults.is_never_short = true;
    faults.flushes_in_silence = !has_marker;
    exchange(2, [&](uint32_t round) {
      if (round == 1) hub_.verbs().force_error(hub_.link, 0);
    });
    expect_all_once();
    EXPECT_GE(hub_.fabric->rails()[0].repairs.get(), 1u);
    faults.is_never_short = false;
  }
}

TEST_F(VerbsDeviceFaultsTest, ReceivesThatAreGivenBackInSilenceAreNotWaitedFor) {
  start(1);
  faults.flushes_in_silence = true;
  exchange(2, [&](uint32_t round) {
    if (round == 1) hub_.verbs().force_error(hub_.link, 0);
  });
  expect_all_once();
}

TEST_F(VerbsDeviceFaultsTest, RailsWithAndWithoutWindowsWorkInOneLink) {
  faults.lacks_windows = true;
  start(2);
  exchange(2, [](uint32_t) {});
  expect_all_once();
  EXPECT_EQ(hub_.fabric->rails()[0].failures.get(), 0u);
}

// Contexts: the hub's rails, then the worker's.
TEST_F(VerbsDeviceFaultsTest, OneRailThatIsDeadFromTheStartIsGoneRoundUntilItLives) {
  for (const uint32_t dead : {0b1010u, 0b0101u, 0b0100u, 0b0010u}) {
    SCOPED_TRACE(dead);
    hub_ = {};
    worker_ = {};
    next_tag_ = 0;
    faults = {};
    faults.dead = dead;
    start(2);
    if (HasFailure()) return;
    exchange(2, [](uint32_t) {});
    expect_all_once();
    EXPECT_EQ(hub_.fabric->rails()[0].links_down.get() + hub_.fabric->rails()[1].links_down.get(),
              1u);
    faults.dead = 0;
    ASSERT_TRUE(until([&] {
      return hub_.fabric->rails()[0].links_down.get() + hub_.fabric->rails()[1].links_down.get() ==
             0;
    }));
    exchange(2, [](uint32_t) {});
    expect_all_once();
  }
}

TEST_F(VerbsDeviceFaultsTest, WithoutAnyWayThereIsNoLinkAndTheReasonIsSaid) {
  start(2);
  faults.dead = 0b1111;
  Bootstrap offer, answer;
  const auto opened = hub_.fabric->open(hub_.options(2), &offer);
  ASSERT_TRUE(opened.ok());
  const auto connected = worker_.fabric->connect(worker_.options(2), std::move(offer), &answer);
  ASSERT_FALSE(connected.ok());
  EXPECT_THAT(connected.status().message(), testing::HasSubstr("find a way from"));
}

TEST_F(VerbsDeviceFaultsTest, PortsThatAreDownAtTheStartAreLeftOut) {
  faults.down = 0b1010;
  start(2);
  ASSERT_EQ(hub_.fabric->rails().size(), 1u);
  EXPECT_THAT(hub_.verbs().choices().back(), testing::HasSubstr("not used"));
  exchange(2, [](uint32_t) {});
  expect_all_once();
}

TEST_F(VerbsDeviceFaultsTest, CompletionQueuesThatCannotGrowAreLargeFromTheStart) {
  faults.cannot_grow = true;
  start(1, 4);
  exchange(2, [](uint32_t) {});
  expect_all_once();
}

TEST_F(VerbsDeviceFaultsTest, OnlyTheOwnPortStopsARail) {
  start(1);
  exchange(1, [](uint32_t) {});
  report_port_error(2);
  ASSERT_TRUE(until([] { return !faults.event.has_value(); }));
  EXPECT_EQ(hub_.fabric->rails()[0].failures.get(), 0u);
  report_port_error(1);
  ASSERT_TRUE(until([&] { return hub_.fabric->rails()[0].failures.get() == 1; }));
  exchange(1, [](uint32_t) {});
  expect_all_once();
}

// A job's results and slots, in memory of its own, as a hub has them.
struct Job {
  explicit Job(uint64_t domain) {
    options.domain = domain;
    options.peer_slot_count = 1;
    options.acceptor_puts_max = options.connector_puts_max = 16;
    options.slots = {{slots.data(), static_cast<uint32_t>(slots.size())}};
  }
  base::Mapping slots = *base::Mapping::anonymous(1 << 16);
  base::Mapping results = *base::Mapping::anonymous(1 << 20);
  LinkOptions options;
  std::vector<LinkId> links;
};

TEST_F(VerbsDeviceFaultsTest, JobsAreRegisteredForThemselvesAloneAndLeaveNothingBehind) {
  if (verbs().reg_mr_iova2 == nullptr) GTEST_SKIP() << "the library is too old to be counted";
  start(1);
  const size_t regions_before = faults.regions.size();
  const size_t bytes_before = faults.region_bytes();
  std::vector<Job> jobs;
  std::vector<size_t> regions = {regions_before};
  std::vector<size_t> bytes = {bytes_before};
  for (uint64_t i = 0; i < 4; ++i) {
    Job& job = jobs.emplace_back(100 + i);
    ASSERT_TRUE(hub_.fabric->register_memory(job.results.bytes(), job.options.domain).ok());
    for (int rank = 0; rank < 3; ++rank) {
      Bootstrap offer;
      job.links.push_back(*hub_.fabric->open(job.options, &offer));
    }
    regions.push_back(faults.regions.size());
    bytes.push_back(faults.region_bytes());
    EXPECT_EQ(regions[i + 1] - regions[i], regions[1] - regions[0]) << i;
    EXPECT_EQ(bytes[i + 1] - bytes[i], bytes[1] - bytes[0]) << i;
  }
  for (Job& job : jobs) {
    for (const LinkId link : job.links) hub_.fabric->close(link);
    hub_.fabric->deregister_memory(job.results.bytes());
  }
  EXPECT_EQ(faults.regions.size(), regions_before);
  EXPECT_EQ(faults.region_bytes(), bytes_before);
}

TEST_F(VerbsDeviceFaultsTest, LinksOfAWorkerShareTheRegistrationOfABlock) {
  if (verbs().reg_mr_iova2 == nullptr) GTEST_SKIP() << "the library is too old to be counted";
  start(1);
  const std::span<std::byte> block = *worker_.fabric->allocate(1 << 20);
  const size_t before = faults.region_bytes();
  Job shards(0);
  std::vector<LinkId> links;
  for (uint32_t i = 0; i < 8; ++i) {
    LinkOptions options = shards.options;
    options.slots = {{block.data() + i * 65536, 65536}, {block.data() + i * 4096 + 524288, 4096}};
    options.peer_slot_count = 1;
    shards.options.peer_slot_count = 2;
    Bootstrap offer, answer;
    const LinkId opened = *hub_.fabric->open(shards.options, &offer);
    const auto connected = worker_.fabric->connect(options, std::move(offer), &answer);
    ASSERT_TRUE(connected.ok()) << connected.status().message();
    links.push_back(*connected);
    hub_.fabric->close(opened);
  }
  EXPECT_EQ(faults.region_bytes(), before + block.size());
  for (const LinkId link : links) worker_.fabric->close(link);
  EXPECT_EQ(faults.region_bytes(), before);
}

TEST_F(VerbsDeviceFaultsTest, TheEndOfADeviceLosesItsLinksWithAReason) {
  for (const bool is_removed : {false, true}) {
    SCOPED_TRACE(is_removed);
    hub_ = {};
    worker_ = {};
    faults = {};
    start(1);
    if (is_removed) {
      faults.event_error = EIO;
    } else {
      ibv_async_event event = {};
      event.event_type = IBV_EVENT_CQ_ERR;
      faults.event = event;
    }
    ASSERT_TRUE(until([&] { return hub_.lost == 1; }));
    EXPECT_THAT(hub_.fabric->lost_reason(hub_.link),
                testing::HasSubstr(is_removed ? "taken away" : "completion queue"));
  }
}

}  // namespace
}  // namespace phub::transport
