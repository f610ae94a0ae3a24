// What a check found, in words for an operator.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace phub::doctor {

// problem: something will not work. warning: it works, but slower or less far than it could.
enum class Verdict : uint8_t { ok = 0, warning, problem, skipped };
std::string_view to_string(Verdict verdict);

struct Finding {
  std::string name;  // "locked memory"
  Verdict verdict = Verdict::skipped;
  std::string seen;  // With numbers; of a skipped check, why.
  std::string fix;   // A command or an option, exactly; empty if there is nothing to do.
};

}  // namespace phub::doctor
