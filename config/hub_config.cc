#include "config/hub_config.h"

#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <fstream>
#include <map>
#include <sstream>

#include "base/thread.h"
#include "base/try.h"
#include "config/hub_options.h"
#include "config/quantity.h"

namespace phub::config {
namespace {

namespace po = boost::program_options;

constexpr size_t kFileBytesMax = 64 << 10;
constexpr std::string_view kEnvironmentPrefix = "PHUBD_";

// One `name = value` and where it was written: "rack8.conf:3: shards", "--shards", "PHUBD_SHARDS".
struct Setting {
  std::string name;
  std::string value;
  std::string place;
};

Status invalid(std::string message) { return Status(Code::invalid_argument, std::move(message)); }

std::string replaced(std::string_view text, char from, char to) {
  std::string result(text);
  std::replace(result.begin(), result.end(), from, to);
  return result;
}

po::options_description describe(char separator) {
  po::options_description description("Options");
  for (const HubOption& option : hub_options()) {
    const std::string name = replaced(option.name, '_', separator);
    description.add_options()(name.c_str(), po::value<std::string>());
  }
  return description;
}

// Program options says what it does not know; everything it knows is one string.
Result<std::vector<Setting>> parse_arguments(std::span<const std::string> arguments) {
  po::options_description description = describe('-');
  description.add_options()("help,h", "")("version", "")("print-config", "")(
      "config", po::value<std::string>())("ready-fd", po::value<std::string>());
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  std::vector<Setting> settings;
  try {
    const po::positional_options_description no_positionals;
    const auto parsed =
        po::command_line_parser(std::vector<std::string>(arguments.begin(), arguments.end()))
            .options(description)
            .positional(no_positionals)
            .style(style)
            .run();
    for (const auto& option : parsed.options) {
      const std::string name = replaced(option.string_key, '-', '_');
      settings.push_back(
          {name, option.value.empty() ? "" : option.value[0], "--" + option.string_key});
    }
  } catch (const po::error& error) {
    return invalid("command line: " + std::string(error.what()) + "; see --help");
  }
  return settings;
}

Result<std::vector<Setting>> parse_environment(std::span<const std::string> environment) {
  std::vector<Setting> settings;
  for (const std::string& variable : environment) {
    if (!variable.starts_with(kEnvironmentPrefix)) continue;
    const size_t equals = variable.find('=');
    if (equals == std::string::npos) continue;
    std::string name =
        variable.substr(kEnvironmentPrefix.size(), equals - kEnvironmentPrefix.size());
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const std::string place = variable.substr(0, equals);
    if (name != "config" && find_hub_option(name) == nullptr) {
      return invalid("environment: " + place + " is no option of phubd; see --help");
    }
    settings.push_back({name, variable.substr(equals + 1), place});
  }
  return settings;
}

// One line at a time, because program options does not say in which line an error is.
Result<std::vector<Setting>> parse_file(std::string_view text, const std::string& path) {
  const po::options_description description = describe('_');
  std::vector<Setting> settings;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    const std::string place = path + ":" + std::to_string(number) + ": ";
    const size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string::npos && line[first] == '[') {
      return invalid(place + "sections are not supported; write NAME = VALUE lines only");
    }
    try {
      std::istringstream one_line(line);
      for (const auto& option : po::parse_config_file(one_line, description).options) {
        settings.push_back({option.string_key, option.value.empty() ? "" : option.value[0],
                            place + option.string_key});
      }
    } catch (const po::unknown_option& error) {
      return invalid(place + "unknown option \"" + error.get_option_name() +
                     "\"; see phubd --help for all");
    } catch (const po::error&) {
      return invalid(place + "not NAME = VALUE");
    }
  }
  return settings;
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status(Code::not_found, "configuration file " + path + ": cannot be opened");
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kFileBytesMax) {
    return invalid("configuration file " + path + ": longer than " + print_bytes(kFileBytesMax));
  }
  return text;
}

HubConfig defaults(const Machine& machine) {
  HubConfig config;
  config.shards = machine.core_count;
  config.memory_limit_bytes = machine.memory_bytes / 2;
  return config;
}

using Settings = std::map<std::string, Setting>;  // By name.

// Checks the settings of one source and adds them to those of earlier sources, which they override.
// An option that is set to its default is as good as not set.
Status add(const std::vector<Setting>& source, const Machine& machine, Settings& settings) {
  HubConfig checked;
  std::map<std::string, std::string> seen;
  for (const Setting& setting : source) {
    const HubOption* const option = find_hub_option(setting.name);
    if (option == nullptr) continue;  // The program's own: --help, --config.
    if (const auto [first, is_new] = seen.emplace(setting.name, setting.place); !is_new) {
      return invalid(setting.place + " is given twice, first as " + first->second + "; remove one");
    }
    if (setting.value == option->fallback) {
      settings.erase(setting.name);
      continue;
    }
    const Status status = option->apply(setting.value, machine, checked);
    if (!status.ok()) {
      return Status(status.code(), setting.place + " = " + setting.value + status.message());
    }
    settings.insert_or_assign(setting.name, setting);
  }
  return Status();
}

// An operator who gives certificates believes that they are used.
Status check_tls(const Settings& settings, const HubConfig& config) {
  const bool has_address = config.listen.find("tls://") != std::string::npos;
  if (has_address && (config.tls_cert.empty() || config.tls_key.empty())) {
    return invalid("listen = " + config.listen +
                   ", but TLS needs a certificate and its key; set tls_cert and tls_key");
  }
  for (const char* const name : {"tls_cert", "tls_key", "tls_client_ca"}) {
    if (has_address || !settings.contains(name)) continue;
    return invalid(settings.at(name).place + " is set, but listen = " + config.listen +
                   " has no tls://HOST:PORT; add one, or remove the option");
  }
  return Status();
}

