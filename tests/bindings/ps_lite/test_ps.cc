// A ps-lite program for ps_lite_test; every role runs it: test_ps MODE
//   train      pushes and pulls, of all kinds; workers print "ok RANK"
//   wait       worker 0 waits for an answer that the server never gives
//   barrier    all but worker 1 go to the last barrier; it prints "ready" and stays away
//   threads    two customers in one worker process
// What ends a wait is printed: "ended TEXT".
#include <ps/ps.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <iostream>

namespace {

using namespace ps;

constexpr int kMute = 9;

void say(const std::string& line) { std::cout << line << std::endl; }

// Adds lists of values by key; answers what it is asked, but not kMute.
struct ListHandle {
  void operator()(const KVMeta& meta, const KVPairs<float>& data, KVServer<float>* server) {
    if (meta.cmd == kMute) return;
    KVPairs<float> answer;
    if (meta.pull) answer.keys = data.keys;
    size_t at = 0;
    for (size_t i = 0; i < data.keys.size(); ++i) {
      std::vector<float>& list = store[data.keys[static_cast<int>(i)]];
      if (meta.push) {
        const auto length = static_cast<size_t>(data.lens[static_cast<int>(i)]);
        list.resize(std::max(list.size(), length));
        for (size_t j = 0; j < length; ++j) list[j] += data.vals[static_cast<int>(at++)];
      }
      if (!meta.pull) continue;
      for (const float value : list) answer.vals.push_back(value);
      answer.lens.push_back(static_cast<int>(list.size()));
    }
    server->Response(meta, answer);
  }
  std::map<Key, std::vector<float>> store;
};

class Server {
 public:
  explicit Server(bool is_late) : lists_(1), sums_(0) {
    // The first requests may come before there is a handle for them.
    lists_.SimpleApp::set_request_handle(
        [this, is_late](const SimpleData& request, SimpleApp* app) {
          if (is_late && request.head == 7 && !is_set_.exchange(true)) set_handles();
          app->Response(request, "seen " + request.body);
        });
    if (!is_late) set_handles();
  }

 private:
  void set_handles() {
    lists_.set_request_handle(ListHandle());
    sums_.set_request_handle(KVServerDefaultHandle<float>());
  }

  std::atomic<bool> is_set_{false};
  KVServer<float> lists_;
  KVServer<float> sums_;
};

void train(int customer) {
  KVWorker<float> sums(0, customer);
  KVWorker<float> lists(1, customer);
  // Keys of all servers, the last one among them.
  const std::vector<Key> keys = {0, 3, kMaxKey / 2, kMaxKey / 3 * 2, kMaxKey - 1, kMaxKey};
  const std::vector<float> vals = {1, 2, 3, 4, 5, 6};
  std::vector<int> lens = {1, 0, 2, 3, 1, 2};
  const std::vector<float> list = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  std::atomic<int> called{0};
  std::vector<int> waits;
  for (int i = 0; i < 20; ++i) {
    waits.push_back(sums.Push(keys, vals, {}, 0, [&called] { ++called; }));
  }
  const int listed = lists.ZPush(SArray<Key>(keys), SArray<float>(list), SArray<int>(lens));
  const int told = lists.Request(7, "word", kServerGroup);  // Now the handles are set.
  lists.Wait(told);
  for (const int one : waits) sums.Wait(one);
  lists.Wait(listed);
  CHECK_EQ(called.load(), 20);
  CHECK_EQ(sums.get_customer()->NumResponse(waits[0]), NumServers());
  Postoffice::Get()->Barrier(customer, kWorkerGroup);

  const float workers = static_cast<float>(NumWorkers());
  std::vector<float> got;
  sums.Wait(sums.Pull(keys, &got));
  for (size_t i = 0; i < keys.size(); ++i) CHECK_EQ(got[i], 20 * workers * vals[i]);
  std::vector<float> got_list;
  std::vector<int> got_lens;
  lists.Wait(lists.Pull(keys, &got_list, &got_lens));
  CHECK(got_lens == lens);
  for (size_t i = 0; i < list.size(); ++i) CHECK_EQ(got_list[i], workers * list[i]);
  Postoffice::Get()->Barrier(customer, kWorkerGroup);

  SArray<float> both(vals.size());
  sums.Wait(sums.ZPushPull(SArray<Key>(keys), SArray<float>(vals), &both));
  for (size_t i = 0; i < keys.size(); ++i) CHECK_GE(both[static_cast<int>(i)], vals[i]);
  // Nothing is sent, and the wait ends.
  int empty_called = 0;
  sums.Wait(sums.Push({}, {}, {}, 0, [&empty_called] { ++empty_called; }));
  CHECK_EQ(empty_called, 1);
  // Large ones go other ways than small ones.
  std::vector<Key> many(300'000);
  for (size_t i = 0; i < many.size(); ++i) many[i] = kMaxKey / 300'000 * i + 7;
  const std::vector<float> ones(many.size(), 1.0f);
  sums.Wait(sums.Push(many, ones));
  Postoffice::Get()->Barrier(customer, kWorkerGroup);
  std::vector<float> many_got;
  sums.Wait(sums.Pull(many, &many_got));
  for (const float value : many_got) CHECK_EQ(value, workers);
}

void run_worker(const std::string& mode, int customer) {
  if (mode == "wait") {
    KVWorker<float> lists(1, customer);
    if (MyRank() == 0) {
      const int mute = lists.Push({1, kMaxKey}, {1, 2}, {1, 1}, kMute);
      say("ready");
      lists.Wait(mute);
    }
  } else if (mode == "barrier") {
    if (MyRank() != 1) return;
    say("ready");
    while (true) ::pause();
  } else {
    train(customer);
    say("ok " + std::to_string(MyRank()));
  }
}

void run(const std::string& mode, int customer) {
  std::unique_ptr<Server> server;  // Made before Start on purpose.
  const char* const role = Environment::Get()->find("DMLC_ROLE");
  if (std::string(role) == "server") server.reset(new Server(mode != "wait"));
  Start(customer);
  if (IsWorker()) run_worker(mode, customer);
  if (!IsWorker()) say("ready");
  Finalize(customer, true);
  say("left");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string mode = argv[1];
  try {
    if (mode == "threads" && GetRole(Environment::Get()->find("DMLC_ROLE")) == Node::WORKER) {
      std::thread other([] { run("train", 1); });
      run("train", 0);
      other.join();
    } else {
      run(mode, 0);
    }
  } catch (const dmlc::Error& error) {
    say(std::string("ended ") + error.what());
    std::_Exit(3);
  }
  return 0;
}
