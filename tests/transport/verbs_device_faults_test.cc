// Goal: what devices and drivers refuse costs no put and no repeat, and neither does one of two
// rails that is dead from the start; what they lack is made up for.
// Method: real devices, some of whose functions are others for a while.
#include <cerrno>
#include <utility>

#include "tests/transport/verbs_ends.h"

namespace phub::transport {
namespace {

// What the devices do beside their own. Contexts are counted in the order of their opening.
struct Faults {
  uint32_t refused_puts = 0;
  uint32_t queue_pairs_made = 0;
  bool lacks_windows = false;  // The first context.
  std::vector<ibv_context*> contexts;
  int (*post_send)(ibv_qp*, ibv_send_wr*, ibv_send_wr**) = nullptr;
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

int post_send(ibv_qp* queue_pair, ibv_send_wr* request, ibv_send_wr** bad) {
  if (request->opcode == IBV_WR_RDMA_WRITE_WITH_IMM && faults.refused_puts > 0) {
    --faults.refused_puts;
    *bad = request;
    return ENOMEM;
  }
  return faults.post_send(queue_pair, request, bad);
}

ibv_qp* create_qp(ibv_pd* pd, ibv_qp_init_attr* wanted) {
  ++faults.queue_pairs_made;
  if (pd->context->ops.post_send != post_send) {
    faults.post_send = std::exchange(pd->context->ops.post_send, post_send);
  }
  return real.create_qp(pd, wanted);
}

class VerbsDeviceFaultsTest : public VerbsEndsTest {
 protected:
  void SetUp() override {
    VerbsEndsTest::SetUp();
    faults = {};
    if (IsSkipped()) return;
    real = verbs();
    VerbsLibrary& changed = verbs_to_change();
    changed.open_device = open_device;
    changed.query_device = query_device;
    changed.create_qp = create_qp;
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

TEST_F(VerbsDeviceFaultsTest, RailsWithAndWithoutWindowsWorkInOneLink) {
  faults.lacks_windows = true;
  start(2);
  exchange(2, [](uint32_t) {});
  expect_all_once();
  EXPECT_EQ(hub_.fabric->rails()[0].failures.get(), 0u);
}

}  // namespace
}  // namespace phub::transport
