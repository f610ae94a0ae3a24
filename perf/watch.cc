#include <thread>

#include "base/clock.h"
#include "perf/board.h"
#include "perf/system.h"

namespace phub::perf {

Status watch(std::vector<Process>& processes, Board& board, const base::Fd& output,
             std::chrono::seconds timeout, const std::function<Status()>& look) {
  const auto failed = [&](Code code, const std::string& what) {
    board.fail();
    // Others say why they ended; give them the time to.
    for (Process& process : processes) process.stop(std::chrono::milliseconds(300));
    return Status(code, what + "; output:\n" + tail_of(output));
  };
  const base::Instant start = base::now();
  for (;;) {
    bool is_running = false;
    for (size_t i = 0; i < processes.size(); ++i) {
      const std::optional<int> status = processes[i].exit_status();
      if (!status) {
        is_running = true;
      } else if (*status != 0) {
        return failed(Code::aborted, "process " + std::to_string(i) + " ended with status " +
                                         std::to_string(*status));
      }
    }
    if (!is_running) return Status();
    const Status seen = look();
    if (!seen.ok()) return failed(seen.code(), seen.message());
    if (base::now() - start > timeout) {
      return failed(Code::timed_out, "not done after " + std::to_string(timeout.count()) + " s");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace phub::perf
