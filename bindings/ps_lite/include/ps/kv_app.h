// KVWorker and KVServer: sorted keys with values, pushed to and pulled from servers that each have
// a range of the keys.
//
// Values of key i are vals[i * k, (i + 1) * k) with k = vals.size() / keys.size(); with lens, key i
// has lens[i] of them. Keys are unique and ascend.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ps/base.h>
#include <ps/internal/loan.h>
#include <ps/simple_app.h>

namespace ps {

template <typename Val>
struct KVPairs {
  SArray<Key> keys;
  SArray<Val> vals;
  SArray<int> lens;
  int priority = 0;
};

// Of one request to a server.
struct KVMeta {
  int cmd = 0;
  bool push = false;
  bool pull = false;
  int sender = 0;
  int timestamp = 0;
  int customer_id = 0;
  Key key = 0;        // The first key, and
  uint64_t addr = 0;  // always 0 and
  int val_len = 0;    // the bytes of all values, and
  int option = 0;     // always 0: what one of the dialects has besides.
};

// Thread-safety: any thread. Callbacks run on the customer's thread, before Wait returns.
template <typename Val>
class KVWorker : public SimpleApp {
 public:
  using SimpleApp::obj_;
  using Callback = std::function<void()>;
  // For each server: whether it gets something, and what.
  using SlicedKVs = std::vector<std::pair<bool, KVPairs<Val>>>;
  using Slicer = std::function<void(const KVPairs<Val>& send, const std::vector<Range>& ranges,
                                    SlicedKVs* sliced)>;

  KVWorker(int app_id, int customer_id, int /*instance*/ = 0) {
    slicer_ = [](const KVPairs<Val>& send, const std::vector<Range>& ranges, SlicedKVs* sliced) {
      Slice(send, ranges, sliced);
    };
    obj_ = new Customer(app_id, customer_id, [this](const Message& message) { Process(message); });
  }
  ~KVWorker() override {
    delete obj_;
    obj_ = nullptr;
  }

  // What these are given is the caller's again when they return: small arrays are copied, large
  // ones have left by then. Each returns what Wait wants. Buffers for values and lens are sized
  // where they are empty, and must else fit.
  int Push(const std::vector<Key>& keys, const std::vector<Val>& vals,
           const std::vector<int>& lens = {}, int cmd = 0, const Callback& callback = nullptr,
           int priority = 0) {
    internal::Loan loan;
    return ZPush(loan.Lend(keys), loan.Lend(vals), loan.Lend(lens), cmd, callback, priority);
  }
  int Pull(const std::vector<Key>& keys, std::vector<Val>* vals, std::vector<int>* lens = nullptr,
           int cmd = 0, const Callback& callback = nullptr, int priority = 0) {
    internal::Loan loan;
    return StartPull(loan.Lend(keys), vals, lens, cmd, callback, priority);
  }
  int PushPull(const std::vector<Key>& keys, const std::vector<Val>& vals, std::vector<Val>* outs,
               std::vector<int>* lens = nullptr, int cmd = 0, const Callback& callback = nullptr,
               int priority = 0) {
    CHECK_NOTNULL(outs);
    if (!outs->empty()) CHECK_EQ(vals.size(), outs->size());
    SArray<int> sent_lens;
    if (lens != nullptr) sent_lens.CopyFrom(lens->data(), lens->size());
    internal::Loan loan;
    return StartPushPull(loan.Lend(keys), loan.Lend(vals), sent_lens, outs, lens, cmd, callback,
                         priority);
  }

