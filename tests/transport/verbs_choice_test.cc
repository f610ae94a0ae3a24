// Goal: what the verbs fabric chooses for a device suits the device: windows, paths, which devices
// are used at all.
// Method: devices and ranges described by hand; none is opened and no memory is touched.
#include <gtest/gtest.h>

#include "transport/verbs_memory.h"

namespace phub::transport {
namespace {

std::span<std::byte> range_of(size_t bytes) {
  return {reinterpret_cast<std::byte*>(uint64_t{1} << 40), bytes};
}

TEST(VerbsWindowTest, OneRangeOfAtMostTwoGibibytesIsOpenedByAWindow) {
  const std::vector<std::span<std::byte>> most = {range_of(size_t{2} << 30)};
  const std::vector<std::span<std::byte>> more = {range_of((size_t{2} << 30) + 1)};
  const std::vector<std::span<std::byte>> two = {range_of(64), range_of(64)};
  EXPECT_TRUE(fits_window(most));
  EXPECT_FALSE(fits_window(more));
  EXPECT_FALSE(fits_window(two));
  EXPECT_FALSE(fits_window({}));
}

}  // namespace
}  // namespace phub::transport
