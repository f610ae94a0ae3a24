// A terminal that shows one page at a time and is given back as it was.
//
// Uses the alternate screen, so that what was there comes back, and ANSI sequences that every
// terminal of the last decades knows. Thread-safety: one thread; one Terminal at a time.
#pragma once

#include <phub/status.h>
#include <termios.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <string_view>

#include "base/fd.h"

namespace phub::hub {

class Terminal {
 public:
  // Takes over the terminal of stdin and stdout. Blocks SIGINT, SIGTERM, SIGHUP and SIGWINCH in
  // this thread and reads them itself: call before other threads start. failed_precondition: stdout
  // is no terminal.
  static Result<std::unique_ptr<Terminal>> open();
  ~Terminal();  // Restores screen, cursor, input and signals.

  struct Size {
    size_t columns = 80;
    size_t rows = 24;
  };
  Size size() const;

  // Replaces the page; at most size().rows lines are seen.
  void show(std::string_view page);

  enum class Event { timeout, resized, quit };
  // quit: q, Ctrl-C, or one of the signals that end a program, or stdin is closed.
  Event wait(std::chrono::milliseconds timeout);

 private:
  Terminal(base::Fd signals, const termios* input, const sigset_t& mask);

  base::Fd signals_;
  const bool has_input_;
  termios input_{};  // As it was.
  sigset_t mask_{};  // Likewise.
};

}  // namespace phub::hub
