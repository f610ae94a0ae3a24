// SimpleApp: requests that are a number and a string, with answers.
#pragma once

#include <functional>
#include <string>

#include <ps/internal/message.h>
#include <ps/internal/postoffice.h>

namespace ps {

struct SimpleData {
  int head = 0;
  std::string body;
  int sender = 0;
  int timestamp = 0;
  int customer_id = 0;
};

// Thread-safety: any thread; handles run on the customer's thread, one at a time.
class SimpleApp {
 public:
  using Handle = std::function<void(const SimpleData& recved, SimpleApp* app)>;

  explicit SimpleApp(int app_id, int customer_id = 0);
  virtual ~SimpleApp();

  // To a node or a group; returns what Wait wants.
  virtual int Request(int req_head, const std::string& req_body, int recv_id);
  virtual void Wait(int timestamp) { obj_->WaitRequest(timestamp); }
  virtual void Response(const SimpleData& req, const std::string& res_body = "");
  // Without one, requests are answered with nothing.
  virtual void set_request_handle(const Handle& request_handle);
  virtual void set_response_handle(const Handle& response_handle);
  virtual Customer* get_customer() { return obj_; }

 protected:
  SimpleApp();
  virtual void Process(const Message& message);

  Customer* obj_ = nullptr;

 private:
  std::mutex handle_mutex_;
  std::shared_ptr<Handle> request_handle_;
  std::shared_ptr<Handle> response_handle_;
};

}  // namespace ps
