// RDMA devices that refuse, lack, delay and end what real ones do: some functions of the library
// are others while a test runs.
#pragma once

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "tests/transport/verbs_ends.h"
#include "transport/verbs_letter.h"

namespace phub::transport {

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
  uint32_t poll_errors = 0;         // Bits by context: completions cannot be taken.
  uint64_t late_by = 0;             // Completions of the first context: so many polls.
  bool is_never_short = false;      // No poll of a completion queue brings less than it can.
  bool flushes_in_silence = false;  // Receives of queue pairs in error get no completion.
  int (*poll_cq)(ibv_cq*, int, ibv_wc*) = nullptr;
  struct Late {
    uint64_t polls = 0;
    std::deque<std::pair<uint64_t, ibv_wc>> completions;
  };
  std::map<ibv_cq*, Late> late;
  std::map<ibv_context*, uint32_t> made_by;         // Queue pairs.
  std::map<ibv_context*, ibv_qp*> last_queue_pair;  // Reliable ones.
  std::function<void(VerbsLetter&)> forge;          // What the second context writes.
  uint32_t letters_forged = 0;
  Gid strange = {};  // An address to which no way must be asked, and how often one was.
  uint32_t strange_ways = 0;
  uint32_t unaligned_regions = 0;     // That do not begin with a page.
  std::map<ibv_mr*, size_t> regions;  // Those that are registered, with their bytes.
  size_t region_bytes() const {
    size_t bytes = 0;
    for (const auto& [region, its_bytes] : regions) bytes += its_bytes;
    return bytes;
  }
};
// Holds what asks for ways from the first context until let go; gives up in time, and says so.
struct Gate {
  std::mutex mutex;
  std::condition_variable opens;
  bool is_closed = false;
  bool was_forced = false;
  void pass() {
    std::unique_lock lock(mutex);
    const auto is_open = [this] { return !is_closed; };
    if (!opens.wait_for(lock, std::chrono::seconds(10), is_open)) was_forced = true;
  }
  void set(bool closed) {
    const std::scoped_lock lock(mutex);
    is_closed = closed;
    opens.notify_all();
  }
};
inline Gate gate;
inline Faults faults;
inline VerbsLibrary real;

inline ibv_context* open_device(ibv_device* device) {
  faults.contexts.push_back(real.open_device(device));
  return faults.contexts.back();
}

inline int query_device(ibv_context* context, ibv_device_attr* limits) {
  const int error = real.query_device(context, limits);
  if (faults.lacks_windows && context == faults.contexts[0]) {
    limits->device_cap_flags &= ~static_cast<unsigned>(IBV_DEVICE_MEM_WINDOW_TYPE_2B);
  }
  return error;
}

inline bool is_among(uint32_t contexts, const ibv_context* context) {
  for (size_t i = faults.contexts.size(); i-- > 0;) {  // A closed one's address is taken again.
    if (faults.contexts[i] == context) return (contexts >> i & 1) != 0;
  }
  return false;
}

inline int query_port(ibv_context* context, uint8_t port, ibv_port_attr* attributes) {
  const int error = real.query_port(context, port, attributes);
  if (is_among(faults.down, context)) attributes->state = IBV_PORT_DOWN;
  return error;
}

inline int resize_cq(ibv_cq* queue, int room) {
  return faults.cannot_grow ? EOPNOTSUPP : real.resize_cq(queue, room);
}

inline ibv_ah* create_ah(ibv_pd* pd, ibv_ah_attr* path) {
  if (std::equal(faults.strange.begin(), faults.strange.end(), path->grh.dgid.raw)) {
    ++faults.strange_ways;
  }
  if (pd->context == faults.contexts[0]) gate.pass();
  if (!is_among(faults.dead, pd->context)) return real.create_ah(pd, path);
  errno = ETIMEDOUT;
  return nullptr;
}