  // These send from, and fill, the caller's memory: not to be touched before Wait.
  int ZPush(const SArray<Key>& keys, const SArray<Val>& vals, const SArray<int>& lens = {},
            int cmd = 0, const Callback& callback = nullptr, int priority = 0) {
    const int timestamp = obj_->NewRequest(kServerGroup);
    if (callback) {
      const std::lock_guard<std::mutex> lock(mutex_);
      callbacks_[timestamp] = callback;
    }
    Send(timestamp, true, false, cmd, {keys, vals, lens, priority});
    return timestamp;
  }
  int ZPull(const SArray<Key>& keys, SArray<Val>* vals, SArray<int>* lens = nullptr, int cmd = 0,
            const Callback& callback = nullptr, int priority = 0) {
    return StartPull(keys, vals, lens, cmd, callback, priority);
  }
  int ZPushPull(const SArray<Key>& keys, const SArray<Val>& vals, SArray<Val>* outs,
                SArray<int>* lens = nullptr, int cmd = 0, const Callback& callback = nullptr,
                int priority = 0) {
    const SArray<int> sent_lens = lens == nullptr ? SArray<int>() : *lens;
    return StartPushPull(keys, vals, sent_lens, outs, lens, cmd, callback, priority);
  }

  void Wait(int timestamp) override { obj_->WaitRequest(timestamp); }
  void set_slicer(const Slicer& slicer) {
    CHECK(slicer);
    slicer_ = slicer;
  }

 private:
  // What a server has answered to a pull.
  struct Part {
    Key first_key = 0;
    size_t key_count = 0;
    SArray<Val> vals;
    SArray<int> lens;
  };
  using Parts = std::map<int, Part>;  // By server.

  template <typename Vals, typename Lens>
  int StartPull(const SArray<Key>& keys, Vals* vals, Lens* lens, int cmd, const Callback& callback,
                int priority) {
    CHECK_NOTNULL(vals);
    const int timestamp = obj_->NewRequest(kServerGroup);
    AddPull(timestamp, keys.size(), vals, lens, callback);
    Send(timestamp, false, true, cmd, {keys, {}, {}, priority});
    return timestamp;
  }
  template <typename Vals, typename Lens>
  int StartPushPull(const SArray<Key>& keys, const SArray<Val>& vals, const SArray<int>& sent_lens,
                    Vals* outs, Lens* lens, int cmd, const Callback& callback, int priority) {
    CHECK_NOTNULL(outs);
    const int timestamp = obj_->NewRequest(kServerGroup);
    AddPull(timestamp, keys.size(), outs, lens, callback);
    Send(timestamp, true, true, cmd, {keys, vals, sent_lens, priority});
    return timestamp;
  }

  // When all answers are there, they are put together in the order of the keys.
  template <typename Vals, typename Lens>
  void AddPull(int timestamp, size_t key_count, Vals* vals, Lens* lens, const Callback& callback) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pulled_[timestamp];
    callbacks_[timestamp] = [this, timestamp, key_count, vals, lens, callback] {
      Parts parts;
      {
        const std::lock_guard<std::mutex> locked(mutex_);
        parts.swap(pulled_[timestamp]);
        pulled_.erase(timestamp);
      }
      Join(parts, key_count, vals, lens);
      if (callback) callback();
    };
  }
  template <typename Vals, typename Lens>
  static void Join(const Parts& parts, size_t key_count, Vals* vals, Lens* lens) {
    std::vector<const Part*> sorted;
    size_t keys = 0;
    size_t values = 0;
    for (const auto& part : parts) {
      if (part.second.key_count == 0) continue;
      sorted.push_back(&part.second);
      keys += part.second.key_count;
      values += part.second.vals.size();
      if (lens != nullptr) CHECK_EQ(part.second.lens.size(), part.second.key_count);
    }
    std::sort(sorted.begin(), sorted.end(),
              [](const Part* a, const Part* b) { return a->first_key < b->first_key; });
    CHECK_EQ(keys, key_count) << "servers answered with other keys than were asked for";
    if (sorted.size() == 1 && vals->empty()) {
      Take(vals, sorted[0]->vals);
      if (lens != nullptr && lens->empty()) return Take(lens, sorted[0]->lens);
    }
    Fit(vals, values);
    if (lens != nullptr) Fit(lens, key_count);
    Val* to = vals->data();
    int* to_lens = lens == nullptr ? nullptr : lens->data();
    for (const Part* part : sorted) {
      to = std::copy(part->vals.begin(), part->vals.end(), to);
      if (lens != nullptr) to_lens = std::copy(part->lens.begin(), part->lens.end(), to_lens);
    }
  }
  // An empty buffer gets all that one server has: copied once, or shared.
  template <typename T>
  static void Take(std::vector<T>* buffer, const SArray<T>& values) {
    buffer->assign(values.begin(), values.end());
  }
  template <typename T>
  static void Take(SArray<T>* buffer, const SArray<T>& values) {
    *buffer = values;
  }
  template <typename Buffer>
  static void Fit(Buffer* buffer, size_t size) {
    if (buffer->empty()) buffer->resize(size);
    CHECK_EQ(buffer->size(), size) << "a buffer for other numbers of values than came";
  }

