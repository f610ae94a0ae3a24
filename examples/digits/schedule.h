// What every way of training here has in common: the hyperparameters, which images belong to which
// step and rank, and what is shown on the terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataset.h"
#include "network.h"
#include "random.h"

namespace digits {

struct Options {
  std::string data_path;
  uint32_t epoch_count = 30;
  uint32_t batch_size = 64;  // Images per step, of all ranks together.
  float learning_rate = 0.05f;
  float momentum = 0.9f;
  uint64_t seed = 1;
  // Local training only: the batch is computed in so many shares that are added in rank order, as
  // the hub does; the weights then equal those of so many workers bit for bit.
  uint32_t rank_count = 1;
};

// The order of the images in one epoch: the same in every rank.
inline std::vector<uint32_t> epoch_order(const Options& options, size_t count, uint32_t epoch) {
  return Random(options.seed * 1'000'003 + epoch).permutation(count);
}

// Rank's share of the step's batch; the last batch of an epoch may be short.
inline std::span<const uint32_t> share_of(std::span<const uint32_t> batch, uint32_t rank,
                                          uint32_t rank_count) {
  const size_t begin = batch.size() * rank / rank_count;
  const size_t end = batch.size() * (rank + 1) / rank_count;
  return batch.subspan(begin, end - begin);
}

// "epoch  5 of 30   loss 0.1234   test accuracy 96.9 %"; every fifth epoch, the first and the last.
void show_epoch(const Options& options, uint32_t epoch, double mean_loss, const Tensors& weights,
                const Dataset& test);
// The last line: test accuracy and the checksum of the weights.
void show_result(const std::string& who, const Tensors& weights, const Dataset& test);

}  // namespace digits
