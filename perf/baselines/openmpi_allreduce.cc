// MPI_Allreduce, timed and verified as PHub's exchange is. Started by mpirun, from phub-perf.
#include <mpi.h>

#include <cstdio>
#include <vector>

#include "base/memory.h"
#include "base/try.h"
#include "perf/baselines/driver.h"

namespace phub::perf {
namespace {

Result<MPI_Datatype> mpi_type(DataType type) {
  switch (type) {
    case DataType::fp32:
      return MPI_FLOAT;
    case DataType::fp64:
      return MPI_DOUBLE;
    case DataType::int32:
      return MPI_INT32_T;
    case DataType::int64:
      return MPI_INT64_T;
    case DataType::fp16:
    case DataType::bf16:
      break;
  }
  return Status(Code::unimplemented, "MPI has no " + std::string(to_string(type)));
}

Result<MPI_Op> mpi_op(ReduceOp op) {
  switch (op) {
    case ReduceOp::sum:
      return MPI_SUM;
    case ReduceOp::min:
      return MPI_MIN;
    case ReduceOp::max:
      return MPI_MAX;
    case ReduceOp::product:
      return MPI_PROD;
    case ReduceOp::mean:
      break;
  }
  return Status(Code::unimplemented, "MPI has no mean");
}

Status run(int argc, char** argv) {
  PHUB_TRY_ASSIGN(const DriverOptions options, parse_driver_options(argc, argv));
  PHUB_TRY_ASSIGN(const MPI_Datatype type, mpi_type(options.type));
  PHUB_TRY_ASSIGN(const MPI_Op op, mpi_op(options.op));
  int rank = 0;
  int rank_count = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &rank_count);
  // Touched, huge pages advised: as good as memory gets.
  PHUB_TRY_ASSIGN(const base::Mapping gradient, base::Mapping::anonymous(options.bytes));
  PHUB_TRY_ASSIGN(const base::Mapping result, base::Mapping::anonymous(options.bytes));
  const int count = static_cast<int>(options.bytes / size_of(options.type));
  return drive(options, static_cast<uint32_t>(rank), static_cast<uint32_t>(rank_count),
               gradient.bytes(), result.bytes(), [&] {
                 const int code =
                     MPI_Allreduce(gradient.data(), result.data(), count, type, op, MPI_COMM_WORLD);
                 return code == MPI_SUCCESS ? Status()
                                            : Status(Code::internal, "MPI_Allreduce failed with " +
                                                                         std::to_string(code));
               });
}

}  // namespace
}  // namespace phub::perf

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const phub::Status status = phub::perf::run(argc, argv);
  if (!status.ok()) {
    std::fprintf(stderr, "openmpi driver: %s\n", status.message().c_str());
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  MPI_Finalize();
  return 0;
}