inline int modify_qp(ibv_qp* queue_pair, ibv_qp_attr* attributes, int mask) {
  const bool is_dead = (mask & IBV_QP_AV) != 0 && is_among(faults.dead, queue_pair->context);
  return is_dead ? ETIMEDOUT : real.modify_qp(queue_pair, attributes, mask);
}

inline bool is_made_up = false;  // The event that was handed out last.

inline int get_async_event(ibv_context* context, ibv_async_event* event) {
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

inline void ack_async_event(ibv_async_event* event) {
  if (!is_made_up) real.ack_async_event(event);
}

inline ibv_mr* reg_mr_iova2(ibv_pd* pd, void* data, size_t bytes, uint64_t address,
                            unsigned access) {
  ibv_mr* const region = real.reg_mr_iova2(pd, data, bytes, address, access);
  if (region != nullptr) faults.regions[region] = bytes;
  if (reinterpret_cast<uintptr_t>(data) % 4096 != 0) ++faults.unaligned_regions;
  return region;
}

inline ibv_mr* reg_mr_iova(ibv_pd* pd, void* data, size_t bytes, uint64_t address, int access) {
  if (reinterpret_cast<uintptr_t>(data) % 4096 != 0) ++faults.unaligned_regions;
  return real.reg_mr_iova(pd, data, bytes, address, access);
}

inline int dereg_mr(ibv_mr* region) {
  faults.regions.erase(region);
  return real.dereg_mr(region);
}

inline int post_send(ibv_qp* queue_pair, ibv_send_wr* request, ibv_send_wr** bad) {
  if (request->opcode == IBV_WR_RDMA_WRITE_WITH_IMM && faults.refused_puts > 0) {
    --faults.refused_puts;
    *bad = request;
    return ENOMEM;
  }
  if (faults.forge && queue_pair->qp_type == IBV_QPT_UD &&
      queue_pair->context == faults.contexts[1]) {
    auto* const bytes = reinterpret_cast<std::byte*>(request->sg_list->addr);
    VerbsLetter letter = *decode_letter({bytes, VerbsLetter::kBytes});
    faults.forge(letter);
    ++faults.letters_forged;
    const auto forged = encode(letter);
    std::copy(forged.begin(), forged.end(), bytes);
  }
  return faults.post_send(queue_pair, request, bad);
}

inline int poll_cq(ibv_cq* queue, int room, ibv_wc* to) {
  if (is_among(faults.poll_errors, queue->context)) return -1;
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

inline ibv_qp* create_qp(ibv_pd* pd, ibv_qp_init_attr* wanted) {
  ++faults.queue_pairs_made;
  if (pd->context->ops.poll_cq != poll_cq) {
    faults.poll_cq = std::exchange(pd->context->ops.poll_cq, poll_cq);
  }
  if (pd->context->ops.post_send != post_send) {
    faults.post_send = std::exchange(pd->context->ops.post_send, post_send);
  }
  ibv_qp* const made = real.create_qp(pd, wanted);
  ++faults.made_by[pd->context];
  if (wanted->qp_type == IBV_QPT_RC) faults.last_queue_pair[pd->context] = made;
  return made;
}

class VerbsDeviceFaultsTest : public VerbsEndsTest {
 protected:
  uint32_t links_down() const {
    uint32_t count = 0;
    for (const RailCounters& rail : hub_.fabric->rails()) {
      count += static_cast<uint32_t>(rail.links_down.get());
    }
    return count;
  }
  static void report_port_error(int port) {
    ibv_async_event event = {};
    event.event_type = IBV_EVENT_PORT_ERR;
    event.element.port_num = port;
    faults.event = event;
  }
  void SetUp() override {
    VerbsEndsTest::SetUp();
    faults = {};
    gate.was_forced = false;
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
    changed.reg_mr_iova = reg_mr_iova;
    if (real.reg_mr_iova2 != nullptr) changed.reg_mr_iova2 = reg_mr_iova2;
  }
  void TearDown() override {
    gate.set(false);
    hub_ = {};
    worker_ = {};
    if (!IsSkipped()) verbs_to_change() = real;
  }
};

}  // namespace phub::transport
