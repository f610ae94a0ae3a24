// How nodes meet: everybody joins at the scheduler, which numbers them when all have come.
#include <unistd.h>

#include <algorithm>

#include "van_impl.h"
#include "wire.h"

namespace ps {
namespace {

using phub::PeerId;

constexpr std::chrono::seconds kRefusalLimit{2};

std::chrono::seconds StartLimit() { return std::chrono::seconds(GetEnv("PS_START_TIMEOUT", 300)); }

std::string Text(const char* name, const std::string& fallback) {
  const char* const value = Environment::Get()->find(name);
  return value == nullptr || *value == '\0' ? fallback : value;
}

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host.compare(0, 4, "127.") == 0 || host == "::1";
}

std::string Bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

std::string RootAddress() {
  return Bracketed(Text("DMLC_PS_ROOT_URI", "")) + ":" + Text("DMLC_PS_ROOT_PORT", "");
}

// Where this node is reached: the interface that was named, else all; on one machine its loopback.
phub::MessengerOptions OptionsFor(bool is_scheduler) {
  phub::MessengerOptions options;
  options.name = "ps-lite";
  options.secret = Text("PHUB_SECRET", "");
  const std::string root = Text("DMLC_PS_ROOT_URI", "");
  const std::string local = IsLoopback(root) ? "127.0.0.1" : "0.0.0.0";
  const std::string host = Text("DMLC_NODE_HOST", Text("DMLC_INTERFACE", local));
  const std::string port = Text(is_scheduler ? "DMLC_PS_ROOT_PORT" : "PORT", "0");
  options.listen = "tcp://" + (is_scheduler ? local : Bracketed(host)) + ":" + port;
  const int silence = GetEnv("PS_HEARTBEAT_TIMEOUT", 0);
  if (silence > 0) options.peer_timeout = std::chrono::seconds(silence);
  return options;
}

std::string Who() {
  char host[256] = "?";
  ::gethostname(host, sizeof(host) - 1);
  return "process " + std::to_string(::getpid()) + " on " + host;
}

const char* RoleName(Node::Role role) {
  return role == Node::SERVER ? "server" : role == Node::WORKER ? "worker" : "scheduler";
}

}  // namespace

void Van::Impl::Open() {
  is_scheduler_ = office_->is_scheduler() != 0;
  me_ = Node();
  me_.role = office_->role();
  phub::Result<phub::Messenger> messenger = phub::Messenger::open(OptionsFor(is_scheduler_));
  if (!messenger.ok()) LOG(FATAL) << "start: " << messenger.status().message();
  messenger_ = std::make_shared<phub::Messenger>(std::move(messenger).value());
  is_stopping_ = has_book_ = false;
  refusal_.clear();
  members_.clear();
  peers_.clear();
  ids_.clear();
  gone_.clear();
  dead_.clear();
  first_death_.clear();
  barriers_.clear();
  released_.clear();
  messenger_->set_peer_handler(
      [this](PeerId peer, const phub::Status& status) { OnPeer(peer, status); });
  messenger_->set_handler([this](phub::Message message) { OnMessage(std::move(message)); });
}

void Van::Impl::Start(int customer_id, int preferred_rank) {
  Lock lock(mutex_);
  if (messenger_ == nullptr) {
    Open();
    if (!is_scheduler_) {
      const std::shared_ptr<phub::Messenger> messenger = messenger_;
      lock.unlock();
      const auto scheduler = messenger->connect(RootAddress(), StartLimit());
      if (!scheduler.ok()) LOG(FATAL) << "start: the scheduler: " << scheduler.status().message();
      lock.lock();
      peers_[kScheduler] = *scheduler;
      news_.notify_all();
    }
  }
  JoinJob(lock, customer_id, preferred_rank);
  ConnectToServers(lock);
  ::setenv("DMLC_RANK", std::to_string(Postoffice::IDtoRank(me_.id)).c_str(), 1);
}

