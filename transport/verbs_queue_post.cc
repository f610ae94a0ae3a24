// The data path of a queue pair: puts to work requests, completions to arrivals, credits.
#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>

#include "transport/verbs_queue.h"

namespace phub::transport {
namespace {

// The lower half of a work request's wr_id: what it is, and its number.
constexpr uint64_t kReceiveId = uint64_t{1} << 31;
constexpr uint32_t kNumberMask = (1u << 31) - 1;
constexpr uint32_t kMarkerPlace = kNumberMask;
constexpr uint32_t kPutBatch = 32;

VerbsArrival offend(const char* offence) {
  VerbsArrival arrival;
  arrival.kind = VerbsArrival::Kind::broken;
  arrival.offence = offence;
  return arrival;
}

}  // namespace

uint64_t VerbsQueue::id_of(uint64_t kind, uint32_t number) const {
  return uint64_t{number_} << 48 | uint64_t{generation_} << 32 | kind | (number & kNumberMask);
}

bool VerbsQueue::is_stale(const ibv_wc& completion) const {
  return static_cast<uint16_t>(completion.wr_id >> 32) != generation_;
}

uint32_t VerbsQueue::key_of(const VerbsSlot& slot) const {
  return peer_window_key_ != 0 ? peer_window_key_ : (*target_.range_keys)[slot.range];
}

bool VerbsQueue::may_signal(bool is_last) {
  if (++since_signal_ < kSignalInterval && !is_last) return false;
  since_signal_ = 0;
  return true;
}

// Rare and small: signalled only when its turn comes.
bool VerbsQueue::post_control(ibv_send_wr& request, bool is_signalled) {
  if (!is_joined_ || room() == 0) return false;
  request.wr_id = id_of(0, posted_ + 1);
  if (may_signal(is_signalled)) request.send_flags |= IBV_SEND_SIGNALED;
  ibv_send_wr* bad = nullptr;
  errno = ibv_post_send(queue_pair_.get(), &request, &bad);  // It returns the error only.
  if (errno != 0) {
    has_failed_ = true;
    return false;
  }
  ++posted_;
  return true;
}

// One or two work requests; returns how many.
uint32_t VerbsQueue::fill(VerbsPut& put, ibv_send_wr* requests, ibv_sge* pieces) {
  const VerbsSlot& slot = (*target_.slots)[put.slot];
  const bool is_direct = (put.tag & shape_.tag_slot_mask) == put.slot;
  uint32_t count = 0;
  if (is_direct || put.bytes > 0) {
    ibv_send_wr& write = requests[count++];
    write = {};
    write.opcode = is_direct ? IBV_WR_RDMA_WRITE_WITH_IMM : IBV_WR_RDMA_WRITE;
    write.imm_data = htonl(put.tag);
    write.wr.rdma = {slot.address, key_of(slot)};
    if (put.bytes > 0) {
      pieces[0] = {reinterpret_cast<uint64_t>(put.data), put.bytes,
                   rail_->source_key(*domain_, put.data, put.bytes)};
      write.sg_list = &pieces[0];
      write.num_sge = 1;
      if (put.bytes <= inline_max_) write.send_flags = IBV_SEND_INLINE;
    }
  }
  if (!is_direct) {
    Header& header = headers_[receive_room_ + header_place_];
    header_place_ = header_place_ + 1 == send_room_ ? 0 : header_place_ + 1;
    header = {put.slot, put.bytes};
    ibv_send_wr& send = requests[count++];
    send = {};
    send.opcode = IBV_WR_SEND_WITH_IMM;
    send.imm_data = htonl(put.tag);
    pieces[1] = {reinterpret_cast<uint64_t>(&header), sizeof(Header), headers_region_->lkey};
    send.sg_list = &pieces[1];
    send.num_sge = 1;
    if (sizeof(Header) <= inline_max_) send.send_flags = IBV_SEND_INLINE;
  }
  for (uint32_t i = 0; i < count; ++i) requests[i].wr_id = id_of(0, ++posted_);
  put.end = posted_;
  return count;
}

void VerbsQueue::flush() {
  std::array<ibv_send_wr, 2 * kPutBatch> requests;
  std::array<ibv_sge, 2 * kPutBatch> pieces;
  while (is_open_ && !has_failed_ && puts_.waiting() > 0) {
    const uint32_t credits = target_.receive_depth - (puts_posted_ - puts_credited_);
    const uint32_t batch = std::min({puts_.waiting(), credits, kPutBatch});
    uint32_t count = 0;
    uint32_t used = 0;
    uint64_t bytes = 0;
    while (count < batch && room() >= 2 + kControlReserve) {
      VerbsPut& put = puts_.waiting_at(count);
      const uint32_t first = used;
      used += fill(put, &requests[used], &pieces[2 * count]);
      bytes += put.bytes;
      ++count;
      const bool is_last = count == batch || room() < 2 + kControlReserve;
      for (uint32_t i = first; i < used; ++i) {
        requests[i].next = is_last && i + 1 == used ? nullptr : &requests[i + 1];
        if (may_signal(is_last && i + 1 == used)) requests[i].send_flags |= IBV_SEND_SIGNALED;
      }
    }
    if (count == 0) return;
    puts_.fly(count);
    puts_posted_ += count;
    rail_->counters().bytes_sent.add(bytes);
    rail_->counters().puts_sent.add(count);
    ibv_send_wr* bad = nullptr;
    if (ibv_post_send(queue_pair_.get(), requests.data(), &bad) != 0) {
      has_failed_ = true;  // Only a queue pair in error refuses: these go again by the next one.
      return;
    }
  }
}

void VerbsQueue::probe() {
  ibv_send_wr request = {};
  request.opcode = IBV_WR_RDMA_WRITE;
  post_control(request, true);
}

void VerbsQueue::post_receives() {
  std::array<ibv_recv_wr, kPutBatch> requests;
  std::array<ibv_sge, kPutBatch> pieces;
  while (receives_used_ > 0) {
    const uint32_t count = std::min(receives_used_, kPutBatch);
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t place = receive_place_;
      receive_place_ = place + 1 == receive_room_ ? 0 : place + 1;
      pieces[i] = {reinterpret_cast<uint64_t>(&headers_[place]), sizeof(Header),
                   headers_region_->lkey};
      requests[i] = {id_of(kReceiveId, place), i + 1 < count ? &requests[i + 1] : nullptr,
                     &pieces[i], 1};
    }
    ibv_recv_wr* bad = nullptr;
    if (ibv_post_recv(queue_pair_.get(), requests.data(), &bad) != 0) {
      has_failed_ = true;  // Until the next incarnation, whatever goes well meanwhile.
      return;
    }
    receives_used_ -= count;
  }
}

