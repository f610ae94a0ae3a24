// Real hubs in the test's process and workers on threads of their own. One hub over shared memory;
// or as many as PHUB_TEST_HUBS lists, each "shm" or an address to listen on;
// for tls:// with certificates on both sides; links of PHUB_TEST_TCP_STREAMS connections; hubs on
// the RDMA device PHUB_TEST_HUB_DEVICES, workers on PHUB_RDMA_DEVICES.
#pragma once

#include <gtest/gtest.h>
#include <phub/worker.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "phub/hub.h"
#include "tests/transport/certificates.h"

namespace phub::process {

inline std::string fresh_socket() {
  static int count = 0;
  return "/tmp/phub-test-" + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".sock";
}

class HubFixture : public testing::Test {
 protected:
  void start_hub(std::function<void(config::HubConfig&)> adjust = [](config::HubConfig&) {}) {
    const char* const list = std::getenv("PHUB_TEST_HUBS");
    std::istringstream hubs(list != nullptr ? list : "shm");
    address_.clear();
    hubs_.clear();
    for (std::string listen; std::getline(hubs, listen, ',');) {
      start_one(listen == "shm" ? "shm://" + fresh_socket() : listen, adjust);
    }
  }

  void start_one(const std::string& listen, const std::function<void(config::HubConfig&)>& adjust) {
    config::HubConfig config;
    config.listen = listen;
    config.http.reset();
    config.shards = 2;
    if (const char* const streams = std::getenv("PHUB_TEST_TCP_STREAMS"); streams != nullptr) {
      config.tcp_streams = static_cast<uint32_t>(std::atoi(streams));
    }
    if (const char* const devices = std::getenv("PHUB_TEST_HUB_DEVICES"); devices != nullptr) {
      config.devices.rdma.devices = {devices};
    }
    config.memory_limit_bytes = uint64_t{4} << 30;
    config.job_memory_limit_bytes = uint64_t{4} << 30;
    if (config.listen.starts_with("tls://")) {
      certificates_ = std::make_unique<testing_support::Certificates>();
      certificates_->make({.file = "hub", .names = "IP:127.0.0.1"});
      certificates_->make({.file = "worker"});
      config.tls_cert = certificates_->path("hub.pem");
      config.tls_key = certificates_->path("hub.key");
      config.tls_client_ca = certificates_->path("ca.pem");
    }
    adjust(config);
    Result<std::unique_ptr<hub::Hub>> hub = hub::Hub::start(config);
    ASSERT_TRUE(hub.ok()) << hub.status().message();
    hubs_.push_back(std::move(hub).value());
    address_ += (address_.empty() ? "" : ",") + hubs_.back()->listen_text();
  }

  WorkerOptions options(uint32_t rank, uint32_t rank_count, const std::string& job = "test") const {
    WorkerOptions options;
    options.hub = address_;
    options.job.name = job;
    options.job.secret = "test secret";
    options.job.rank_count = rank_count;
    options.rank = Rank{static_cast<uint16_t>(rank)};
    options.join_timeout = std::chrono::seconds(20);
    options.wait_timeout = std::chrono::seconds(20);
    options.network = WorkerOptions::from_environment()->network;
    if (certificates_ != nullptr) {
      options.tls_ca = certificates_->path("ca.pem");
      options.tls_cert = certificates_->path("worker.pem");
      options.tls_key = certificates_->path("worker.key");
    }
    return options;
  }

  // Runs `body` for every rank on a thread of its own and waits for all.
  void run_ranks(uint32_t rank_count, const std::function<void(Worker&, uint32_t)>& body,
                 const std::string& job = "test") {
    std::vector<std::thread> threads;
    for (uint32_t rank = 0; rank < rank_count; ++rank) {
      threads.emplace_back([&, rank] {
        Result<Worker> worker = Worker::connect(options(rank, rank_count, job));
        ASSERT_TRUE(worker.ok()) << worker.status().to_string();
        body(*worker, rank);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  std::unique_ptr<testing_support::Certificates> certificates_;
  std::string address_;  // Of all hubs.
  std::vector<std::unique_ptr<hub::Hub>> hubs_;
};

inline TensorSpec make_spec(const std::string& name, uint64_t count, DataType type = DataType::fp32,
                            ReduceOp op = ReduceOp::sum) {
  TensorSpec spec;
  spec.name = name;
  spec.type = type;
  spec.count = count;
  spec.op = op;
  return spec;
}

}  // namespace phub::process