void Van::Impl::JoinJob(Lock& lock, int customer_id, int preferred_rank) {
  const std::chrono::seconds limit = StartLimit();
  if (is_scheduler_) {
    me_.id = kScheduler;
    MakeBook();  // There may be nobody to wait for.
    if (news_.wait_for(lock, limit, [this] { return has_book_; })) return;
    const std::string why = "not all nodes have joined within " + std::to_string(limit.count()) +
                            " s (PS_START_TIMEOUT): " + Missing();
    SayToAll({"refused", why});
    // Whoever has heard it goes. Whoever sees us go first would know only that.
    news_.wait_for(lock, kRefusalLimit, [this] { return members_.empty(); });
    lock.unlock();
    LOG(FATAL) << "start: " << why;
  }
  news_.wait_for(lock, limit, [this] { return peers_.count(kScheduler) != 0; });
  if (peers_.count(kScheduler) == 0) LOG(FATAL) << "start: the scheduler was not reached";
  Say(peers_[kScheduler], {"join", RoleName(me_.role), std::to_string(customer_id),
                           std::to_string(preferred_rank), messenger_->address(), Who()});
  // The scheduler's own limit comes first, for it knows who is missing.
  news_.wait_for(lock, limit + std::chrono::seconds(5), [&] {
    return ids_.count(customer_id) != 0 || !refusal_.empty() || gone_.count(kScheduler) != 0;
  });
  std::string why = refusal_;
  if (gone_.count(kScheduler) != 0) why = gone_[kScheduler];
  if (ids_.count(customer_id) == 0) {
    if (why.empty()) why = "the scheduler has not answered in time (PS_START_TIMEOUT)";
    lock.unlock();
    LOG(FATAL) << "start: " << why;
  }
}

// "1 of 2 workers (process 77 on a), 0 of 1 servers"
std::string Van::Impl::Missing() const {
  std::string text;
  for (const Node::Role role : {Node::WORKER, Node::SERVER}) {
    const int needed = role == Node::WORKER ? office_->num_workers() : office_->num_servers();
    int count = 0;
    std::string who;
    for (const Member& member : members_) {
      if (member.role != role) continue;
      ++count;
      who += (who.empty() ? "" : ", ") + member.who;
    }
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " of " + std::to_string(needed) +
            " " + RoleName(role) + "s" + (who.empty() ? "" : " (" + who + ")");
  }
  return text + " are there";
}

void Van::Impl::OnJoin(PeerId peer, const Line& line) {
  if (!is_scheduler_) return;
  Member member;
  member.role = line[1] == "server" ? Node::SERVER : Node::WORKER;
  member.customer = internal::ToInt(line[2]);
  member.wish = internal::ToInt(line[3]);
  member.address = line[4];
  member.who = line[5];
  member.peer = peer;
  const int needed = member.role == Node::WORKER ? office_->num_workers() : office_->num_servers();
  const auto count = std::count_if(members_.begin(), members_.end(),
                                   [&](const Member& one) { return one.role == member.role; });
  if (has_book_ || count >= needed) {
    return Say(peer, {"refused", "the job has all its " + std::to_string(needed) + " " +
                                     RoleName(member.role) +
                                     "s; DMLC_NUM_WORKER and DMLC_NUM_SERVER say how many"});
  }
  members_.push_back(member);
  MakeBook();
}

