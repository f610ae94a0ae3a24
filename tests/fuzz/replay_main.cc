// Runs a fuzzer's function without libFuzzer: on the files of a corpus, on mutations of them, and
// on random bytes.
//
//   NAME_fuzz CORPUS_FOLDER
//
// All from one seed and in a fixed order, so a failure replays exactly.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using phub::base::Random;

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

constexpr int kMutationCount = 20'000;
constexpr uint64_t kRandomBytesMax = 512;

std::vector<std::string> read_corpus(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());  // The folder's own order differs between machines.
  std::vector<std::string> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

// Values that broke parsers before.
const std::string kTokens[] = {
    "-1",
    "0",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "1e99",
    "1e999",
    "null",
    "[]",
    "{}",
    "[[[[[[[[[[[[",
    "\"",
    "\\u00",
    "\xff\xfe",
    "\n",
    std::string(1, '\0'),
    "NaN",
};

void mutate(Random& random, const std::vector<std::string>& corpus, std::string& input) {
  const size_t place = random.below(input.size() + 1);
  switch (random.below(7)) {
    case 0:  // Flip a bit.
      if (place < input.size())
        input[place] = static_cast<char>(input[place] ^ 1 << random.below(8));
      break;
    case 1:  // Any byte.
      if (place < input.size()) input[place] = static_cast<char>(random.next());
      break;
    case 2:  // Cut the end off.
      input.resize(place);
      break;
    case 3:  // Cut a piece out.
      input.erase(place, random.below(16));
      break;
    case 4:  // Repeat a piece.
      input.insert(place, input.substr(random.below(input.size() + 1), random.below(64)));
      break;
    case 5:  // Put a token in, or over what is there.
      input.replace(place, random.below(8), kTokens[random.below(std::size(kTokens))]);
      break;
    case 6: {  // The end of another input.
      const std::string& other = corpus[random.below(corpus.size())];
      input = input.substr(0, place) + other.substr(std::min(other.size(), place));
      break;
    }
  }
}

std::string random_input(Random& random) {
  std::string input(random.below(kRandomBytesMax), ' ');
  for (char& c : input) c = static_cast<char>(random.next());
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> corpus =
      argc == 2 ? read_corpus(argv[1]) : std::vector<std::string>();
  if (corpus.empty()) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER, with files in it\n", argv[0]);
    return 1;
  }
  run("");
  for (const std::string& input : corpus) run(input);
  Random random(1);
  for (int i = 0; i < kMutationCount; ++i) {
    std::string input =
        random.chance(0.1) ? random_input(random) : corpus[random.below(corpus.size())];
    for (uint64_t step = random.below(4) + 1; step > 0; --step) mutate(random, corpus, input);
    run(input);
  }
  std::printf("%zu inputs and %d mutations\n", corpus.size(), kMutationCount);
}
