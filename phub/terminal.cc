#include "phub/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <string>

namespace phub::hub {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";  // Alternate screen, no cursor.
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr char kCtrlC = 3;

void put(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written <= 0) return;  // The terminal is gone; the next wait finds out.
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

Result<std::unique_ptr<Terminal>> Terminal::open() {
  if (::isatty(STDOUT_FILENO) != 1) {
    return Status(Code::failed_precondition, "stdout is not a terminal");
  }
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) sigaddset(&signals, signal);
  sigset_t mask;
  ::pthread_sigmask(SIG_BLOCK, &signals, &mask);
  base::Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) {
    ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    return Status(Code::internal, "signalfd: " + base::errno_text());
  }
  termios input{};
  const bool has_input = ::tcgetattr(STDIN_FILENO, &input) == 0;
  return std::unique_ptr<Terminal>(new Terminal(std::move(fd), has_input ? &input : nullptr, mask));
}

Terminal::Terminal(base::Fd signals, const termios* input, const sigset_t& mask)
    : signals_(std::move(signals)), has_input_(input != nullptr), mask_(mask) {
  if (has_input_) {
    input_ = *input;
    termios raw = input_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  put(kEnter);
}

Terminal::~Terminal() {
  put(kLeave);
  if (has_input_) ::tcsetattr(STDIN_FILENO, TCSANOW, &input_);
  signalfd_siginfo info{};  // What came while we were leaving has been obeyed.
  while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) continue;
  ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
}

Terminal::Size Terminal::size() const {
  winsize window{};
  Size size;
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0) {
    if (window.ws_col > 0) size.columns = window.ws_col;
    if (window.ws_row > 0) size.rows = window.ws_row;
  }
  return size;
}

void Terminal::show(std::string_view page) {
  // Home; every line erases what was behind it; then what was below.
  std::string text = "\x1b[H";
  bool is_first = true;
  while (!page.empty()) {
    const size_t end = std::min(page.find('\n'), page.size());
    if (!is_first) text += "\r\n";
    is_first = false;
    text += std::string(page.substr(0, end)) + "\x1b[K";
    page.remove_prefix(std::min(end + 1, page.size()));
  }
  put(text + "\x1b[J");
}

Terminal::Event Terminal::wait(std::chrono::milliseconds timeout) {
  std::array<pollfd, 2> fds{pollfd{signals_.get(), POLLIN, 0},
                            pollfd{has_input_ ? STDIN_FILENO : -1, POLLIN, 0}};
  if (::poll(fds.data(), fds.size(), static_cast<int>(timeout.count())) <= 0) return Event::timeout;
  signalfd_siginfo info{};
  if ((fds[0].revents & POLLIN) != 0 &&
      ::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
    return info.ssi_signo == SIGWINCH ? Event::resized : Event::quit;
  }
  if (fds[1].revents != 0) {
    char key = 0;
    if (::read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == kCtrlC) {
      return Event::quit;
    }
    return Event::resized;  // Another key: draw again.
  }
  return Event::timeout;
}

}  // namespace phub::hub
