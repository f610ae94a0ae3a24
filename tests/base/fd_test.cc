// Goal: descriptors are closed once, and events reach whoever polls.
// Method: the kernel is asked whether a descriptor is still open.
#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>

namespace phub::base {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

bool is_readable(int fd) {
  pollfd descriptor{fd, POLLIN, 0};
  return ::poll(&descriptor, 1, 0) == 1;
}

}  // namespace

TEST(FdTest, ClosesOnDestructionAndWhenReplaced) {
  int first = -1, second = -1;
  {
    Fd fd = make_event_fd().value();
    first = fd.get();
    Fd other = make_event_fd().value();
    second = other.get();
    fd = std::move(other);
    EXPECT_FALSE(is_open(first));
    EXPECT_EQ(fd.get(), second);
    EXPECT_FALSE(other.valid());
  }
  EXPECT_FALSE(is_open(second));
}

TEST(FdTest, ReleaseGivesTheDescriptorAway) {
  int number = -1;
  {
    Fd fd = make_event_fd().value();
    number = fd.release();
    EXPECT_FALSE(fd.valid());
  }
  EXPECT_TRUE(is_open(number));
  const Fd closes(number);
}

TEST(FdTest, DuplicateIsTheSameFileAndIsNotInherited) {
  const Fd fd = make_event_fd().value();
  const Fd copy = fd.duplicate().value();
  EXPECT_NE(copy.get(), fd.get());
  EXPECT_TRUE(::fcntl(copy.get(), F_GETFD) & FD_CLOEXEC);
  signal_event(copy.get());
  EXPECT_TRUE(is_readable(fd.get()));
}

TEST(FdTest, DuplicateOfNothingIsAnErrorWithAReason) {
  const Result<Fd> copy = Fd().duplicate();
  ASSERT_FALSE(copy.ok());
  EXPECT_EQ(copy.status().message(), "duplicate descriptor: Bad file descriptor (9)");
}

TEST(FdTest, EventWakesUntilDrained) {
  const Fd fd = make_event_fd().value();
  EXPECT_FALSE(is_readable(fd.get()));
  signal_event(fd.get());
  signal_event(fd.get());
  EXPECT_TRUE(is_readable(fd.get()));
  drain_event(fd.get());
  EXPECT_FALSE(is_readable(fd.get()));
  drain_event(fd.get());  // Does not block.
}

TEST(FdTest, FullEventDoesNotBlockTheSignaller) {
  const Fd fd = make_event_fd().value();
  ASSERT_EQ(::eventfd_write(fd.get(), UINT64_MAX - 1), 0);
  signal_event(fd.get());
  EXPECT_TRUE(is_readable(fd.get()));
}

TEST(FdTest, ErrnoTextNamesTheErrorAndItsNumber) {
  errno = EACCES;
  EXPECT_EQ(errno_text(), "Permission denied (13)");
}

}  // namespace phub::base