  static void Slice(const KVPairs<Val>& send, const std::vector<Range>& ranges, SlicedKVs* sliced) {
    sliced->assign(ranges.size(), {false, {}});
    const size_t key_count = send.keys.size();
    if (key_count == 0) return;
    const size_t width = send.vals.size() / key_count;
    if (send.lens.empty()) {
      CHECK_EQ(width * key_count, send.vals.size()) << "values do not divide among the keys";
    } else {
      CHECK_EQ(send.lens.size(), key_count);
    }
    const Key* const keys = send.keys.data();
    size_t first = 0;
    size_t first_value = 0;
    for (size_t i = 0; i < ranges.size(); ++i) {
      // The last server has all that is left: the largest key is somebody's, too.
      const bool is_last = i + 1 == ranges.size();
      const auto end = static_cast<Key>(ranges[i].end());
      const size_t last =
          is_last
              ? key_count
              : static_cast<size_t>(std::lower_bound(keys + first, keys + key_count, end) - keys);
      if (last == first) continue;
      KVPairs<Val>& part = (*sliced)[i].second;
      (*sliced)[i].first = true;
      part.keys = send.keys.segment(first, last);
      size_t values = width * (last - first);
      if (!send.lens.empty()) {
        part.lens = send.lens.segment(first, last);
        values = std::accumulate(part.lens.begin(), part.lens.end(), size_t{0});
      }
      if (!send.vals.empty()) part.vals = send.vals.segment(first_value, first_value + values);
      first_value += values;
      first = last;
    }
  }

  void Send(int timestamp, bool push, bool pull, int cmd, const KVPairs<Val>& pairs) {
    SlicedKVs sliced;
    slicer_(pairs, Postoffice::Get()->GetServerKeyRanges(), &sliced);
    if (pull) {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (size_t i = 0; i < sliced.size(); ++i) {
        const int server = Postoffice::ServerRankToID(static_cast<int>(i));
        if (!sliced[i].first) continue;
        const SArray<Key>& asked = sliced[i].second.keys;
        asked_[{timestamp, server}] = {asked.front(), asked.size()};
      }
    }
    bool is_asked = false;
    for (const auto& part : sliced) is_asked |= part.first;
    if (!is_asked) RunCallback(timestamp);
    for (size_t i = 0; i < sliced.size(); ++i) {
      const int server = Postoffice::ServerRankToID(static_cast<int>(i));
      if (!sliced[i].first) obj_->Answered(timestamp, server);
    }
    for (size_t i = 0; i < sliced.size(); ++i) {
      if (!sliced[i].first) continue;
      const KVPairs<Val>& part = sliced[i].second;
      Message message;
      message.meta.app_id = obj_->app_id();
      message.meta.customer_id = obj_->customer_id();
      message.meta.request = true;
      message.meta.push = push;
      message.meta.pull = pull;
      message.meta.head = cmd;
      message.meta.timestamp = timestamp;
      message.meta.recver = Postoffice::ServerRankToID(static_cast<int>(i));
      message.meta.priority = pairs.priority;
      message.AddData(part.keys);
      message.AddData(part.vals);
      if (!part.lens.empty()) message.AddData(part.lens);
      Postoffice::Get()->van()->Send(message);
    }
  }

