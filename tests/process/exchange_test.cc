// Goal: what worker.h promises of an exchange holds through a real hub over shared memory, for
// every element type and reduction, with and without copies. Method: small integer data, so that
// every result is exact; the expectation is computed per element.
#include <cstring>
#include <numeric>

#include "kernels/scalar.h"
#include "tests/process/hub_fixture.h"

namespace phub::process {
namespace {

using ExchangeTest = HubFixture;

double value_at(uint32_t rank, uint32_t round, uint64_t element) {
  return static_cast<double>((element * 3 + rank * 5 + round) % 7) + 1;
}

void store(DataType type, void* memory, uint64_t element, double value) {
  switch (type) {
    case DataType::fp32:
      static_cast<float*>(memory)[element] = static_cast<float>(value);
      break;
    case DataType::fp64:
      static_cast<double*>(memory)[element] = value;
      break;
    case DataType::int32:
      static_cast<int32_t*>(memory)[element] = static_cast<int32_t>(value);
      break;
    case DataType::int64:
      static_cast<int64_t*>(memory)[element] = static_cast<int64_t>(value);
      break;
    case DataType::fp16:
      static_cast<uint16_t*>(memory)[element] = kernels::scalar::to_fp16(static_cast<float>(value));
      break;
    case DataType::bf16:
      static_cast<uint16_t*>(memory)[element] = kernels::scalar::to_bf16(static_cast<float>(value));
      break;
  }
}

double load(DataType type, const void* memory, uint64_t element) {
  switch (type) {
    case DataType::fp32:
      return static_cast<const float*>(memory)[element];
    case DataType::fp64:
      return static_cast<const double*>(memory)[element];
    case DataType::int32:
      return static_cast<const int32_t*>(memory)[element];
    case DataType::int64:
      return static_cast<double>(static_cast<const int64_t*>(memory)[element]);
    case DataType::fp16:
      return kernels::scalar::from_fp16(static_cast<const uint16_t*>(memory)[element]);
    case DataType::bf16:
      return kernels::scalar::from_bf16(static_cast<const uint16_t*>(memory)[element]);
  }
  return 0;
}

double expected(ReduceOp op, DataType type, uint32_t ranks, uint32_t round, uint64_t element) {
  double result = value_at(0, round, element);
  for (uint32_t rank = 1; rank < ranks; ++rank) {
    const double next = value_at(rank, round, element);
    switch (op) {
      case ReduceOp::sum:
      case ReduceOp::mean:
        result += next;
        break;
      case ReduceOp::min:
        result = std::min(result, next);
        break;
      case ReduceOp::max:
        result = std::max(result, next);
        break;
      case ReduceOp::product:
        result *= next;
        break;
    }
  }
  if (op == ReduceOp::mean) result /= ranks;
  std::vector<std::byte> one(8);
  store(type, one.data(), 0, result);  // Rounded as the element type rounds.
  return load(type, one.data(), 0);
}

TEST_F(ExchangeTest, EveryTypeAndReductionIsExact) {
  start_hub();
  std::vector<TensorSpec> specs;
  for (const DataType type : {DataType::fp32, DataType::fp16, DataType::bf16, DataType::fp64,
                              DataType::int32, DataType::int64}) {
    for (const ReduceOp op :
         {ReduceOp::sum, ReduceOp::mean, ReduceOp::min, ReduceOp::max, ReduceOp::product}) {
      specs.push_back(make_spec(std::string(to_string(type)) + "." + std::string(to_string(op)),
                                10'001, type, op));
    }
  }
  constexpr uint32_t kRanks = 3;
  run_ranks(kRanks, [&](Worker& worker, uint32_t rank) {
    const auto tensors = worker.register_tensors(specs);
    ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
    for (uint32_t round = 1; round <= 2; ++round) {
      std::vector<std::vector<std::byte>> gradients;
      for (size_t t = 0; t < specs.size(); ++t) {
        gradients.emplace_back(specs[t].count * size_of(specs[t].type));
        for (uint64_t i = 0; i < specs[t].count; ++i) {
          store(specs[t].type, gradients[t].data(), i, value_at(rank, round, i));
        }
        ASSERT_TRUE(worker.push_pull((*tensors)[t], gradients[t].data(), gradients[t].data()).ok());
      }
      ASSERT_TRUE(worker.wait_all().ok());
      for (size_t t = 0; t < specs.size(); ++t) {
        uint64_t wrong = 0;
        for (uint64_t i = 0; i < specs[t].count; ++i) {
          wrong += load(specs[t].type, gradients[t].data(), i) !=
                   expected(specs[t].op, specs[t].type, kRanks, round, i);
        }
        EXPECT_EQ(wrong, 0u) << specs[t].name << " rank " << rank << " round " << round;
      }
    }
    EXPECT_TRUE(worker.leave().ok());
  });
}

TEST_F(ExchangeTest, RegisteredMemoryIsNotCopiedAndForeignMemoryIsCopiedOnceEachWay) {
  start_hub();
  constexpr uint64_t kCount = 50'000;
  const std::vector<TensorSpec> specs = {make_spec("t", kCount)};
  run_ranks(2, [&](Worker& worker, uint32_t rank) {
    Result<std::span<std::byte>> memory = worker.allocate(kCount * 4);
    ASSERT_TRUE(memory.ok());
    const auto tensors = worker.register_tensors(specs);
    ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
    auto* gradient = reinterpret_cast<float*>(memory->data());
    std::fill_n(gradient, kCount, static_cast<float>(rank + 1));
    auto* result = reinterpret_cast<float*>(worker.result((*tensors)[0]).data());
    ASSERT_TRUE(worker.push_pull((*tensors)[0], gradient, result).ok());
    ASSERT_TRUE(worker.wait_all().ok());
    EXPECT_EQ(result[kCount - 1], 3.0f);
    EXPECT_EQ(worker.stats().copied_bytes, 0u);

    std::vector<float> foreign(kCount, static_cast<float>(rank + 2));
    ASSERT_TRUE(worker.push_pull((*tensors)[0], foreign.data(), foreign.data()).ok());
    ASSERT_TRUE(worker.wait_all().ok());
    EXPECT_EQ(foreign[0], 5.0f);
    EXPECT_EQ(worker.stats().copied_bytes, 2 * kCount * 4);
  });
}

TEST_F(ExchangeTest, PushThenPullBroadcastAndInPlaceAgreeWithPushPull) {
  start_hub();
  const std::vector<TensorSpec> specs = {make_spec("t", 9'000), make_spec("u", 1)};
  run_ranks(4, [&](Worker& worker, uint32_t rank) {
    const auto tensors = worker.register_tensors(specs);
    ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
    const TensorId t = (*tensors)[0];
    std::vector<float> gradient(9'000, static_cast<float>(rank));
    std::vector<float> result(9'000, -1.0f);
    ASSERT_TRUE(worker.push(t, gradient.data()).ok());
    ASSERT_TRUE(worker.pull(t, result.data()).ok());
    ASSERT_TRUE(worker.wait_all().ok());
    EXPECT_EQ(result[8'999], 6.0f);

    std::vector<float> data(9'000, static_cast<float>(rank * 100));
    ASSERT_TRUE(worker.broadcast(t, data.data(), Rank{2}).ok());
    ASSERT_TRUE(worker.wait_all().ok());
    EXPECT_EQ(data[0], 200.0f);
    EXPECT_EQ(data[8'999], 200.0f);

    auto* slot = reinterpret_cast<float*>(worker.result(t).data());
    std::fill_n(slot, 9'000, 2.0f);
    ASSERT_TRUE(worker.push_pull(t, slot, slot).ok());
    ASSERT_TRUE(worker.wait_all().ok());
    EXPECT_EQ(slot[123], 8.0f);

    const Result<Operation> pull = worker.pull((*tensors)[1], result.data());
    EXPECT_EQ(pull.status().code(), Code::failed_precondition);
    EXPECT_TRUE(worker.barrier().ok());
  });
}

TEST_F(ExchangeTest, AnyThreadMaySubmitAndCallbacksRunOnce) {
  start_hub();
  constexpr uint32_t kTensors = 24;
  std::vector<TensorSpec> specs;
  for (uint32_t t = 0; t < kTensors; ++t)
    specs.push_back(make_spec("t" + std::to_string(t), 3'000));
  run_ranks(2, [&](Worker& worker, uint32_t rank) {
    const auto tensors = worker.register_tensors(specs);
    ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
    std::vector<std::vector<float>> data(kTensors, std::vector<float>(3'000, rank + 1.0f));
    std::atomic<uint32_t> ended{0};
    std::vector<std::thread> threads;
    for (uint32_t thread = 0; thread < 3; ++thread) {
      threads.emplace_back([&, thread] {
        for (uint32_t t = thread; t < kTensors; t += 3) {
          const Result<Operation> operation =
              worker.push_pull((*tensors)[t], data[t].data(), data[t].data(), [&](const Status& s) {
                EXPECT_TRUE(s.ok());
                ++ended;
              });
          ASSERT_TRUE(operation.ok()) << operation.status().to_string();
          ASSERT_TRUE(worker.wait(*operation).ok());
          EXPECT_TRUE(worker.is_done(*operation));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ended.load(), kTensors);
    for (const std::vector<float>& values : data) EXPECT_EQ(values[2'999], 3.0f);
  });
}

TEST_F(ExchangeTest, AThreadOfTheLibraryMovesTheBytesWhenAsked) {
  start_hub();
  const std::vector<TensorSpec> specs = {make_spec("t", 100'000)};
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      WorkerOptions wanted = options(rank, 2);
      wanted.progress = Progress::thread;
      Result<Worker> worker = Worker::connect(wanted);
      ASSERT_TRUE(worker.ok()) << worker.status().to_string();
      const auto tensors = worker->register_tensors(specs);
      ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
      std::vector<float> data(100'000, 1.5f);
      for (int round = 0; round < 5; ++round) {
        std::fill(data.begin(), data.end(), 1.5f);
        const auto operation = worker->push_pull((*tensors)[0], data.data(), data.data());
        ASSERT_TRUE(operation.ok());
        ASSERT_TRUE(worker->wait(*operation).ok());
        ASSERT_EQ(data[77], 3.0f);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ExchangeTest, NewTensorsComeByANewEpochAndOldOnesKeepTheirIds) {
  start_hub();
  run_ranks(3, [&](Worker& worker, uint32_t) {
    std::vector<TensorSpec> specs = {make_spec("a", 100)};
    std::vector<float> data(20'000, 1.0f);
    for (uint32_t epoch = 1; epoch <= 4; ++epoch) {
      const auto tensors = worker.register_tensors(specs);
      ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
      ASSERT_EQ(tensors->size(), epoch);
      for (uint32_t t = 0; t < epoch; ++t) {
        data[0] = 1.0f;
        ASSERT_TRUE(worker.push_pull((*tensors)[t], data.data(), data.data()).ok());
        ASSERT_TRUE(worker.wait_all().ok());
        ASSERT_EQ(data[0], 3.0f);
      }
      specs.push_back(make_spec("n" + std::to_string(epoch), 5'000 * epoch));
    }
  });
}

TEST_F(ExchangeTest, TimeoutsNameTheRanksThatAreMissing) {
  start_hub([](config::HubConfig& config) { config.join_timeout_ms = 700; });
  WorkerOptions wanted = options(0, 3, "incomplete");
  wanted.join_timeout = std::chrono::milliseconds(200);
  Result<Worker> worker = Worker::connect(wanted);
  ASSERT_TRUE(worker.ok()) << worker.status().to_string();
  const std::vector<TensorSpec> specs = {make_spec("t", 10)};
  const Status own = worker->register_tensors(specs).status();
  EXPECT_EQ(own.code(), Code::timed_out) << own.message();
  EXPECT_NE(own.message().find("ranks 1, 2 did not join"), std::string::npos) << own.message();

  WorkerOptions patient = options(1, 3, "incomplete");
  Result<Worker> second = Worker::connect(patient);
  ASSERT_TRUE(second.ok()) << second.status().to_string();
  const Status hubs = second->register_tensors(specs).status();
  EXPECT_EQ(hubs.code(), Code::timed_out) << hubs.message();
  EXPECT_NE(hubs.message().find("rank 2 did not join"), std::string::npos) << hubs.message();

  std::thread late([&] {
    Result<Worker> one = Worker::connect(options(1, 2, "half"));
    ASSERT_TRUE(one.ok());
    ASSERT_TRUE(one->register_tensors(specs).ok());
    EXPECT_TRUE(one->barrier(std::chrono::seconds(10)).ok());
  });
  std::vector<float> data(10, 1.0f);  // Outlives the worker: the operation goes on after its time.
  WorkerOptions hasty = options(0, 2, "half");
  hasty.wait_timeout = std::chrono::milliseconds(200);
  Result<Worker> zero = Worker::connect(hasty);
  ASSERT_TRUE(zero.ok());
  const auto tensors = zero->register_tensors(specs);
  ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
  const Result<Operation> operation = zero->push_pull((*tensors)[0], data.data(), data.data());
  ASSERT_TRUE(operation.ok());
  const Status waited = zero->wait(*operation);
  EXPECT_EQ(waited.code(), Code::timed_out) << waited.message();
  EXPECT_NE(waited.message().find("rank 1 (process"), std::string::npos) << waited.message();
  EXPECT_NE(waited.message().find("\"t\""), std::string::npos) << waited.message();
  EXPECT_TRUE(zero->barrier(std::chrono::seconds(10)).ok());
  late.join();
}

TEST_F(ExchangeTest, ATableOutlivesItsFirstProposer) {
  start_hub();
  const std::vector<TensorSpec> specs = {make_spec("t", 10)};
  std::thread patient;
  {
    WorkerOptions hasty = options(0, 3);
    hasty.join_timeout = std::chrono::milliseconds(100);
    Result<Worker> first = Worker::connect(hasty);
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(first->register_tensors(specs).status().code(), Code::timed_out);
    patient = std::thread([&] {
      Result<Worker> worker = Worker::connect(options(1, 3));
      ASSERT_TRUE(worker.ok());
      const auto tensors = worker->register_tensors(specs);
      EXPECT_TRUE(tensors.ok()) << tensors.status().to_string();
      EXPECT_TRUE(worker->barrier().ok());
    });
    const auto rank_has_proposed = [&] {  // Rank 1's proposal came after rank 0's.
      return first->register_tensors(specs).status().message().find("rank 2 did not join") !=
             std::string::npos;
    };
    for (int i = 0; i < 100 && !rank_has_proposed(); ++i) {
    }
  }
  std::vector<std::thread> others;
  for (const uint32_t rank : {0u, 2u}) {
    others.emplace_back([&, rank] {
      Result<Worker> worker = Worker::connect(options(rank, 3));
      ASSERT_TRUE(worker.ok()) << worker.status().to_string();
      const auto tensors = worker->register_tensors(specs);
      EXPECT_TRUE(tensors.ok()) << tensors.status().to_string();
      EXPECT_TRUE(worker->barrier().ok());
    });
  }
  for (std::thread& other : others) other.join();
  patient.join();
}

TEST_F(ExchangeTest, ATensorOfMoreThanFourGibibytesIsOneTensor) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP()
      << "the sanitizer's shadow of 4 GiB does not fit this machine; the dev stage runs it";
#endif
  const uint64_t available = static_cast<uint64_t>(::sysconf(_SC_AVPHYS_PAGES)) *
                             static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  if (available < uint64_t{8} << 30) {
    GTEST_SKIP() << "needs 8 GiB of free memory; there are " << (available >> 20) << " MiB";
  }
  start_hub();
  const uint64_t count = (uint64_t{1} << 32) / 4 + 1'000;  // Of int32.
  WorkerOptions wanted = options(0, 1);
  wanted.job.chunk_elements = 1u << 20;
  Result<Worker> worker = Worker::connect(wanted);
  ASSERT_TRUE(worker.ok()) << worker.status().to_string();
  const std::vector<TensorSpec> specs = {make_spec("huge", count, DataType::int32)};
  const auto tensors = worker->register_tensors(specs);
  ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
  auto* values = reinterpret_cast<int32_t*>(worker->result((*tensors)[0]).data());
  values[0] = 1;
  values[count / 2] = 2;
  values[count - 1] = 3;
  ASSERT_TRUE(worker->push_pull((*tensors)[0], values, values).ok());
  ASSERT_TRUE(worker->wait_all().ok());
  EXPECT_EQ(values[0], 1);
  EXPECT_EQ(values[count / 2], 2);
  EXPECT_EQ(values[count - 1], 3);
}

}  // namespace
}  // namespace phub::process
