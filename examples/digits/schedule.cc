#include "schedule.h"

#include <cinttypes>
#include <cstdio>

namespace digits {

void show_epoch(const Options& options, uint32_t epoch, double mean_loss, const Tensors& weights,
                const Dataset& test) {
  if (epoch != 1 && epoch % 5 != 0 && epoch != options.epoch_count) return;
  std::printf("epoch %3u of %u   loss %.4f   test accuracy %.1f %%\n", epoch, options.epoch_count,
              mean_loss, accuracy(weights, test) * 100);
  std::fflush(stdout);
}

void show_result(const std::string& who, const Tensors& weights, const Dataset& test) {
  std::printf("%s: test accuracy %.2f %% of %zu images, weights %016" PRIx64 "\n", who.c_str(),
              accuracy(weights, test) * 100, test.size(), checksum(weights));
}

}  // namespace digits
