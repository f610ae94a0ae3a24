// What a Van knows: its messenger, the members of the job, who is gone, and barriers.
//
// The scheduler is asked by everybody: it hands out numbers and addresses when all have come
// (join, book), counts barriers (barrier, barrier_done), and tells who is gone (gone). Workers then
// connect to servers, and others to each other when they have something to say (hello).
#pragma once

#include <phub/message.h>
#include <ps/internal/postoffice.h>
#include <ps/internal/van.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ps {

class Van::Impl {
 public:
  explicit Impl(Postoffice* office) : office_(office) {}

  void Start(int customer_id, int preferred_rank);
  void Stop();
  void Barrier(int customer_id, int group);
  int Send(const Message& message);
  bool IsReady() const;
  std::vector<int> DeadNodes() const;
  const Node& me() const { return me_; }

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Line = std::vector<std::string>;

  // One who has joined: a customer of a process.
  struct Member {
    int id = Node::kEmpty;
    Node::Role role = Node::WORKER;
    int customer = 0;
    int wish = -1;  // The rank it would like to have.
    std::string address;
    std::string who;
    phub::PeerId peer{0};
  };
  struct Waiting {  // In a barrier; peer kAnyPeer: this process.
    int node = 0;
    int customer = 0;
    phub::PeerId peer{0};
  };

  void Open();
  void JoinJob(Lock& lock, int customer_id, int preferred_rank);
  void ConnectToServers(Lock& lock);
  std::string Missing() const;
  std::string Name(int node) const;

  void OnMessage(phub::Message message);
  void OnControl(phub::PeerId peer, const Line& line);
  void OnPeer(phub::PeerId peer, const phub::Status& status);
  void OnJoin(phub::PeerId peer, const Line& line);
  void OnBook(const Line& line);
  void OnHello(phub::PeerId peer, const Line& line);
  void OnBarrier(int node, int customer, int group, phub::PeerId peer);
  void OnBarrierDone(int customer, int group, const std::string& why);
  void OnGone(int node, bool has_died, const std::string& reason);

  void MakeBook();
  void CheckBarrier(int group);
  void Say(phub::PeerId peer, const Line& line);
  void SayToAll(const Line& line);
  phub::PeerId PeerFor(Lock& lock, int node);
  void SayHello(phub::PeerId peer);

  Postoffice* const office_;
  mutable std::mutex mutex_;
  std::mutex start_mutex_;
  std::condition_variable news_;
  std::shared_ptr<phub::Messenger> messenger_;
  Node me_;
  bool is_scheduler_ = false;
  bool is_stopping_ = false;
  bool has_book_ = false;
  int barrier_count_ = 0;        // Threads in Barrier().
  std::map<int, int> ids_;       // By customer: what the scheduler has called it.
  std::string refusal_;          // Why the scheduler does not want this process.
  std::vector<Member> members_;  // The scheduler: as they come. Others: from the book.
  std::map<int, phub::PeerId> peers_;
  std::map<int, std::string> gone_;  // Why.
  std::string first_death_;
  std::map<int, std::string> dead_;               // Those of them that did not leave.
  std::map<int, std::vector<Waiting>> barriers_;  // The scheduler's, by group.
  std::map<std::pair<int, int>, std::vector<std::string>> released_;  // By customer and group.
};

}  // namespace ps
