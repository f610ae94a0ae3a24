// `phubctl plan`: a model's map and memory on a machine that need not exist.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "config/ctl_config.h"

namespace phub::hub {

// Lines of "tensor_name,element_count"; '#' begins a comment; blank lines are skipped.
// invalid_argument: names the line.
Result<std::vector<TensorSpec>> parse_model(std::string_view text, const std::string& path);

// not_found: no such model file.  invalid_argument: the model cannot be mapped.
Result<std::string> plan_text(const config::CtlPlan& plan, bool wants_json);

}  // namespace phub::hub
