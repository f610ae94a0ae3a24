// The goodbyes of a closed link: said a few times, since letters get lost, and again to whoever
// still writes to it.
#pragma once

#include <vector>

#include "base/clock.h"
#include "transport/verbs_mail.h"

namespace phub::transport {

class VerbsFarewell {
 public:
  // mails: of the rails, as long as the farewell lives. tickets: for ways that are still looked
  // for.
  VerbsFarewell(uint64_t cookie, bool is_acceptor, std::vector<VerbsMailbox> mailboxes,
                std::vector<VerbsMail*> mails, std::vector<VerbsWays::Ticket> tickets);
  ~VerbsFarewell();
  VerbsFarewell(const VerbsFarewell&) = delete;
  VerbsFarewell& operator=(const VerbsFarewell&) = delete;

  uint64_t cookie() const { return cookie_; }
  void say();
  // There are answers about ways; those for this one are used at once.
  void take_ways();
  // Says it if it is time. max(): forget it, its time is over.
  base::Instant run_timers(base::Instant now);

 private:
  uint64_t cookie_;
  bool is_acceptor_;
  std::vector<VerbsMailbox> mailboxes_;
  std::vector<VerbsMail*> mails_;
  std::vector<VerbsWays::Ticket> tickets_;
  uint32_t said_count_ = 0;
  base::Instant next_{0};
};

}  // namespace phub::transport
