// phubctl without its main: a command in, text and an exit status out.
#pragma once

#include <span>
#include <string>

namespace phub::hub {

// What a script can tell apart.
enum class CtlExit : int { done = 0, refused = 1, usage = 2, no_hub = 3, timed_out = 4 };

struct CtlResult {
  CtlExit exit = CtlExit::done;
  std::string output;  // For stdout.
  std::string error;   // For stderr; a sentence, empty if done.
};

// Takes at most a few seconds: connecting, sending and receiving each have a deadline. But `top` on
// a terminal and `drain --wait` take what they are told, and print meanwhile.
CtlResult run_phubctl(std::span<const std::string> arguments,
                      std::span<const std::string> environment);

}  // namespace phub::hub
