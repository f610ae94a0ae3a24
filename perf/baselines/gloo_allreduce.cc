// Gloo's all-reduce over TCP on the loopback, timed and verified as PHub's exchange is. One process
// per rank, started by phub-perf; in place, as Gloo's classic algorithms work.
#include <gloo/allreduce.h>
#include <gloo/allreduce_halving_doubling.h>
#include <gloo/allreduce_ring.h>
#include <gloo/allreduce_ring_chunked.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>

#include <cstdio>
#include <memory>

#include "base/memory.h"
#include "base/try.h"
#include "perf/baselines/driver.h"

namespace phub::perf {
namespace {

using Context = std::shared_ptr<gloo::rendezvous::Context>;

template <typename T>
const gloo::ReductionFunction<T>* reduction(ReduceOp op) {
  switch (op) {
    case ReduceOp::sum:
    case ReduceOp::mean:
      return gloo::ReductionFunction<T>::sum;
    case ReduceOp::min:
      return gloo::ReductionFunction<T>::min;
    case ReduceOp::max:
      return gloo::ReductionFunction<T>::max;
    case ReduceOp::product:
      return gloo::ReductionFunction<T>::product;
  }
  return nullptr;
}

template <typename T>
void (*combine(ReduceOp op))(void*, const void*, const void*, size_t) {
  switch (op) {
    case ReduceOp::sum:
    case ReduceOp::mean:
      return &gloo::sum<T>;
    case ReduceOp::min:
      return &gloo::min<T>;
    case ReduceOp::max:
      return &gloo::max<T>;
    case ReduceOp::product:
      return &gloo::product<T>;
  }
  return nullptr;
}

// The named algorithm over `data`, ready to be run again and again.
template <typename T>
Result<std::function<Status()>> make_typed(const DriverOptions& options, const Context& context,
                                           std::span<std::byte> data) {
  T* const values = reinterpret_cast<T*>(data.data());
  const int count = static_cast<int>(data.size() / sizeof(T));
  const std::vector<T*> pointers = {values};
  std::shared_ptr<gloo::Algorithm> algorithm;
  if (options.algorithm == "ring_chunked") {
    algorithm = std::make_shared<gloo::AllreduceRingChunked<T>>(context, pointers, count,
                                                                reduction<T>(options.op));
  } else if (options.algorithm == "ring") {
    algorithm = std::make_shared<gloo::AllreduceRing<T>>(context, pointers, count,
                                                         reduction<T>(options.op));
  } else if (options.algorithm == "halving_doubling") {
    algorithm = std::make_shared<gloo::AllreduceHalvingDoubling<T>>(context, pointers, count,
                                                                    reduction<T>(options.op));
  } else if (options.algorithm == "bcube") {
    auto settings = std::make_shared<gloo::AllreduceOptions>(context);
    settings->setAlgorithm(gloo::AllreduceOptions::Algorithm::BCUBE);
    settings->setOutput(values, static_cast<size_t>(count));
    settings->setReduceFunction(combine<T>(options.op));
    return std::function<Status()>([settings] {
      gloo::allreduce(*settings);
      return Status();
    });
  } else {
    return Status(Code::invalid_argument, "gloo has no algorithm " + options.algorithm);
  }
  return std::function<Status()>([algorithm] {
    algorithm->run();
    return Status();
  });
}

Result<std::function<Status()>> make(const DriverOptions& options, const Context& context,
                                     std::span<std::byte> data) {
  switch (options.type) {
    case DataType::fp32:
      return make_typed<float>(options, context, data);
    case DataType::fp64:
      return make_typed<double>(options, context, data);
    case DataType::fp16:
      return make_typed<gloo::float16>(options, context, data);
    case DataType::int32:
      return make_typed<int32_t>(options, context, data);
    case DataType::int64:
      return make_typed<int64_t>(options, context, data);
    case DataType::bf16:
      break;
  }
  return Status(Code::unimplemented, "gloo has no " + std::string(to_string(options.type)));
}

// Files appear in the store's folder as the ranks come; the context is a full mesh of connections.
Context connect(const DriverOptions& options, uint32_t rank_count) {
  gloo::transport::tcp::attr where("127.0.0.1");
  std::shared_ptr<gloo::transport::Device> device = gloo::transport::tcp::CreateDevice(where);
  gloo::rendezvous::FileStore store(options.store);
  auto context = std::make_shared<gloo::rendezvous::Context>(static_cast<int>(options.rank),
                                                             static_cast<int>(rank_count));
  context->connectFullMesh(store, device);
  return context;
}

Status run(int argc, char** argv) {
  PHUB_TRY_ASSIGN(const DriverOptions options, parse_driver_options(argc, argv));
  PHUB_TRY_ASSIGN(const uint32_t rank_count, rank_count_of(options));
  PHUB_TRY_ASSIGN(const base::Mapping data, base::Mapping::anonymous(options.bytes));
  const Context context = connect(options, rank_count);
  PHUB_TRY_ASSIGN(const std::function<Status()> all_reduce, make(options, context, data.bytes()));
  return drive(options, options.rank, rank_count, data.bytes(), data.bytes(), all_reduce);
}

}  // namespace
}  // namespace phub::perf

int main(int argc, char** argv) {
  phub::Status status;
  try {
    status = phub::perf::run(argc, argv);
  } catch (const std::exception& error) {  // Gloo's way of reporting; ours ends here.
    status = phub::Status(phub::Code::internal, error.what());
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "gloo driver: %s\n", status.message().c_str());
  return 1;
}
