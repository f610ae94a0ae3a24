#include "kernels/isa.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>
#include <mutex>

#include <hwy/highway.h>

#include "base/log.h"

namespace phub::kernels {
namespace {

constexpr const char* kOracleName = "SCALAR";

// Highway's portable set, one lane or 128 bits in plain C++, must not share the oracle's name.
const char* name_of(int64_t target) {
  return target == HWY_SCALAR || target == HWY_EMU128 ? "PLAIN" : hwy::TargetName(target);
}

enum class Mode : int { unsettled, vector, oracle };
std::atomic<Mode> mode{Mode::unsettled};
std::atomic<const char*> vector_name{nullptr};
std::once_flag settled;

// Highway's sets that were compiled and that this machine runs, as a mask of HWY_* bits.
int64_t machine_targets() {
  static const int64_t targets = (hwy::SupportedTargets() & HWY_TARGETS) | HWY_STATIC_TARGET;
  return targets;
}

// Highway orders its bits from the best set to the plainest.
std::vector<int64_t> targets_best_first() {
  std::vector<int64_t> list;
  for (int64_t rest = machine_targets(); rest != 0; rest &= rest - 1) list.push_back(rest & -rest);
  return list;
}

// Kernels run on the best of `targets` from now on.
void use_targets(int64_t targets) {
  hwy::GetChosenTarget().Update(targets);
  vector_name.store(name_of(targets & -targets), std::memory_order_release);
  mode.store(Mode::vector, std::memory_order_release);
}

std::string joined_names() {
  std::string names;
  for (const std::string& name : supported_isas()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

// The switch itself, without settling the environment's wish first.
Status switch_to(std::string_view name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (upper == kOracleName) {
    mode.store(Mode::oracle, std::memory_order_release);
    return {};
  }
  for (const int64_t target : targets_best_first()) {
    if (upper != name_of(target)) continue;
    use_targets(target);
    return {};
  }
  return Status(Code::invalid_argument, "instruction set \"" + std::string(name) +
                                            "\" is not available here; this machine has " +
                                            joined_names());
}

void settle() {
  const char* const wish = std::getenv("PHUB_ISA");
  if (wish != nullptr && *wish != '\0') {
    const Status status = switch_to(wish);
    if (status.ok()) return;
    base::log(base::LogLevel::warning,
              "PHUB_ISA: " + status.message() + "; using the best of them");
  }
  use_targets(machine_targets());
}

}  // namespace

bool oracle_forced() {
  const Mode now = mode.load(std::memory_order_acquire);
  if (now != Mode::unsettled) [[likely]] {
    return now == Mode::oracle;
  }
  std::call_once(settled, settle);
  return mode.load(std::memory_order_acquire) == Mode::oracle;
}

const char* isa_name() {
  return oracle_forced() ? kOracleName : vector_name.load(std::memory_order_acquire);
}

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  for (const int64_t target : targets_best_first()) names.emplace_back(name_of(target));
  names.emplace_back(kOracleName);
  return names;
}

Status force_isa(std::string_view name) {
  static_cast<void>(oracle_forced());  // Or the environment would overrule the caller later.
  return switch_to(name);
}

}  // namespace phub::kernels