// What the settings come to, alone and together.
Result<HubConfig> resolve(const Machine& machine, const Settings& settings) {
  HubConfig config = defaults(machine);
  for (const auto& [name, setting] : settings) {
    PHUB_TRY(find_hub_option(name)->apply(setting.value, machine, config));
  }
  if (!settings.contains("job_memory_limit")) {
    config.job_memory_limit_bytes = config.memory_limit_bytes;
  }
  if (config.job_memory_limit_bytes > config.memory_limit_bytes) {
    return invalid(settings.at("job_memory_limit").place + " = " +
                   print_bytes(config.job_memory_limit_bytes) +
                   ", but memory_limit, for all jobs together, is " +
                   print_bytes(config.memory_limit_bytes) + "; use less or raise memory_limit");
  }
  PHUB_TRY(check_tls(settings, config));
  PHUB_TRY(check_device_options(config.devices));
  const uint32_t ports = config.port_first == 0 ? 0 : config.port_last - config.port_first + 1u;
  if (ports != 0 && ports < config.shards) {
    return invalid(settings.at("port_range").place + " = " + settings.at("port_range").value +
                   " has " + std::to_string(ports) + (ports == 1 ? " port" : " ports") +
                   ", but each of the " + std::to_string(config.shards) +
                   " shards listens at one of its own; widen it, or use fewer shards");
  }
  const bool are_workers_here = config.listen.find("shm://") != std::string::npos;
  config.is_pinned =
      config.pin == Pinning::on || (config.pin == Pinning::automatic &&
                                    (!are_workers_here || config.shards < machine.core_count));
  return config;
}

}  // namespace

std::string_view to_string(StorePolicy policy) {
  switch (policy) {
    case StorePolicy::automatic:
      return "auto";
    case StorePolicy::ordinary:
      return "ordinary";
    case StorePolicy::non_temporal:
      return "non_temporal";
  }
  return "unknown";
}

Machine this_machine() {
  struct sysinfo facts {};
  const uint64_t memory =
      ::sysinfo(&facts) == 0 ? uint64_t{facts.totalram} * facts.mem_unit : uint64_t{1} << 30;
  return {static_cast<uint32_t>(base::allowed_cores().size()), memory};
}

Result<HubConfig> parse_hub_file(std::string_view text, const std::string& path,
                                 const Machine& machine) {
  Settings settings;
  PHUB_TRY_ASSIGN(const std::vector<Setting> from_file, parse_file(text, path));
  PHUB_TRY(add(from_file, machine, settings));
  return resolve(machine, settings);
}

Result<HubCommand> parse_hub_command(std::span<const std::string> arguments,
                                     std::span<const std::string> environment,
                                     const Machine& machine) {
  PHUB_TRY_ASSIGN(const std::vector<Setting> from_arguments, parse_arguments(arguments));
  PHUB_TRY_ASSIGN(const std::vector<Setting> from_environment, parse_environment(environment));

  HubCommand command;
  std::string config_path;
  for (const auto* settings : {&from_environment, &from_arguments}) {
    for (const Setting& setting : *settings) {
      if (setting.name == "config") config_path = setting.value;
      if (setting.name == "help") command.wants_help = true;
      if (setting.name == "version") command.wants_version = true;
      if (setting.name == "print_config") command.wants_config = true;
      if (setting.name == "ready_fd") {
        const Result<uint64_t> fd = parse_number(setting.value, 0, 1 << 20);
        if (!fd.ok()) {
          return invalid("--ready-fd = " + setting.value + " " + fd.status().message());
        }
        command.ready_fd = static_cast<int>(*fd);
      }
    }
  }
  command.config = defaults(machine);
  if (command.wants_help || command.wants_version) return command;

  Settings settings;
  if (!config_path.empty()) {
    PHUB_TRY_ASSIGN(const std::string text, read_file(config_path));
    PHUB_TRY_ASSIGN(const std::vector<Setting> from_file, parse_file(text, config_path));
    PHUB_TRY(add(from_file, machine, settings));
  }
  PHUB_TRY(add(from_environment, machine, settings));
  PHUB_TRY(add(from_arguments, machine, settings));
  PHUB_TRY_ASSIGN(command.config, resolve(machine, settings));
  for (const HubOption& option : hub_options()) {
    const auto set = settings.find(std::string(option.name));
    command.settings.push_back(
        {std::string(option.name),
         set == settings.end() ? std::string(option.fallback) : set->second.value,
         option.can_reload});
  }
  return command;
}

std::string hub_options_text() {
  std::string text;
  for (const HubOption& option : hub_options()) {
    std::string left =
        "  --" + replaced(option.name, '_', '-') + " " + std::string(option.argument);
    left.resize(std::max<size_t>(left.size() + 2, 40), ' ');
    text += left + std::string(option.help) + " (default: " + std::string(option.fallback) +
            (option.can_reload ? "; SIGHUP)\n" : ")\n");
  }
  return text;
}

std::vector<std::string> this_environment() {
  std::vector<std::string> environment;
  for (char** variable = ::environ; *variable != nullptr; ++variable) {
    environment.emplace_back(*variable);
  }
  return environment;
}

}  // namespace phub::config
