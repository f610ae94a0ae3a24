#include <ps/simple_app.h>

namespace ps {

SimpleApp::SimpleApp()
    : request_handle_(std::make_shared<Handle>(
          [](const SimpleData& request, SimpleApp* app) { app->Response(request); })),
      response_handle_(std::make_shared<Handle>([](const SimpleData&, SimpleApp*) {})) {}

SimpleApp::SimpleApp(int app_id, int customer_id) : SimpleApp() {
  obj_ = new Customer(app_id, customer_id, [this](const Message& message) { Process(message); });
}

SimpleApp::~SimpleApp() { delete obj_; }

int SimpleApp::Request(int req_head, const std::string& req_body, int recv_id) {
  Message message;
  message.meta.head = req_head;
  message.meta.body = req_body;
  message.meta.timestamp = obj_->NewRequest(recv_id);
  message.meta.request = true;
  message.meta.simple_app = true;
  message.meta.app_id = obj_->app_id();
  message.meta.customer_id = obj_->customer_id();
  for (const int node : Postoffice::Get()->GetNodeIDs(recv_id)) {
    message.meta.recver = node;
    Postoffice::Get()->van()->Send(message);
  }
  return message.meta.timestamp;
}

void SimpleApp::Response(const SimpleData& req, const std::string& res_body) {
  Message message;
  message.meta.head = req.head;
  message.meta.body = res_body;
  message.meta.timestamp = req.timestamp;
  message.meta.simple_app = true;
  message.meta.app_id = obj_->app_id();
  message.meta.customer_id = req.customer_id;
  message.meta.recver = req.sender;
  Postoffice::Get()->van()->Send(message);
}

void SimpleApp::set_request_handle(const Handle& request_handle) {
  CHECK(request_handle) << "an empty request handle";
  const std::lock_guard<std::mutex> lock(handle_mutex_);
  request_handle_ = std::make_shared<Handle>(request_handle);
}

void SimpleApp::set_response_handle(const Handle& response_handle) {
  CHECK(response_handle) << "an empty response handle";
  const std::lock_guard<std::mutex> lock(handle_mutex_);
  response_handle_ = std::make_shared<Handle>(response_handle);
}

void SimpleApp::Process(const Message& message) {
  SimpleData data;
  data.head = message.meta.head;
  data.body = message.meta.body;
  data.sender = message.meta.sender;
  data.timestamp = message.meta.timestamp;
  data.customer_id = message.meta.customer_id;
  std::shared_ptr<Handle> handle;  // Never a copy: handles have state.
  {
    const std::lock_guard<std::mutex> lock(handle_mutex_);
    handle = message.meta.request ? request_handle_ : response_handle_;
  }
  (*handle)(data, this);
}

}  // namespace ps
