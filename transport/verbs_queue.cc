#include "transport/verbs_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/random.h"
#include "base/try.h"
#include "transport/verbs_path.h"

namespace phub::transport {
namespace {

constexpr uint32_t kInlineWanted = 64;
constexpr uint8_t kReceiverNotReadyRetries = 3;  // Credits make them needless.
constexpr uint8_t kReceiverNotReadyTimer = 12;   // 0.64 ms.

uint32_t random_packet_number() {
  unsigned char random[4] = {};
  base::random_bytes(random);
  uint32_t number = 0;
  std::memcpy(&number, random, sizeof(number));
  return number & 0xffffff;
}

}  // namespace

VerbsQueue::VerbsQueue(VerbsRail& rail, VerbsDomain& domain, uint16_t number, uint16_t generation,
                       const VerbsQueueShape& shape, ibv_mr* windows_over)
    : rail_(&rail),
      domain_(&domain),
      number_(number),
      shape_(shape),
      windows_over_(windows_over),
      puts_(shape.send_depth),
      generation_(generation),
      receive_room_(shape.receive_depth + kCreditReserve),
      send_room_(shape.send_depth + kControlReserve + 2) {}

VerbsQueue::~VerbsQueue() { unmake(); }

uint32_t VerbsQueue::completions_max(const VerbsQueueShape& shape) {
  return shape.send_depth + kControlReserve + 2 + shape.receive_depth + kCreditReserve + 1;
}

Status VerbsQueue::make() {
  ibv_pd* const pd = domain_->pd.get();
  if (headers_ == nullptr) {
    const size_t count = receive_room_ + send_room_;
    PHUB_TRY_ASSIGN(header_pages_, base::Mapping::anonymous(count * sizeof(Header)));
    headers_region_.reset(verbs().reg_mr_iova(pd, header_pages_.data(), header_pages_.size(),
                                              reinterpret_cast<uint64_t>(header_pages_.data()),
                                              IBV_ACCESS_LOCAL_WRITE));
    if (headers_region_ == nullptr) {
      return Status(Code::resource_exhausted, "register " + std::to_string(count * sizeof(Header)) +
                                                  " bytes with " + rail_->device().name + ": " +
                                                  base::errno_text());
    }
    headers_ = reinterpret_cast<Header*>(header_pages_.data());
  }
  ibv_qp_init_attr wanted = {};
  wanted.send_cq = wanted.recv_cq = rail_->completions();
  wanted.cap = {send_room_, receive_room_ + 1, 1, 1, kInlineWanted};  // One for the marker.
  wanted.qp_type = IBV_QPT_RC;
  queue_pair_.reset(verbs().create_qp(pd, &wanted));
  if (queue_pair_ == nullptr) {
    wanted.cap = {send_room_, receive_room_ + 1, 1, 1, 0};
    queue_pair_.reset(verbs().create_qp(pd, &wanted));
  }
  if (queue_pair_ == nullptr) {
    return Status(Code::resource_exhausted,
                  "make a queue pair of " + std::to_string(send_room_) + " + " +
                      std::to_string(receive_room_) + " work requests on " + rail_->device().name +
                      ": " + base::errno_text() + "; a smaller queue_depth may help");
  }
  inline_max_ = wanted.cap.max_inline_data;
  ++generation_;
  posted_ = completed_ = bound_at_ = since_signal_ = receive_place_ = header_place_ = 0;
  has_failed_ = is_drained_ = false;
  receives_used_ = receive_room_;
  credit_given_ = arrived_;
  first_packet_ = random_packet_number();
  if (windows_over_ != nullptr) {
    window_.reset(ibv_alloc_mw(pd, IBV_MW_TYPE_2));
    if (window_ == nullptr) {
      return Status(Code::resource_exhausted,
                    "make a memory window on " + rail_->device().name + ": " + base::errno_text());
    }
    window_key_ = ibv_inc_rkey(window_->rkey);
  }
  const config::RdmaOptions& options = rail_->options();
  ibv_qp_attr state = {};
  state.qp_state = IBV_QPS_INIT;
  state.pkey_index = options.pkey_index;
  state.port_num = rail_->device().port;
  state.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
  PHUB_TRY(modify(&state, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS,
                  "start a queue pair"));
  post_receives();
  if (!has_failed_) return {};
  return Status(Code::unavailable,
                "post receives on " + rail_->device().name + ": the device refuses");
}

Status VerbsQueue::modify(ibv_qp_attr* attributes, int mask, const char* what) {
  const int error = verbs().modify_qp(queue_pair_.get(), attributes, mask);
  if (error == 0) return {};
  errno = error;
  return Status(Code::unavailable,
                std::string(what) + " on " + rail_->device().name + ": " + base::errno_text());
}

Status VerbsQueue::join(const VerbsAddress& address, const VerbsEndpoint& peer,
                        const VerbsTarget& target) {
  const config::RdmaOptions& options = rail_->options();
  const VerbsDevice& device = rail_->device();
  ibv_qp_attr state = {};
  state.qp_state = IBV_QPS_RTR;
  state.path_mtu = mtu_of_bytes(std::min(device.mtu, address.mtu));
  state.dest_qp_num = peer.queue_pair;
  state.rq_psn = peer.first_packet;
  state.max_dest_rd_atomic = 0;
  state.min_rnr_timer = kReceiverNotReadyTimer;
  state.ah_attr = path_to(address, device, options);
  PHUB_TRY(
      modify(&state,
             IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                 IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER,
             "join a queue pair to its peer")
          .with_context("from " + to_text(device.gid.entry.gid) + " to " + to_text(address.gid)));
  state = {};
  state.qp_state = IBV_QPS_RTS;
  state.timeout = options.timeout;
  state.retry_cnt = options.retries;
  state.rnr_retry = kReceiverNotReadyRetries;
  state.sq_psn = first_packet_;
  state.max_rd_atomic = 0;
  PHUB_TRY(modify(&state,
                  IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                      IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC,
                  "start sending"));
  target_ = target;
  peer_window_key_ = peer.window_key;
  is_joined_ = true;
  return bind_window();
}

// What is posted behind this waits for it.
Status VerbsQueue::bind_window() {
  if (window_ == nullptr) return {};
  ibv_send_wr request = {};
  request.opcode = IBV_WR_BIND_MW;
  request.bind_mw.mw = window_.get();
  request.bind_mw.rkey = window_key_;
  const auto memory =
      std::span(static_cast<std::byte*>(windows_over_->addr), windows_over_->length);
  request.bind_mw.bind_info = {windows_over_, address_in(memory), windows_over_->length,
                               IBV_ACCESS_REMOTE_WRITE};
  if (post_control(request, true)) {
    bound_at_ = posted_;
    return {};
  }
  return Status(Code::unavailable,
                "bind a memory window on " + rail_->device().name + ": " + base::errno_text());
}

// The marker goes first: soft-RoCE looks for receives to give back only as it is told of the error,
// and one behind as many as there are credits is not taken by a put.
void VerbsQueue::stop() {
  is_open_ = is_joined_ = false;
  is_drained_ = queue_pair_ == nullptr;
  if (is_drained_) return;
  post_marker();
  force_error();
}

void VerbsQueue::force_error() {
  if (queue_pair_ == nullptr) return;
  ibv_qp_attr state = {};
  state.qp_state = IBV_QPS_ERR;
  verbs().modify_qp(queue_pair_.get(), &state, IBV_QP_STATE);
}

// The window goes first: it hangs on the queue pair. Stopped before that, the queue pair does not
// refuse what is still under way to it, which would make an error of it at the peer.
void VerbsQueue::unmake() {
  has_failed_ = false;
  is_open_ = is_joined_ = false;
  if (queue_pair_ == nullptr) return;
  force_error();
  window_.reset();
  queue_pair_.reset();
  ++generation_;
}

VerbsEndpoint VerbsQueue::endpoint() const {
  if (queue_pair_ == nullptr) return {};
  return {queue_pair_->qp_num, first_packet_, window_ == nullptr ? 0 : window_key_};
}

bool VerbsQueue::settle(uint32_t arrived_there) {
  // Those that are known to have arrived stay so, whatever the peer says: it may have wrapped
  // around, but not gone back.
  const uint32_t landed = puts_posted_ - puts_.flying();
  const uint32_t more = arrived_there - landed;
  if (more > puts_.flying()) return false;
  for (uint32_t i = 0; i < more; ++i) puts_.land_one();
  puts_.rewind();
  puts_posted_ = puts_credited_ = arrived_there;
  return true;
}

}  // namespace phub::transport
