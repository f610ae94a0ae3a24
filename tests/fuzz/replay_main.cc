// Runs a fuzzer's function without libFuzzer: on the files of a corpus, then on mutations of them.
//
//   NAME_replay CORPUS_FOLDER MUTATION_COUNT
//
// The mutations come from one seed, so a failure replays exactly.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
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

std::vector<std::string> read_corpus(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
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

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER MUTATION_COUNT\n", argv[0]);
    return 2;
  }
  const std::vector<std::string> corpus = read_corpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no inputs in %s\n", argv[0], argv[1]);
    return 1;
  }
  run("");
  for (const std::string& input : corpus) run(input);
  const long count = std::atol(argv[2]);
  Random random(1);
  for (long i = 0; i < count; ++i) {
    std::string input = corpus[random.below(corpus.size())];
    for (uint64_t step = random.below(4) + 1; step > 0; --step) mutate(random, corpus, input);
    run(input);
  }
  std::printf("%zu inputs and %ld mutations\n", corpus.size(), count);
}
