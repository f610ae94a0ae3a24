#include "phub/phubctl_top.h"

#include <unistd.h>

#include <algorithm>

#include <chrono>
#include <optional>
#include <thread>

#include "base/try.h"
#include "phub/phubctl_client.h"
#include "phub/terminal.h"
#include "phub/top_rates.h"
#include "phub/top_text.h"

namespace phub::hub {
namespace {

using Clock = std::chrono::steady_clock;

// A round in progress waits for somebody all the time; from here on it is worth a line.
constexpr double kLateSeconds = 1;

struct Look {
  CtlReply reply;  // If it failed.
  std::optional<TopSample> sample;
};

Look look_at(const config::CtlCommand& command) {
  Look look;
  look.reply = ask(command, {"GET", "/v1/status", ""});
  if (look.reply.exit != CtlExit::done) return look;
  Result<TopSample> sample = read_sample(look.reply.body);
  if (!sample.ok()) {
    look.reply = {CtlExit::refused, "", hub_text(command) + ": " + sample.status().message()};
    return look;
  }
  for (TopSample::Job& job : sample->jobs) {
    if (job.state != "running") continue;
    const CtlReply late = ask(command, {"GET", "/v1/jobs/" + job.name + "/late", ""});
    if (late.exit != CtlExit::done) continue;  // The job has ended since.
    const auto longest = read_late(late.body, kLateSeconds);
    if (longest.ok()) job.late = *longest;
  }
  look.sample = std::move(*sample);
  return look;
}

CtlResult print_once(const config::CtlCommand& command) {
  const Look before = look_at(command);
  if (!before.sample) return {before.reply.exit, "", before.reply.error};
  std::this_thread::sleep_for(std::chrono::milliseconds(command.interval_ms));
  const Look after = look_at(command);
  if (!after.sample) return {after.reply.exit, "", after.reply.error};
  const TopRates rates = rates_between(*before.sample, *after.sample);
  return {CtlExit::done,
          command.wants_json ? top_json(*after.sample, rates) : top_text(*after.sample, rates), ""};
}

std::string absence_text(const config::CtlCommand& command, const Look& look) {
  return "no hub answers at http " + base::to_text(command.http) + "; trying again\n\n" +
         look.reply.error + "\n";
}

void draw(Terminal& terminal, const std::string& page) {
  const Terminal::Size size = terminal.size();
  const size_t rows = size.rows > 1 ? size.rows - 1 : 1;
  terminal.show(fit(page, size.columns, rows) + fit("q quits", size.columns, 1));
}

// False: somebody has seen enough. Keys and resizing draw the same page again.
bool wait_for_next(Terminal& terminal, const std::string& page, Clock::time_point next) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
    if (left.count() <= 0) return true;
    const Terminal::Event event = terminal.wait(left);
    if (event == Terminal::Event::quit) return false;
    if (event == Terminal::Event::resized) draw(terminal, page);
  }
}

}  // namespace

CtlResult run_top(const config::CtlCommand& command) {
  if (command.is_once || command.wants_json || ::isatty(STDOUT_FILENO) != 1) {
    return print_once(command);
  }
  Look look = look_at(command);
  if (!look.sample) return {look.reply.exit, "", look.reply.error};
  const Result<std::unique_ptr<Terminal>> terminal = Terminal::open();
  if (!terminal.ok()) return {CtlExit::refused, "", "top: " + terminal.status().message()};

  TopSample before = *look.sample;
  std::string page = top_text(before, rates_between(before, before));
  Clock::time_point next = Clock::now();
  while (true) {
    draw(**terminal, page);
    next = std::max(next + std::chrono::milliseconds(command.interval_ms), Clock::now());
    if (!wait_for_next(**terminal, page, next)) return {};
    look = look_at(command);
    if (look.sample) {
      page = top_text(*look.sample, rates_between(before, *look.sample));
      before = std::move(*look.sample);
    } else {
      page = absence_text(command, look);
    }
  }
}

}  // namespace phub::hub
