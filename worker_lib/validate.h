// What a trainer asks for, checked before anything is sent: each refusal says which value and what
// would be right.
#pragma once

#include <phub/status.h>
#include <phub/types.h>
#include <phub/worker.h>

#include <span>

namespace phub::client {

// invalid_argument: job name, rank, rank count, chunk size or a timeout is out of range.
Status check_options(const WorkerOptions& options);

// invalid_argument: no tensor, or one with an empty, long or repeated name, without elements, with
// an optimizer on a type that cannot have one, or with numbers no optimizer can work with.
Status check_specs(std::span<const TensorSpec> specs);

// invalid_argument: not a finite number.
Status check_settings(const StepSettings& settings);

}  // namespace phub::client