  void Process(const Message& message) override {
    if (message.meta.simple_app) return SimpleApp::Process(message);
    const int timestamp = message.meta.timestamp;
    if (message.meta.pull) {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto asked = asked_.find({timestamp, message.meta.sender});
      Part part;
      size_t next = 0;
      if (message.meta.same_keys && asked != asked_.end()) {
        part.first_key = asked->second.first;
        part.key_count = asked->second.second;
      } else if (!message.data.empty()) {
        const SArray<Key> keys(message.data[next++]);
        part.key_count = keys.size();
        if (!keys.empty()) part.first_key = keys.front();
      }
      if (message.data.size() > next) part.vals = SArray<Val>(message.data[next++]);
      if (message.data.size() > next) part.lens = SArray<int>(message.data[next]);
      if (asked != asked_.end()) asked_.erase(asked);
      const auto parts = pulled_.find(timestamp);
      if (parts != pulled_.end()) parts->second[message.meta.sender] = part;
    }
    if (obj_->IsLast(timestamp, message.meta.sender)) RunCallback(timestamp);
  }

  void RunCallback(int timestamp) {
    Callback callback;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = callbacks_.find(timestamp);
      if (found == callbacks_.end()) return;
      callback = std::move(found->second);
      callbacks_.erase(found);
    }
    callback();
  }

  std::mutex mutex_;
  std::unordered_map<int, Callback> callbacks_;
  std::unordered_map<int, Parts> pulled_;
  // Of pulls, by timestamp and server: the first key and how many.
  std::map<std::pair<int, int>, std::pair<Key, size_t>> asked_;
  Slicer slicer_;
};

// Thread-safety: any thread; the handle runs on the customer's thread, one request at a time.
// Requests that come before there is a handle wait for it.
template <typename Val>
class KVServer : public SimpleApp {
 public:
  using ReqHandle =
      std::function<void(const KVMeta& req_meta, const KVPairs<Val>& req_data, KVServer* server)>;

  explicit KVServer(int app_id, bool /*is_scheduler*/ = false, int /*instance*/ = 0) {
    obj_ = new Customer(app_id, app_id, [this](const Message& message) { Process(message); });
  }
  ~KVServer() override {
    delete obj_;
    obj_ = nullptr;
  }

  void set_request_handle(const ReqHandle& handle) {
    CHECK(handle) << "an empty request handle";
    std::vector<Message> early;
    const std::lock_guard<std::mutex> lock(mutex_);
    handle_ = std::make_shared<ReqHandle>(handle);
    early.swap(early_);
    obj_->AcceptFirst(std::move(early));
  }

  // From any thread, once for each request. The arrays of `res` are borrowed until they are sent,
  // those of the request stay valid as long as somebody has them.
  void Response(const KVMeta& req, const KVPairs<Val>& res = KVPairs<Val>()) {
    Message message;
    message.meta.app_id = obj_->app_id();
    message.meta.customer_id = req.customer_id;
    message.meta.push = req.push;
    message.meta.pull = req.pull;
    message.meta.head = req.cmd;
    message.meta.timestamp = req.timestamp;
    message.meta.recver = req.sender;
    message.meta.same_keys = TakeKeys(req, res.keys);
    if (!res.keys.empty()) {
      if (!message.meta.same_keys) message.AddData(res.keys);
      message.AddData(res.vals);
      if (!res.lens.empty()) message.AddData(res.lens);
    }
    Postoffice::Get()->van()->Send(message);
  }

  // Values that are pushed with this key first are put into this buffer (of this worker).
  void RegisterRecvBuffer(const SArray<Key>& keys, const SArray<Val>& vals,
                          const SArray<int>& /*lens*/ = {}, int = 0) {
    RegisterRecvBufferWithRank(-1, keys, vals);
  }
  void RegisterRecvBufferWithRank(int worker_rank, const SArray<Key>& keys, const SArray<Val>& vals,
                                  const SArray<int>& /*lens*/ = {}, int = 0) {
    CHECK(!keys.empty());
    const int node = worker_rank < 0 ? -1 : Postoffice::WorkerRankToID(worker_rank);
    const std::lock_guard<std::mutex> lock(mutex_);
    buffers_[{node, keys.front()}] = vals;
  }

