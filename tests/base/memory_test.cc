// Goal: memory comes zeroed and aligned, a sealed memfd keeps its size, and what could raise SIGBUS
// is refused.
// Method: memfds with and without seals, other kinds of files, two mappings of one file.
#include "base/memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace phub::base {
namespace {

constexpr size_t kBytes = 3 * 4096;

bool is_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

TEST(MemoryTest, AlignUpRoundsToTheNextMultiple) {
  EXPECT_EQ(align_up(0, 64), 0u);
  EXPECT_EQ(align_up(1, 64), 64u);
  EXPECT_EQ(align_up(64, 64), 64u);
  EXPECT_EQ(align_up(65, 64), 128u);
}

TEST(MemoryTest, AnonymousMemoryIsZeroedAndPageAligned) {
  const Mapping mapping = Mapping::anonymous(kBytes).value();
  EXPECT_EQ(mapping.size(), kBytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(mapping.data()) % 4096, 0u);
  EXPECT_TRUE(is_zero(mapping.bytes()));
}

TEST(MemoryTest, NothingIsMappedForZeroBytes) {
  EXPECT_EQ(Mapping::anonymous(0).value().data(), nullptr);
  EXPECT_EQ(Mapping::shared(-1, 0).value().data(), nullptr);
}

TEST(MemoryTest, RefusedMemoryIsAnErrorThatSaysHowMuch) {
  const Result<Mapping> mapping = Mapping::anonymous(size_t{1} << 60);
  ASSERT_FALSE(mapping.ok());
  EXPECT_EQ(mapping.status().code(), Code::resource_exhausted);
  EXPECT_NE(mapping.status().message().find("1152921504606846976"), std::string::npos);
}

TEST(MemoryTest, MovedMappingIsUnmappedOnce) {
  Mapping first = Mapping::anonymous(kBytes).value();
  std::byte* const data = first.data();
  Mapping second = std::move(first);
  EXPECT_EQ(first.data(), nullptr);
  EXPECT_EQ(second.data(), data);
  second = Mapping();
  unsigned char resident = 0;
  EXPECT_EQ(::mincore(data, 4096, &resident), -1) << "still mapped";
}

TEST(MemoryTest, TwoMappingsOfOneMemfdShowTheSameBytes) {
  const Fd fd = make_sealed_memfd("test", kBytes).value();
  const Mapping one = Mapping::shared(fd.get(), kBytes).value();
  const Mapping two = Mapping::shared(fd.get(), kBytes).value();
  EXPECT_TRUE(is_zero(two.bytes()));
  one.data()[5000] = std::byte{42};
  EXPECT_EQ(two.data()[5000], std::byte{42});
}

TEST(MemoryTest, SealedMemfdCannotChangeItsSize) {
  const Fd fd = make_sealed_memfd("test", kBytes).value();
  EXPECT_EQ(::ftruncate(fd.get(), 4096), -1);
  EXPECT_EQ(::ftruncate(fd.get(), kBytes * 2), -1);
  EXPECT_TRUE(check_sealed_memfd(fd.get(), kBytes).ok());
  EXPECT_TRUE(check_sealed_memfd(fd.get(), 1).ok());
}

TEST(MemoryTest, MemfdThatMayShrinkIsRefused) {
  const Fd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(fd.get(), kBytes), 0);
  ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW), 0);
  const Status status = check_sealed_memfd(fd.get(), kBytes);
  EXPECT_EQ(status.code(), Code::permission_denied);
  EXPECT_NE(status.message().find("not sealed against shrinking"), std::string::npos);
}

TEST(MemoryTest, ShorterMemfdThanAnnouncedIsRefusedWithBothNumbers) {
  const Fd fd = make_sealed_memfd("test", kBytes).value();
  EXPECT_EQ(check_sealed_memfd(fd.get(), kBytes + 1).message(),
            "shared memory has 12288 bytes, but 12289 were announced");
  EXPECT_FALSE(check_sealed_memfd(fd.get(), SIZE_MAX).ok());
}

TEST(MemoryTest, OtherFilesAreRefused) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const Fd reader(ends[0]), writer(ends[1]);
  char name[] = "/tmp/phub-memory-test-XXXXXX";
  const Fd file(::mkstemp(name));
  ::unlink(name);
  ASSERT_EQ(::ftruncate(file.get(), kBytes), 0);
  for (const int fd : {reader.get(), file.get(), -1}) {
    EXPECT_EQ(check_sealed_memfd(fd, 1).code(), Code::permission_denied);
  }
}

}  // namespace phub::base