// Refused, it never comes: who waits for it has a deadline.
void VerbsQueue::post_marker() {
  ibv_recv_wr request = {id_of(kReceiveId, kMarkerPlace), nullptr, nullptr, 0};
  ibv_recv_wr* bad = nullptr;
  ibv_post_recv(queue_pair_.get(), &request, &bad);
}

void VerbsQueue::on_error(const ibv_wc& completion) {
  is_drained_ =
      is_drained_ || (completion.wr_id & UINT32_MAX) == (kReceiveId | uint64_t{kMarkerPlace});
}

void VerbsQueue::give_credit() {
  if (arrived_ - credit_given_ < std::max(shape_.receive_depth / 4, 1u)) return;
  ibv_send_wr request = {};
  request.opcode = IBV_WR_SEND_WITH_IMM;
  request.imm_data = htonl(arrived_);
  if (post_control(request)) credit_given_ = arrived_;
}

void VerbsQueue::after_batch() {
  if (!is_joined_) return;
  post_receives();
  if (has_failed_) return;  // No credit for what is not there.
  give_credit();
  flush();
}

VerbsArrival VerbsQueue::on_completion(const ibv_wc& completion) {
  if ((completion.wr_id & kReceiveId) != 0) return on_receive(completion);
  on_sent(static_cast<uint32_t>(completion.wr_id) & kNumberMask);
  return {};
}

void VerbsQueue::on_sent(uint32_t number) {
  // `number` lacks its highest bit; it is among the last that were posted.
  completed_ = posted_ - ((posted_ - number) & kNumberMask);
  while (puts_.flying() > 0 && static_cast<int32_t>(completed_ - puts_.oldest_flying().end) >= 0) {
    puts_.land_one();
  }
}

VerbsArrival VerbsQueue::on_receive(const ibv_wc& completion) {
  const uint32_t place = static_cast<uint32_t>(completion.wr_id) & kNumberMask;
  if (place >= receive_room_) return offend("sent more than it had credit for");  // The marker.
  ++receives_used_;
  const bool is_write = completion.opcode == IBV_WC_RECV_RDMA_WITH_IMM;
  const uint32_t tag = ntohl(completion.imm_data);
  if ((completion.wc_flags & IBV_WC_WITH_IMM) == 0) return offend("sent a message of another kind");
  if (!is_write && completion.byte_len == 0) {
    if (tag - puts_credited_ > puts_posted_ - puts_credited_) {
      return offend("gave credit for puts that were never made");
    }
    puts_credited_ = tag;
    return {};
  }
  ++arrived_;
  if (arrived_ - credit_given_ > shape_.receive_depth) {
    return offend("sent more puts than it had credit for");
  }
  if (is_write) {
    return {VerbsArrival::Kind::put, tag, tag & shape_.tag_slot_mask, completion.byte_len, nullptr};
  }
  if (completion.byte_len != sizeof(Header)) return offend("sent a message of another kind");
  const Header& header = headers_[place];
  return {VerbsArrival::Kind::put, tag, header.slot, header.bytes, nullptr};
}

}  // namespace phub::transport
