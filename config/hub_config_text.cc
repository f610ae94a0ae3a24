// The configuration as a file, from the table of options: what `phubd --print-config` prints and
// what packages install.
#include <algorithm>

#include "config/hub_config.h"
#include "config/hub_options.h"

namespace phub::config {
namespace {

constexpr size_t kColumnMax = 90;

// As comments, broken between words.
std::string comment(std::string_view text) {
  std::string result;
  std::string line = "#";
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (line.size() + 1 + word.size() > kColumnMax) {
      result += line + "\n";
      line = "#";
    }
    line += " " + std::string(word);
  }
  return result + line + "\n";
}

}  // namespace

std::string hub_config_text(std::span<const HubSetting> settings) {
  std::string text = comment(
      "The configuration of phubd; see phubd.conf(5). An option behind the mark of a comment has "
      "its default. Environment (PHUBD_NAME) and command line (--name) override this file.");
  for (const HubOption& option : hub_options()) {
    const std::string name(option.name);
    const auto set = std::find_if(settings.begin(), settings.end(), [&](const HubSetting& one) {
      return one.name == name && one.text != option.fallback;
    });
    text += "\n" + comment(std::string(option.help) + " (" + std::string(option.argument) + ").");
    text += set == settings.end() ? "#" + name + " = " + std::string(option.fallback) + "\n"
                                  : name + " = " + set->text + "\n";
  }
  return text;
}

}  // namespace phub::config