 private:
  using RequestId = std::tuple<int, int, int>;  // Sender, customer, timestamp.

  static RequestId IdOf(int sender, int customer, int timestamp) {
    return RequestId(sender, customer, timestamp);
  }

  // True: the response's keys are the request's; they are not sent back.
  bool TakeKeys(const KVMeta& req, const SArray<Key>& keys) {
    if (!req.pull) return false;
    SArray<Key> asked;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = asked_.find(IdOf(req.sender, req.customer_id, req.timestamp));
      if (found == asked_.end()) return false;
      asked = found->second;
      asked_.erase(found);
    }
    if (keys.empty() || keys.size() != asked.size()) return false;
    return keys.data() == asked.data() || std::equal(keys.begin(), keys.end(), asked.begin());
  }

  void UseBuffer(const Message& message, KVPairs<Val>* data) {
    if (buffers_.empty() || data->keys.empty()) return;
    for (const int node : {message.meta.sender, -1}) {
      const auto found = buffers_.find({node, data->keys.front()});
      if (found == buffers_.end() || found->second.size() < data->vals.size()) continue;
      std::copy(data->vals.begin(), data->vals.end(), found->second.data());
      data->vals = found->second.segment(0, data->vals.size());
      return;
    }
  }

  void Process(const Message& message) override {
    if (message.meta.simple_app) return SimpleApp::Process(message);
    KVPairs<Val> data;
    std::shared_ptr<ReqHandle> handle;  // Never a copy: handles have state.
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (handle_ == nullptr) {
        early_.push_back(message);
        return;
      }
      handle = handle_;
      if (message.data.size() > 0) data.keys = SArray<Key>(message.data[0]);
      if (message.data.size() > 1) data.vals = SArray<Val>(message.data[1]);
      if (message.data.size() > 2) data.lens = SArray<int>(message.data[2]);
      if (message.meta.push) UseBuffer(message, &data);
      if (message.meta.pull) {
        asked_[IdOf(message.meta.sender, message.meta.customer_id, message.meta.timestamp)] =
            data.keys;
      }
    }
    KVMeta meta;
    meta.cmd = message.meta.head;
    meta.push = message.meta.push;
    meta.pull = message.meta.pull;
    meta.sender = message.meta.sender;
    meta.timestamp = message.meta.timestamp;
    meta.customer_id = message.meta.customer_id;
    meta.key = data.keys.empty() ? 0 : data.keys.front();
    meta.val_len = static_cast<int>(data.vals.size() * sizeof(Val));
    (*handle)(meta, data, this);
  }

  std::mutex mutex_;
  std::shared_ptr<ReqHandle> handle_;
  std::vector<Message> early_;
  std::map<RequestId, SArray<Key>> asked_;  // Keys of pulls that are not answered.
  std::map<std::pair<int, Key>, SArray<Val>> buffers_;
};

// Adds what is pushed to what it has, and answers at once.
template <typename Val>
struct KVServerDefaultHandle {
  void operator()(const KVMeta& req_meta, const KVPairs<Val>& req_data, KVServer<Val>* server) {
    const size_t count = req_data.keys.size();
    KVPairs<Val> res;
    if (req_meta.push) {
      CHECK_EQ(count, req_data.vals.size()) << "the default handle has one value for each key";
    }
    if (req_meta.pull) {
      res.keys = req_data.keys;
      res.vals.resize(count);
    }
    for (size_t i = 0; i < count; ++i) {
      Val& value = store[req_data.keys.data()[i]];
      if (req_meta.push) value += req_data.vals.data()[i];
      if (req_meta.pull) res.vals.data()[i] = value;
    }
    server->Response(req_meta, res);
  }
  std::unordered_map<Key, Val> store;
};

}  // namespace ps
