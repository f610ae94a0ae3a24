#include "transport/verbs_ways.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace phub::transport {

VerbsWays::~VerbsWays() {
  {
    const std::scoped_lock lock(mutex_);
    questions_.clear();
  }
  thread_.join();
}

Status VerbsWays::start(ibv_pd* pd) {
  pd_ = pd;
  wake_ = base::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (wake_.valid()) return {};
  return Status(Code::internal, "make an event descriptor: " + base::errno_text());
}

VerbsWays::Ticket VerbsWays::ask(const ibv_ah_attr& path, std::string what) {
  const Ticket ticket = ++last_ticket_;
  {
    const std::scoped_lock lock(mutex_);
    questions_.push_back({ticket, path, std::move(what)});
    if (std::exchange(is_running_, true)) return ticket;
  }
  thread_.join();  // The last one has ended, or is about to.
  thread_ = base::Thread("rdma-ways", -1, [this] { run(); });
  return ticket;
}

void VerbsWays::forget(Ticket ticket) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(questions_, [ticket](const Question& one) { return one.ticket == ticket; });
  std::erase_if(answers_, [ticket](const Answer& one) { return one.ticket == ticket; });
  if (under_way_ == ticket) is_forgotten_ = true;
  answer_count_.store(answers_.size(), std::memory_order_release);
}

std::optional<VerbsWays::Answer> VerbsWays::take(Ticket ticket) {
  const std::scoped_lock lock(mutex_);
  const auto place = std::find_if(answers_.begin(), answers_.end(),
                                  [ticket](const Answer& one) { return one.ticket == ticket; });
  if (place == answers_.end()) return std::nullopt;
  Answer answer = std::move(*place);
  answers_.erase(place);
  answer_count_.store(answers_.size(), std::memory_order_release);
  return answer;
}

void VerbsWays::calm() {
  uint64_t count = 0;
  (void)!::read(wake_.get(), &count, sizeof(count));
}

void VerbsWays::run() {
  while (true) {
    Question question;
    {
      const std::scoped_lock lock(mutex_);
      under_way_ = 0;
      if (questions_.empty()) {
        is_running_ = false;
        return;
      }
      question = std::move(questions_.front());
      questions_.pop_front();
      under_way_ = question.ticket;
      is_forgotten_ = false;
    }
    Answer answer{question.ticket, VerbsPtr<ibv_ah>(verbs().create_ah(pd_, &question.path)), ""};
    if (answer.way == nullptr) answer.failure = question.what + ": " + base::errno_text();
    const std::scoped_lock lock(mutex_);
    if (is_forgotten_) continue;
    answers_.push_back(std::move(answer));
    answer_count_.store(answers_.size(), std::memory_order_release);
    const uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof(one));
  }
}

}  // namespace phub::transport
