// Goal: what a trainer may ask for, and the words of each refusal.
// Method: one wrong value at a time.
#include "worker_lib/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "exchange/address.h"
#include "worker_lib/late.h"

namespace phub::client {
namespace {

using testing::HasSubstr;

WorkerOptions options() {
  WorkerOptions options;
  options.job.rank_count = 4;
  return options;
}

TEST(ValidateTest, OptionsAreRefusedWithTheValueAndTheLimit) {
  EXPECT_TRUE(check_options(options()).ok());
  const std::pair<std::function<void(WorkerOptions&)>, const char*> cases[] = {
      {[](WorkerOptions& o) { o.job.name = ""; }, "job name"},
      {[](WorkerOptions& o) { o.job.name = "a b"; }, "\"a b\""},
      {[](WorkerOptions& o) { o.job.name = std::string(65, 'a'); }, "1 to 64"},
      {[](WorkerOptions& o) { o.job.rank_count = 0; }, "PHUB_SIZE"},
      {[](WorkerOptions& o) { o.job.rank_count = 1025; }, "at most 1024"},
      {[](WorkerOptions& o) { o.rank = Rank{4}; }, "ranks go from 0 to 3"},
      {[](WorkerOptions& o) { o.job.chunk_elements = 100; }, "multiple of 64"},
      {[](WorkerOptions& o) { o.job.chunk_elements = 0; }, "multiple of 64"},
      {[](WorkerOptions& o) { o.wait_timeout = {}; }, "wait_timeout"},
  };
  for (const auto& [spoil, words] : cases) {
    WorkerOptions wrong = options();
    spoil(wrong);
    const Status status = check_options(wrong);
    EXPECT_EQ(status.code(), Code::invalid_argument) << words;
    EXPECT_THAT(status.message(), HasSubstr(words));
  }
}

TEST(ValidateTest, SpecsAreRefusedWithTheTensorAndTheReason) {
  TensorSpec good;
  good.name = "w";
  good.count = 1;
  good.optimizer.kind = OptimizerKind::adam;
  EXPECT_TRUE(check_specs(std::vector{good}).ok());
  const std::pair<std::function<void(TensorSpec&)>, const char*> cases[] = {
      {[](TensorSpec& s) { s.count = 0; }, "no elements"},
      {[](TensorSpec& s) { s.name = ""; }, "has no name"},
      {[](TensorSpec& s) { s.name = std::string(201, 'n'); }, "at most 200"},
      {[](TensorSpec& s) { s.type = DataType::int32; }, "cannot work on int32"},
      {[](TensorSpec& s) { s.type = DataType::fp64; }, "cannot work on fp64"},
      {[](TensorSpec& s) { s.type = static_cast<DataType>(17); }, "not one of"},
      {[](TensorSpec& s) { s.optimizer.beta1 = 1; }, "beta1"},
      {[](TensorSpec& s) { s.optimizer.beta2 = -1; }, "beta2"},
      {[](TensorSpec& s) { s.optimizer.epsilon = NAN; }, "epsilon"},
      {[](TensorSpec& s) { s.optimizer.learning_rate = INFINITY; }, "learning_rate"},
      {[](TensorSpec& s) { s.optimizer.weight_decay = -1; }, "weight_decay"},
      {[](TensorSpec& s) { s.optimizer.clip_global_norm = -1; }, "clip_global_norm"},
  };
  for (const auto& [spoil, words] : cases) {
    TensorSpec wrong = good;
    spoil(wrong);
    const Status status = check_specs(std::vector{wrong});
    EXPECT_EQ(status.code(), Code::invalid_argument) << words;
    EXPECT_THAT(status.message(), HasSubstr(words));
    EXPECT_THAT(status.message(), HasSubstr("tensor 0"));
  }
  EXPECT_THAT(check_specs(std::vector{good, good}).message(),
              HasSubstr("tensor 1 \"w\": an earlier tensor has the same name"));
  EXPECT_EQ(check_specs({}).code(), Code::invalid_argument);
}

TEST(ValidateTest, OptimizersWorkOnSixteenBitTensorsAndIntegersGoWithoutOne) {
  TensorSpec half;
  half.name = "h";
  half.count = 1;
  half.type = DataType::bf16;
  half.optimizer.kind = OptimizerKind::sgd;
  EXPECT_TRUE(check_specs(std::vector{half}).ok());
  half.type = DataType::int64;
  half.optimizer.kind = OptimizerKind::none;
  EXPECT_TRUE(check_specs(std::vector{half}).ok());
}

TEST(ValidateTest, SettingsMustBeFinite) {
  EXPECT_TRUE(check_settings({}).ok());
  EXPECT_EQ(check_settings({.learning_rate = NAN}).code(), Code::invalid_argument);
  EXPECT_EQ(check_settings({.gradient_scale = INFINITY}).code(), Code::invalid_argument);
}

TEST(AddressTest, AnAddressIsASchemeAndAPathOrAHost) {
  const auto tcp = exchange::parse_address("tcp://[::1]:7077");
  ASSERT_TRUE(tcp.ok());
  EXPECT_EQ(tcp->host_port, (base::HostPort{"::1", 7077}));
  EXPECT_EQ(exchange::to_text(*tcp), "tcp://[::1]:7077");
  EXPECT_THAT(exchange::parse_address("tcp://10.0.0.7").status().message(), HasSubstr("HOST:PORT"));
  EXPECT_THAT(exchange::parse_address("ipx://a").status().message(),
              HasSubstr("shm, tcp, tls, verbs, dpdk"));
  for (const char* const text : {"verbs://hub.rack8:7079", "dpdk://[fd00::7]:7080"}) {
    const auto device = exchange::parse_address(text);
    ASSERT_TRUE(device.ok()) << device.status().message();
    EXPECT_EQ(exchange::to_text(*device), text);
    EXPECT_FALSE(device->is_local() || device->is_encrypted());
  }
  EXPECT_TRUE(exchange::parse_address("tls://hub.rack8:7078")->is_encrypted());
  EXPECT_FALSE(tcp->is_encrypted());
  EXPECT_EQ(exchange::parse_addresses("shm:///a,tcp://b:1")->size(), 2u);
  EXPECT_FALSE(exchange::parse_addresses("shm:///a,").ok());

  const auto address = exchange::parse_address("shm:///tmp/phub.sock");
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(address->fabric, "shm");
  EXPECT_EQ(address->socket_path, "/tmp/phub.sock");
  EXPECT_THAT(exchange::parse_address("10.0.0.7").status().message(),
              HasSubstr("hub address \"10.0.0.7\" has no scheme"));
  EXPECT_THAT(exchange::parse_address("shm://relative").status().message(),
              HasSubstr("absolute path"));
  EXPECT_THAT(exchange::parse_address("shm:///" + std::string(200, 'x')).status().message(),
              HasSubstr("at most 107"));
}

TEST(LateTest, TheHubsReportIsCutDownToTheOperation) {
  const std::string report =
      "tensor 15 \"b\" round 1: rank 3 is missing since 0.5 s; "
      "tensor 5 \"fc1\" round 17: rank 2 (process 4711 on node7) is missing since 1.9 s; "
      "tensor 6 \"fc2\" round 17: ranks 1, 2 are missing since 0.1 s";
  EXPECT_EQ(late_part(report, "tensor 5 \"fc1\" round 17"),
            "rank 2 (process 4711 on node7) is missing since 1.9 s");
  EXPECT_EQ(late_part(report, "tensor 9 \"x\" round 1"), report);
  EXPECT_EQ(late_part(report, ""), report);
  EXPECT_EQ(late_part("", "tensor 9"), "the hub knows of no rank that is late");
  EXPECT_EQ(timed_out_after(std::chrono::milliseconds(2000)), "timed out after 2.0 s");
}

}  // namespace
}  // namespace phub::client
