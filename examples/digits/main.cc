// digits: trains a small network on handwritten digits, as a worker of a PHub hub or alone.
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "dataset.h"
#include "train_local.h"
#include "train_with_hub.h"

namespace {

constexpr const char* kUsage =
    "usage: digits [--local [--ranks N]] [--epochs N] [--data FILE]\n"
    "\n"
    "Trains a 64-128-10 perceptron on handwritten digits. Without --local it is one of PHUB_SIZE\n"
    "workers of the hub at PHUB_HUB, number PHUB_RANK; start all of them.\n"
    "\n"
    "  --local      train in this process, without a hub\n"
    "  --ranks N    with --local: add the gradients of N shares, as N workers would (1)\n"
    "  --epochs N   passes over the training images (30)\n"
    "  --data FILE  the images (" DIGITS_CSV ")\n";

struct Arguments {
  digits::Options options{.data_path = DIGITS_CSV};
  bool local = false;
  bool help = false;
};

bool parse_count(const char* text, uint32_t& count) {
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, count);
  return error == std::errc() && stop == end && count >= 1 && count <= 1024;
}

// False: an argument is not understood; it is named on standard error.
bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--help" || name == "-h") {
      arguments.help = true;
    } else if (name == "--local") {
      arguments.local = true;
    } else if (name == "--epochs" && parse_count(value, arguments.options.epoch_count)) {
      ++i;
    } else if (name == "--ranks" && parse_count(value, arguments.options.rank_count)) {
      ++i;
    } else if (name == "--data" && *value != 0) {
      arguments.options.data_path = value;
      ++i;
    } else {
      std::fprintf(stderr, "digits: argument \"%s\": unknown, or its value is not 1 to 1024\n%s",
                   argv[i], kUsage);
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) return 2;
  if (arguments.help) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  const auto data = digits::load(arguments.options.data_path, arguments.options.seed);
  phub::Status status = data.status();
  if (data.ok()) {
    status = arguments.local ? digits::train_local(arguments.options, *data)
                             : digits::train_with_hub(arguments.options, *data);
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "digits: %s\n", status.message().c_str());
  return 1;
}
