// Sending, barriers, and who is gone. van_start.cc: how nodes meet.
#include <ps/internal/van.h>

#include <algorithm>

#include "van_impl.h"
#include "wire.h"

namespace ps {

using phub::PeerId;

Van::Van(Postoffice* office) : impl_(new Impl(office)) {}
Van::~Van() = default;
const Node& Van::my_node() const { return impl_->me(); }
bool Van::IsReady() const { return impl_->IsReady(); }
int Van::Send(const Message& message) { return impl_->Send(message); }
void Van::Start(int customer_id, int preferred_rank) { impl_->Start(customer_id, preferred_rank); }
void Van::Stop() { impl_->Stop(); }
void Van::Barrier(int customer_id, int group) { impl_->Barrier(customer_id, group); }
std::vector<int> Van::DeadNodes() const { return impl_->DeadNodes(); }

bool Van::Impl::IsReady() const {
  const Lock lock(mutex_);
  return has_book_;
}

std::vector<int> Van::Impl::DeadNodes() const {
  const Lock lock(mutex_);
  std::vector<int> nodes;
  for (const auto& one : dead_) nodes.push_back(one.first);
  return nodes;
}

// "worker 1 (node 11, process 4711 on node7)"
std::string Van::Impl::Name(int node) const {
  if (node == kScheduler) return "scheduler";
  const std::string role = node % 2 == 0 ? "server " : "worker ";
  std::string text =
      role + std::to_string(Postoffice::IDtoRank(node)) + " (node " + std::to_string(node);
  for (const Member& member : members_) {
    if (member.id == node) text += ", " + member.who;
  }
  return text + ")";
}

int Van::Impl::Send(const Message& given) {
  const auto message = std::make_shared<Message>(given);
  Lock lock(mutex_);
  CHECK(has_book_) << "ps::Start comes before the first message";
  message->meta.sender = me_.id;
  const int to = message->meta.recver;
  if (to == me_.id) {
    lock.unlock();
    office_->Deliver(*message);
    return message->meta.data_size;
  }
  std::string failure;
  const auto gone = gone_.find(to);
  const PeerId peer = gone == gone_.end() ? PeerFor(lock, to) : phub::kAnyPeer;
  if (gone_.count(to) != 0) failure = gone_[to];
  const std::shared_ptr<phub::Messenger> messenger = messenger_;
  lock.unlock();
  if (failure.empty()) {
    const auto head = std::make_shared<std::string>(internal::EncodeMeta(message->meta));
    std::vector<phub::MessagePart> parts = {{head->data(), head->size()}};
    for (const SArray<char>& array : message->data) parts.push_back({array.data(), array.size()});
    // The callback keeps what is borrowed until it has left.
    const auto sent =
        messenger->send(peer, internal::kData, parts, [message, head](const phub::Status&) {});
    if (sent.ok()) return message->meta.data_size;
    failure = sent.status().message();
  }
  Customer* const customer =
      message->meta.request ? office_->GetCustomer(message->meta.app_id, message->meta.customer_id)
                            : nullptr;
  if (customer != nullptr) customer->Fail(message->meta.timestamp, failure);
  return message->meta.data_size;
}

void Van::Impl::Say(PeerId peer, const Line& line) {
  const auto text = std::make_shared<std::string>(internal::JoinLines(line));
  [[maybe_unused]] const auto sent =  // Who is gone is told elsewhere.
      messenger_->send(peer, internal::kControl, {{text->data(), text->size()}},
                       [text](const phub::Status&) {});
}

void Van::Impl::SayToAll(const Line& line) {
  for (const PeerId peer : messenger_->peers()) Say(peer, line);
}

void Van::Impl::OnMessage(phub::Message message) {
  if (message.tag == internal::kControl) {
    return OnControl(message.peer, internal::Lines(message));
  }
  Message data;
  if (message.tag == internal::kData && internal::Decode(message, &data)) {
    office_->Deliver(std::move(data));
  }
}

void Van::Impl::OnControl(PeerId peer, const Line& line) {
  using internal::ToInt;
  if (line.empty()) return;
  const Lock lock(mutex_);
  if (messenger_ == nullptr) return;
  const std::string& what = line[0];
  if (what == "join" && line.size() == 6) return OnJoin(peer, line);
  if (what == "book" && line.size() >= 3) return OnBook(line);
  if (what == "hello") return OnHello(peer, line);
  if (what == "refused" && line.size() == 2) {
    refusal_ = line[1];
    return news_.notify_all();
  }
  if (what == "barrier" && line.size() == 4) {
    return OnBarrier(ToInt(line[1]), ToInt(line[2]), ToInt(line[3]), peer);
  }
  if (what == "barrier_done" && line.size() == 4) {
    return OnBarrierDone(ToInt(line[1]), ToInt(line[2]), line[3]);
  }
  if (what == "gone" && line.size() == 4) return OnGone(ToInt(line[1]), line[2] == "1", line[3]);
}

void Van::Impl::Barrier(int customer_id, int group) {
  Lock lock(mutex_);
  CHECK(has_book_) << "ps::Start comes before the first barrier";
  const std::pair<int, int> key(customer_id, group);
  if (is_scheduler_) {
    OnBarrier(kScheduler, customer_id, group, phub::kAnyPeer);
  } else {
    Say(peers_.at(kScheduler),
        {"barrier", std::to_string(me_.id), std::to_string(customer_id), std::to_string(group)});
  }
  ++barrier_count_;
  const int seconds = GetEnv("PS_WAIT_TIMEOUT", 3600);
  const bool is_in_time = news_.wait_for(lock, std::chrono::seconds(seconds), [&] {
    return !released_[key].empty() || gone_.count(kScheduler) != 0;
  });
  std::string why;
  if (!released_[key].empty()) {
    why = released_[key].front();
    released_[key].erase(released_[key].begin());
  } else if (is_in_time) {
    why = gone_[kScheduler];
  } else {
    why = "not all have come within " + std::to_string(seconds) + " s (PS_WAIT_TIMEOUT)";
  }
  --barrier_count_;
  news_.notify_all();
  lock.unlock();
  if (!why.empty()) LOG(FATAL) << "barrier of group " << group << ": " << why;
}

void Van::Impl::OnBarrier(int node, int customer, int group, PeerId peer) {
  if (!is_scheduler_ || group < 1 || group > 7) return;
  barriers_[group].push_back({node, customer, peer});
  CheckBarrier(group);
}

// Lets a barrier go when all have come, or cannot come any more.
void Van::Impl::CheckBarrier(int group) {
  std::vector<Waiting>& waiting = barriers_[group];
  const std::vector<int>& needed = office_->GetNodeIDs(group);
  std::string why;
  if (waiting.size() < needed.size()) {
    for (const int node : needed) {
      const auto gone = gone_.find(node);
      if (gone == gone_.end()) continue;
      const bool has_come = std::any_of(waiting.begin(), waiting.end(),
                                        [node](const Waiting& one) { return one.node == node; });
      if (!has_come || dead_.count(node) != 0) why = gone->second;
    }
    if (why.empty()) return;
  }
  for (const Waiting& one : waiting) {
    if (one.peer == phub::kAnyPeer) {
      OnBarrierDone(one.customer, group, why);
    } else {
      Say(one.peer, {"barrier_done", std::to_string(one.customer), std::to_string(group), why});
    }
  }
  waiting.clear();
}

void Van::Impl::OnBarrierDone(int customer, int group, const std::string& why) {
  released_[{customer, group}].push_back(why);
  news_.notify_all();
}

void Van::Impl::OnPeer(PeerId peer, const phub::Status& status) {
  if (status.ok()) return;
  const Lock lock(mutex_);
  if (messenger_ == nullptr || is_stopping_) return;
  const bool has_died = !messenger_->has_left(peer);
  if (is_scheduler_ && !has_book_) {  // Somebody who may come again.
    members_.erase(std::remove_if(members_.begin(), members_.end(),
                                  [peer](const Member& one) { return one.peer == peer; }),
                   members_.end());
    return news_.notify_all();
  }
  std::vector<int> nodes;
  for (const auto& one : peers_) {
    if (one.second == peer) nodes.push_back(one.first);
  }
  for (const int node : nodes) OnGone(node, has_died, Name(node) + ": " + status.message());
}

// Who ends because somebody died is not to blame: the first death is named with every later one.
void Van::Impl::OnGone(int node, bool has_died, const std::string& reason) {
  if (is_stopping_ || node == me_.id || gone_.count(node) != 0) return;
  const bool is_later = !first_death_.empty() && reason.find(first_death_) == std::string::npos;
  const std::string why = reason + (is_later ? "; before that, " + first_death_ : "");
  gone_[node] = why;
  if (has_died) {
    if (first_death_.empty()) first_death_ = why;
    dead_[node] = why;
    LOG(ERROR) << why;
  }
  office_->NodeLost(node, why);
  if (is_scheduler_) {
    SayToAll({"gone", std::to_string(node), has_died ? "1" : "0", why});
    for (int group = 1; group <= 7; ++group) {
      if (!barriers_[group].empty()) CheckBarrier(group);
    }
  }
  news_.notify_all();
}

}  // namespace ps
