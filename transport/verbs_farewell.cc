#include "transport/verbs_farewell.h"

#include <utility>

namespace phub::transport {
namespace {

constexpr uint32_t kRepeats = 9;  // From 20 ms on, each pause twice the one before: 10 s.
constexpr int64_t kFirstPauseNs = 20'000'000;

}  // namespace

VerbsFarewell::VerbsFarewell(uint64_t cookie, bool is_acceptor, std::vector<VerbsMailbox> mailboxes,
                             std::vector<VerbsMail*> mails, std::vector<VerbsWays::Ticket> tickets)
    : cookie_(cookie),
      is_acceptor_(is_acceptor),
      mailboxes_(std::move(mailboxes)),
      mails_(std::move(mails)),
      tickets_(std::move(tickets)) {}

VerbsFarewell::~VerbsFarewell() {
  for (size_t i = 0; i < tickets_.size(); ++i) {
    if (tickets_[i] != 0) mails_[i]->ways().forget(tickets_[i]);
  }
}

void VerbsFarewell::take_ways() {
  bool has_more = false;
  for (size_t i = 0; i < tickets_.size(); ++i) {
    if (tickets_[i] == 0) continue;
    auto answer = mails_[i]->ways().take(tickets_[i]);
    if (!answer.has_value()) continue;
    tickets_[i] = 0;
    mailboxes_[i].way = std::move(answer->way);
    has_more = true;
  }
  if (has_more) say();
}

void VerbsFarewell::say() {
  VerbsLetter letter;
  letter.kind = VerbsLetter::Kind::goodbye;
  letter.is_from_acceptor = is_acceptor_;
  letter.cookie = cookie_;
  letter.address.mtu = 256;
  for (size_t i = 0; i < mailboxes_.size(); ++i) {
    letter.path = static_cast<uint8_t>(i);
    mails_[i]->send(mailboxes_[i], letter);
  }
}

base::Instant VerbsFarewell::run_timers(base::Instant now) {
  if (now < next_) return next_;
  if (next_.ns != 0) say();
  if (said_count_ == kRepeats) return {INT64_MAX};
  next_ = {now.ns + (kFirstPauseNs << said_count_++)};
  return next_;
}

}  // namespace phub::transport
