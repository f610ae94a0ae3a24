// Goal: memory is registered for those who use it, once, and for as long as they do; and no page of
// it is anybody else's.
// Method: real devices, whose registrations are counted.
#include "tests/transport/verbs_faults.h"

namespace phub::transport {
namespace {

class VerbsRegistrationTest : public VerbsDeviceFaultsTest {};

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

TEST_F(VerbsRegistrationTest, JobsAreRegisteredForThemselvesAloneAndLeaveNothingBehind) {
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

TEST_F(VerbsRegistrationTest, LinksOfAWorkerShareTheRegistrationOfABlock) {
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

TEST_F(VerbsRegistrationTest, NothingThatIsRegisteredSharesAPageWithTheHeap) {
  start(2);
  exchange(1, [](uint32_t) {});
  EXPECT_EQ(faults.unaligned_regions, 0u);
}

}  // namespace
}  // namespace phub::transport
