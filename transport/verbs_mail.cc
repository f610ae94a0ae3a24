#include "transport/verbs_mail.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/random.h"
#include "base/try.h"
#include "transport/verbs_path.h"

namespace phub::transport {
namespace {

constexpr uint64_t kReceive = uint64_t{1} << 31;

Status failed(const std::string& what) {
  return Status(Code::unavailable, what + ": " + base::errno_text());
}

}  // namespace

Result<std::unique_ptr<VerbsMail>> VerbsMail::make(const VerbsDevice& device, ibv_cq* completions,
                                                   const config::RdmaOptions& options) {
  std::unique_ptr<VerbsMail> mail(new VerbsMail(device, options));
  PHUB_TRY(mail->make_queue_pair(completions));
  PHUB_TRY(mail->start());
  PHUB_TRY(mail->ways_.start(mail->pd_.get()));
  return mail;
}

uint64_t VerbsMail::id_of(uint64_t kind, uint32_t place) const {
  return uint64_t{kVerbsMailNumber} << 48 | uint64_t{generation_} << 32 | kind | place;
}

Status VerbsMail::make_queue_pair(ibv_cq* completions) {
  pd_.reset(verbs().alloc_pd(device_.context.get()));
  if (pd_ == nullptr) return failed("make a protection domain");
  PHUB_TRY_ASSIGN(pages_, base::Mapping::anonymous(sizeof(Memory)));
  memory_ = reinterpret_cast<Memory*>(pages_.data());
  region_.reset(verbs().reg_mr_iova(pd_.get(), memory_, sizeof(Memory),
                                    reinterpret_cast<uint64_t>(memory_), IBV_ACCESS_LOCAL_WRITE));
  if (region_ == nullptr) return failed("register memory for letters");
  ibv_qp_init_attr wanted = {};
  wanted.send_cq = wanted.recv_cq = completions;
  wanted.cap = {kDepth, kDepth, 1, 1, 0};
  wanted.qp_type = IBV_QPT_UD;
  queue_pair_.reset(verbs().create_qp(pd_.get(), &wanted));
  if (queue_pair_ == nullptr) return failed("make a queue pair for letters");
  unsigned char random[4] = {};
  base::random_bytes(random);
  std::memcpy(&key_, random, sizeof(key_));
  key_ &= 0x7fffffff;  // The highest bit is for privileged users.
  return {};
}

Status VerbsMail::start() {
  ibv_qp_attr state = {};
  state.qp_state = IBV_QPS_INIT;
  state.pkey_index = options_.pkey_index;
  state.port_num = device_.port;
  state.qkey = key_;
  const auto move = [&](int mask) {
    const int error = verbs().modify_qp(queue_pair_.get(), &state, mask);
    if (error != 0) errno = error;
    return error == 0;
  };
  if (!move(IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY)) {
    return failed("start the queue pair for letters (pkey_index " +
                  std::to_string(options_.pkey_index) + ")");
  }
  for (uint32_t place = 0; place < kDepth; ++place) post_receive(place);
  state = {};
  state.qp_state = IBV_QPS_RTR;
  if (!move(IBV_QP_STATE)) return failed("start the queue pair for letters");
  state.qp_state = IBV_QPS_RTS;
  if (!move(IBV_QP_STATE | IBV_QP_SQ_PSN)) return failed("start the queue pair for letters");
  return {};
}

Result<VerbsPtr<ibv_ah>> VerbsMail::way_to(const VerbsAddress& address) const {
  ibv_ah_attr path = path_to(address, device_, options_);
  VerbsPtr<ibv_ah> way(verbs().create_ah(pd_.get(), &path));
  if (way != nullptr) return way;
  return failed(seeking(address));
}

VerbsWays::Ticket VerbsMail::ask_way_to(const VerbsAddress& address) {
  return ways_.ask(path_to(address, device_, options_), seeking(address));
}

std::string VerbsMail::seeking(const VerbsAddress& address) const {
  return "find a way from " + to_text(device_.gid.entry.gid) + " on " + device_.name + " to " +
         to_text(address.gid);
}

void VerbsMail::mend() {
  if (!is_broken_) return;
  ibv_qp_attr state = {};
  state.qp_state = IBV_QPS_RESET;
  if (verbs().modify_qp(queue_pair_.get(), &state, IBV_QP_STATE) != 0) return;
  ++generation_;
  sent_count_ = done_count_ = 0;
  is_broken_ = !start().ok();
}

void VerbsMail::post_receive(uint32_t place) {
  ibv_sge piece = {reinterpret_cast<uint64_t>(memory_->received[place].data()), 128, region_->lkey};
  ibv_recv_wr request = {id_of(kReceive, place), nullptr, &piece, 1};
  ibv_recv_wr* bad = nullptr;
  ibv_post_recv(queue_pair_.get(), &request, &bad);
}

void VerbsMail::send(const VerbsMailbox& to, const VerbsLetter& letter) {
  if (is_broken_ || to.way == nullptr || sent_count_ - done_count_ >= kDepth) return;
  const uint32_t place = sent_count_ % kDepth;
  const auto bytes = encode(letter);
  std::copy(bytes.begin(), bytes.end(), memory_->sent[place].begin());
  ibv_sge piece = {reinterpret_cast<uint64_t>(memory_->sent[place].data()),
                   static_cast<uint32_t>(bytes.size()), region_->lkey};
  ibv_send_wr request = {};
  request.wr_id = id_of(0, place);
  request.sg_list = &piece;
  request.num_sge = 1;
  request.opcode = IBV_WR_SEND;
  request.send_flags = IBV_SEND_SIGNALED;
  request.wr.ud = {to.way.get(), to.queue_pair, to.key};
  ibv_send_wr* bad = nullptr;
  if (ibv_post_send(queue_pair_.get(), &request, &bad) == 0) ++sent_count_;
}

std::optional<VerbsLetter> VerbsMail::on_completion(const ibv_wc& completion) {
  if (static_cast<uint16_t>(completion.wr_id >> 32) != generation_) return std::nullopt;
  if (completion.status != IBV_WC_SUCCESS) {
    is_broken_ = true;
    return std::nullopt;
  }
  if ((completion.wr_id & kReceive) == 0) {
    ++done_count_;
    return std::nullopt;
  }
  const uint32_t place = static_cast<uint32_t>(completion.wr_id) % kDepth;
  std::optional<VerbsLetter> letter;
  if (completion.byte_len > kHeadBytes && completion.byte_len <= 128) {
    letter = decode_letter(
        std::span(memory_->received[place]).subspan(kHeadBytes, completion.byte_len - kHeadBytes));
  }
  post_receive(place);
  return letter;
}

}  // namespace phub::transport