// When all are there: numbers for everybody, wishes first, and the list to everybody.
void Van::Impl::MakeBook() {
  const auto needed = static_cast<size_t>(office_->num_workers() + office_->num_servers());
  if (has_book_ || members_.size() < needed) return;
  for (const Node::Role role : {Node::SERVER, Node::WORKER}) {
    const bool is_server = role == Node::SERVER;
    std::vector<bool> is_taken(
        static_cast<size_t>(is_server ? office_->num_servers() : office_->num_workers()));
    for (const bool takes_wishes : {true, false}) {
      for (Member& member : members_) {
        if (member.role != role || member.id != Node::kEmpty) continue;
        auto rank = static_cast<size_t>(member.wish);
        if (takes_wishes && (member.wish < 0 || rank >= is_taken.size() || is_taken[rank]))
          continue;
        if (!takes_wishes) {
          rank = static_cast<size_t>(std::find(is_taken.begin(), is_taken.end(), false) -
                                     is_taken.begin());
        }
        is_taken[rank] = true;
        member.id = is_server ? Postoffice::ServerRankToID(static_cast<int>(rank))
                              : Postoffice::WorkerRankToID(static_cast<int>(rank));
      }
    }
  }
  Line list;
  for (const Member& member : members_) {
    peers_[member.id] = member.peer;
    list.insert(list.end(), {std::to_string(member.id), RoleName(member.role),
                             std::to_string(member.customer), member.address, member.who});
  }
  for (const Member& member : members_) {
    Line book = {"book", std::to_string(member.customer), std::to_string(member.id)};
    book.insert(book.end(), list.begin(), list.end());
    Say(member.peer, book);
  }
  has_book_ = true;
  news_.notify_all();
}

void Van::Impl::OnBook(const Line& line) {
  const int customer = internal::ToInt(line[1]);
  ids_[customer] = internal::ToInt(line[2]);
  if (me_.id == Node::kEmpty) {
    me_.id = ids_[customer];
    me_.customer_id = customer;
  }
  members_.clear();
  for (size_t at = 3; at + 5 <= line.size(); at += 5) {
    Member member;
    member.id = internal::ToInt(line[at]);
    member.role = line[at + 1] == "server" ? Node::SERVER : Node::WORKER;
    member.customer = internal::ToInt(line[at + 2]);
    member.address = line[at + 3];
    member.who = line[at + 4];
    members_.push_back(member);
  }
  has_book_ = true;
  news_.notify_all();
}

void Van::Impl::OnHello(PeerId peer, const Line& line) {
  for (size_t i = 1; i < line.size(); ++i) peers_[internal::ToInt(line[i])] = peer;
  news_.notify_all();
}

// Who speaks here: all nodes of this process.
void Van::Impl::SayHello(PeerId peer) {
  Line line = {"hello"};
  for (const Member& member : members_) {
    if (member.address == messenger_->address()) line.push_back(std::to_string(member.id));
  }
  Say(peer, line);
}

void Van::Impl::ConnectToServers(Lock& lock) {
  if (me_.role != Node::WORKER) return;
  for (int i = 0; i < office_->num_servers(); ++i) PeerFor(lock, Postoffice::ServerRankToID(i));
}

// The way to a node, made where there is none. The lock is let go meanwhile.
PeerId Van::Impl::PeerFor(Lock& lock, int node) {
  if (peers_.count(node) != 0) return peers_[node];
  std::string address;
  for (const Member& member : members_) {
    if (member.id == node) address = member.address;
  }
  const std::shared_ptr<phub::Messenger> messenger = messenger_;
  lock.unlock();
  if (address.empty()) LOG(FATAL) << "there is no node " << node;
  Lock starting(start_mutex_);
  lock.lock();
  if (peers_.count(node) != 0) return peers_[node];
  lock.unlock();
  const auto peer = messenger->connect(address, StartLimit());
  lock.lock();
  if (!peer.ok()) {
    OnGone(node, true, Name(node) + ": " + peer.status().message());
    return phub::kAnyPeer;
  }
  peers_[node] = *peer;
  SayHello(*peer);
  return *peer;
}

void Van::Impl::Stop() {
  std::shared_ptr<phub::Messenger> messenger;
  {
    Lock lock(mutex_);
    // Other customers of this process may not have heard yet that the last barrier is over.
    news_.wait_for(lock, std::chrono::seconds(10), [this] { return barrier_count_ == 0; });
    is_stopping_ = true;
    has_book_ = false;
    messenger.swap(messenger_);
  }
  messenger.reset();
}

}  // namespace ps
