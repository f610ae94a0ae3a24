#include "config/ctl_config.h"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>

#include "base/try.h"
#include "config/hub_config.h"
#include "config/quantity.h"
#include "config/token_file.h"

namespace phub::config {
namespace {

namespace po = boost::program_options;

struct VerbRow {
  CtlVerb verb;
  std::string_view name;
  std::string_view argument;  // Empty: the verb takes none. In brackets: it may be left out.
  std::string_view help;
};
constexpr std::array kVerbs{
    VerbRow{CtlVerb::status, "status", "", "the hub, its shards and jobs"},
    VerbRow{CtlVerb::jobs, "jobs", "", "the jobs"},
    VerbRow{CtlVerb::job, "job", "NAME", "one job and its ranks"},
    VerbRow{CtlVerb::map, "map", "[NAME]",
            "a job's map: chunk, shard, NIC, queue pair; without NAME: of --machine"},
    VerbRow{CtlVerb::late, "late", "NAME", "who is late on what, since when"},
    VerbRow{CtlVerb::create, "create", "NAME", "create a job of --ranks N; prints its secret"},
    VerbRow{CtlVerb::remove, "remove", "NAME", "end a job; its ranks get an error"},
    VerbRow{CtlVerb::drain, "drain", "", "take no new jobs; end with the last one"},
    VerbRow{CtlVerb::undrain, "undrain", "", "cancel the drain: take jobs and ranks again"},
    VerbRow{CtlVerb::stop, "stop", "", "end the hub now; all ranks get an error"},
    VerbRow{CtlVerb::reload, "reload", "", "read phubd's configuration again; print what changed"},
    VerbRow{CtlVerb::log_level, "log-level", "[LEVEL]",
            "what is logged; or change it, until a reload"},
    VerbRow{CtlVerb::top, "top", "", "jobs and shards, refreshed: who is fast, busy, late"},
    VerbRow{CtlVerb::doctor, "doctor", "", "is this machine fit for a hub or a worker? with fixes"},
    VerbRow{CtlVerb::version, "version", "", "versions of phubctl and of the hub"},
    VerbRow{CtlVerb::metrics, "metrics", "", "what Prometheus would scrape"},
    VerbRow{CtlVerb::plan, "plan", "", "map and memory of a model on a machine, without a hub"},
};

struct OptionRow {
  const char* name;
  std::string_view argument;  // Empty: a switch. "[=X]": a switch that may carry a value.
  std::string_view help;
};
constexpr std::array kOptions{
    OptionRow{"http", "HOST:PORT", "the hub's HTTP address (default: PHUB_HTTP, 127.0.0.1:7070)"},
    OptionRow{"token-file", "FILE", "the hub's admin token"},
    OptionRow{"json", "", "print JSON as the hub sent it"},
    OptionRow{"wait", "[=TIME]", "drain: return when the hub has ended, or after TIME"},
    OptionRow{"interval", "TIME", "top: from one refresh to the next (default: 1s)"},
    OptionRow{"once", "", "top: print one table and end, as it does into a pipe"},
    OptionRow{"hub", "URI",
              "doctor: try to reach the hub, or each of a list, at SCHEME://HOST:PORT, shm://PATH "
              "or HOST:PORT (default: PHUB_HUB)"},
    OptionRow{"ranks", "N", "create, plan: ranks of the job"},
    OptionRow{"chunk-elements", "N", "create, plan: elements of a chunk (default: 8192)"},
    OptionRow{"secret-file", "FILE", "create: the job's secret (default: the hub makes one)"},
    OptionRow{"model", "FILE.csv", "plan: lines of tensor_name,element_count"},
    OptionRow{"elements", "N", "plan: one tensor of N elements"},
    OptionRow{
        "machine", "TEXT",
        "plan, map: a machine that is not this one: hwloc's text, such as 'pack:2 core:14', or "
        "the path of what lstopo --of xml wrote there"},
    OptionRow{"shards", "N", "plan: shards (default: 1; of --machine: every core)"},
    OptionRow{"hubs", "N", "plan: hubs of the job, all alike (default: 1)"},
    OptionRow{"nics", "N",
              "plan: NICs, spread over the sockets (default: 0; of --machine: its RDMA devices)"},
    OptionRow{"sockets", "N", "plan: sockets, a NUMA node each (default: 1)"},
    OptionRow{"type", "TYPE", "plan: fp32, fp16, bf16, fp64, int32 or int64 (default: fp32)"},
    OptionRow{"optimizer", "KIND", "plan: none, sgd, momentum, nesterov, adam or adamw"},
    OptionRow{"chunks", "", "plan: print every chunk"},
    OptionRow{"help", "", "print this"},
};

Status invalid(std::string message) { return Status(Code::invalid_argument, std::move(message)); }

Result<po::variables_map> parse(std::span<const std::string> arguments) {
  po::options_description description;
  for (const OptionRow& option : kOptions) {
    if (option.argument.empty()) description.add_options()(option.name, "");
    if (option.argument.starts_with('[')) {
      description.add_options()(option.name, po::value<std::string>()->implicit_value(""));
    } else if (!option.argument.empty()) {
      description.add_options()(option.name, po::value<std::string>());
    }
  }
  description.add_options()("words", po::value<std::vector<std::string>>());
  po::positional_options_description words;
  words.add("words", -1);
  po::variables_map values;
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  try {
    po::store(po::command_line_parser(std::vector<std::string>(arguments.begin(), arguments.end()))
                  .options(description)
                  .positional(words)
                  .style(style)
                  .run(),
              values);
  } catch (const po::error& error) {
    return invalid("command line: " + std::string(error.what()) + "; see phubctl --help");
  }
  return values;
}

// The option's text; empty if it is not there.
std::string text_of(const po::variables_map& values, const char* name) {
  return values.contains(name) ? values[name].as<std::string>() : "";
}

template <typename T>
Status read_number(const po::variables_map& values, const char* name, uint64_t minimum,
                   uint64_t maximum, T& number) {
  if (!values.contains(name)) return Status();
  const std::string text = text_of(values, name);
  const Result<uint64_t> result = parse_number(text, minimum, maximum);
  if (!result.ok()) {
    return invalid("--" + std::string(name) + " = " + text + " " + result.status().message());
  }
  number = static_cast<T>(*result);
  return Status();
}

// The enumerator whose name is the option's text. REQUIRES: enumerators 0 to `last`.
template <typename T>
Status read_name(const po::variables_map& values, const char* name, T last, T& value) {
  if (!values.contains(name)) return Status();
  const std::string text = text_of(values, name);
  std::string names;
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    const T candidate = static_cast<T>(i);
    if (phub::to_string(candidate) == text) {
      value = candidate;
      return Status();
    }
    names += (i == 0 ? "" : ", ") + std::string(phub::to_string(candidate));
  }
  return invalid("--" + std::string(name) + " = " + text + " is none of " + names);
}

Status read_plan(const po::variables_map& values, CtlPlan& plan) {
  plan.model_file = text_of(values, "model");
  plan.wants_chunks = values.contains("chunks");
  plan.machine = text_of(values, "machine");
  if (!plan.machine.empty()) plan.shards = 0;
  PHUB_TRY(read_number(values, "elements", 1, uint64_t{1} << 40, plan.elements));
  PHUB_TRY(read_number(values, "ranks", 1, kRankCountMax, plan.rank_count));
  PHUB_TRY(read_number(values, "chunk-elements", 64, 4'194'304, plan.chunk_elements));
  PHUB_TRY(read_number(values, "shards", 1, 1024, plan.shards));
  PHUB_TRY(read_number(values, "hubs", 1, 256, plan.hubs));
  PHUB_TRY(read_number(values, "nics", 0, 64, plan.nics));
  PHUB_TRY(read_number(values, "sockets", 1, 64, plan.sockets));
  PHUB_TRY(read_name(values, "type", DataType::int64, plan.type));
  PHUB_TRY(read_name(values, "optimizer", OptimizerKind::adamw, plan.optimizer));
  if (plan.chunk_elements % 64 != 0) {
    return invalid("--chunk-elements = " + std::to_string(plan.chunk_elements) +
                   " is not a multiple of 64");
  }
  return Status();
}

Status check_plan(const CtlPlan& plan) {
  if (plan.rank_count == 0) return invalid("plan: give --ranks N");
  if (plan.model_file.empty() == (plan.elements == 0)) {
    return invalid("plan: give either --model FILE.csv or --elements N");
  }
  if (!plan.machine.empty()) {
    if (plan.sockets == 1) return Status();
    return invalid("--sockets = " + std::to_string(plan.sockets) +
                   ", but --machine says what the machine is like; leave one of them out");
  }
  if (plan.sockets > plan.shards) {
    return invalid("--sockets = " + std::to_string(plan.sockets) + ", but there are " +
                   std::to_string(plan.shards) + " shards; each socket wants one at least");
  }
  return Status();
}

// A map needs no hub where the machine is described; nor ranks, which it does not depend on.
Status take_map_for_plan(CtlCommand& command) {
  if (command.verb != CtlVerb::map || !command.job.empty()) return Status();
  if (command.plan.machine.empty()) {
    return invalid("map: give the job's NAME, or --machine and --model for one that is not there");
  }
  command.verb = CtlVerb::plan;
  command.plan.wants_chunks = true;
  command.plan.rank_count = std::max(command.plan.rank_count, 1u);
  return Status();
}

struct Given {
  std::string text;   // Empty: not given.
  std::string place;  // "--http" or "PHUB_HTTP".
};

// An option that a variable of the environment may give as well; the command line wins.
Given given(const po::variables_map& values, const char* name,
            std::span<const std::string> environment, const std::string& variable) {
  if (values.contains(name)) return {text_of(values, name), "--" + std::string(name)};
  for (const std::string& entry : environment) {
    if (entry.starts_with(variable + "=")) return {entry.substr(variable.size() + 1), variable};
  }
  return {};
}

Status read_addresses(const po::variables_map& values, std::span<const std::string> environment,
                      CtlCommand& command) {
  command.hub = given(values, "hub", environment, "PHUB_HUB").text;
  const Given http = given(values, "http", environment, "PHUB_HTTP");
  if (http.text.empty()) return Status();
  const Result<base::HostPort> address = base::parse_host_port(http.text);
  if (!address.ok()) {
    return invalid(http.place + " = " + http.text + " " + address.status().message() +
                   "; want HOST:PORT, for example 127.0.0.1:7070");
  }
  command.http = *address;
  command.is_http_given = true;
  return Status();
}

Status read_time(const po::variables_map& values, const char* name, uint64_t minimum_ms,
                 uint64_t maximum_ms, uint64_t& ms) {
  const std::string text = text_of(values, name);
  if (text.empty()) return Status();
  const Result<uint64_t> us = parse_duration_us(text);
  const std::string what = "--" + std::string(name) + " = " + text;
  if (!us.ok()) return invalid(what + " " + us.status().message());
  if (*us < minimum_ms * 1000 || *us > maximum_ms * 1000) {
    return invalid(what + " is out of range; use " + print_duration_us(minimum_ms * 1000) + " to " +
                   print_duration_us(maximum_ms * 1000));
  }
  ms = *us / 1000;
  return Status();
}

// What drain and top are told.
Status read_watching(const po::variables_map& values, CtlCommand& command) {
  command.wants_wait = values.contains("wait");
  command.is_once = values.contains("once");
  if (!text_of(values, "wait").empty()) {
    PHUB_TRY(read_time(values, "wait", 1, 7 * 86'400'000, command.wait_ms.emplace()));
  }
  PHUB_TRY(read_time(values, "interval", 100, 3'600'000, command.interval_ms));
  if (command.wants_wait && command.verb != CtlVerb::drain) {
    return invalid("--wait is for drain");
  }
  return Status();
}

// "status", or "job NAME": exactly as many words as the verb wants.
Status read_words(const std::vector<std::string>& words, CtlCommand& command) {
  if (words.empty()) return invalid("give a verb, for example `phubctl status`; see --help");
  for (const VerbRow& row : kVerbs) {
    if (row.name != words[0]) continue;
    const size_t wanted = row.argument.empty() ? 1 : 2;
    command.verb = row.verb;
    if (words.size() == 1 && row.argument.starts_with('[')) return Status();
    if (words.size() < wanted) {
      return invalid(words[0] + ": give the job's " + std::string(row.argument));
    }
    if (words.size() > wanted) {
      return invalid(words[0] + ": \"" + words[wanted] + "\" is one word too many");
    }
    if (wanted == 2) command.job = words[1];
    return Status();
  }
  return invalid("\"" + words[0] + "\" is no verb; see phubctl --help");
}

bool is_job_name(std::string_view name) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  return !name.empty() && name.size() <= 64 &&
         name.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace

std::string_view to_string(CtlVerb verb) {
  for (const VerbRow& row : kVerbs) {
    if (row.verb == verb) return row.name;
  }
  return "help";
}

Result<CtlCommand> parse_ctl_command(std::span<const std::string> arguments,
                                     std::span<const std::string> environment) {
  PHUB_TRY_ASSIGN(const po::variables_map values, parse(arguments));
  CtlCommand command;
  if (values.contains("help")) return command;
  std::vector<std::string> words;
  if (values.contains("words")) words = values["words"].as<std::vector<std::string>>();
  PHUB_TRY(read_words(words, command));
  if (command.verb == CtlVerb::log_level && words.size() == 2) {
    const Result<base::LogLevel> level = parse_log_level(words[1]);
    if (!level.ok()) return invalid("log-level: " + words[1] + level.status().message());
    command.log_level = *level;
  } else if (words.size() == 2 && !is_job_name(command.job)) {
    return invalid("job name \"" + command.job + "\": want 1 to 64 of [A-Za-z0-9._-]");
  }
  PHUB_TRY(read_addresses(values, environment, command));
  PHUB_TRY(read_watching(values, command));
  PHUB_TRY(read_plan(values, command.plan));
  command.wants_json = values.contains("json");
  if (values.contains("token-file")) {
    PHUB_TRY_ASSIGN(command.token, read_token_file(text_of(values, "token-file")));
  }
  if (values.contains("secret-file")) {
    PHUB_TRY_ASSIGN(command.secret, read_token_file(text_of(values, "secret-file"), "secret file"));
  }
  if (command.verb == CtlVerb::create && command.plan.rank_count == 0) {
    return invalid("create: give --ranks N");
  }
  PHUB_TRY(take_map_for_plan(command));
  if (command.verb == CtlVerb::plan) PHUB_TRY(check_plan(command.plan));
  return command;
}

std::string ctl_usage() {
  const auto row = [](std::string left, std::string_view help) {
    left.resize(std::max<size_t>(left.size() + 2, 26), ' ');
    return left + std::string(help) + "\n";
  };
  std::string text = "phubctl VERB [NAME] [OPTIONS]: ask a hub, or change what it does\n\nVerbs\n";
  for (const VerbRow& verb : kVerbs) {
    text += row("  " + std::string(verb.name) + " " + std::string(verb.argument), verb.help);
  }
  text += "\nOptions\n";
  for (const OptionRow& option : kOptions) {
    text +=
        row("  --" + std::string(option.name) + " " + std::string(option.argument), option.help);
  }
  return text +
         "\nExit status: 0 done, 1 the hub refused or doctor found a problem, 2 wrong command "
         "line,\n"
         "3 no hub there, 4 drain --wait: the time was up\n";
}

}  // namespace phub::config
