#include "perf/board.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <ctime>

#include "base/clock.h"
#include "base/try.h"

namespace phub::perf {
namespace {

constexpr uint32_t kMagic = 0x50485042;
constexpr std::chrono::milliseconds kSpin{2};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

void futex_wait(std::atomic<uint32_t>& word, uint32_t value) {
  const timespec patience{0, 100'000'000};  // A tenth of a second: then look at `failed` again.
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT, value, &patience, nullptr, 0);
}

void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

struct Board::Header {
  uint32_t magic;
  uint32_t rank_count;
  uint32_t round_count;
  alignas(64) std::atomic<uint32_t> arrived;
  std::atomic<uint32_t> generation;
  std::atomic<uint32_t> failed;
  std::atomic<uint32_t> resumed;  // The last stop that the parent let go.
  std::atomic<uint32_t> paused;   // Ranks that came to a stop, over all stops.
  std::atomic<uint64_t> wrong;
};

Board::Board(std::string path, bool is_owner, base::Mapping memory)
    : path_(std::move(path)), is_owner_(is_owner), memory_(std::move(memory)) {}

Board::Board(Board&& other) noexcept
    : path_(std::move(other.path_)),
      is_owner_(std::exchange(other.is_owner_, false)),
      memory_(std::move(other.memory_)) {}

Board::~Board() {
  if (is_owner_) unlink(path_.c_str());
}

Result<Board> Board::create(uint32_t rank_count, uint32_t round_count) {
  static std::atomic<uint32_t> serial{0};
  const std::string path =
      "/dev/shm/phub-perf-" + std::to_string(getpid()) + "-" + std::to_string(++serial);
  base::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const size_t bytes = sizeof(Header) + sizeof(uint64_t) * rank_count * round_count;
  if (!fd.valid() || ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    return Status(Code::resource_exhausted, "create board " + path + ": " + base::errno_text());
  }
  PHUB_TRY_ASSIGN(base::Mapping memory, base::Mapping::shared(fd.get(), bytes));
  Board board(path, true, std::move(memory));
  Header& header = board.header();
  header.magic = kMagic;
  header.rank_count = rank_count;
  header.round_count = round_count;
  return board;
}

Result<Board> Board::open(const std::string& path) {
  base::Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  struct stat info = {};
  if (!fd.valid() || fstat(fd.get(), &info) != 0) {
    return Status(Code::not_found, "open board " + path + ": " + base::errno_text());
  }
  const size_t bytes = static_cast<size_t>(info.st_size);
  const Status not_a_board(Code::invalid_argument, path + " is not a board of phub-perf");
  if (bytes < sizeof(Header)) return not_a_board;
  PHUB_TRY_ASSIGN(base::Mapping memory, base::Mapping::shared(fd.get(), bytes));
  Board board(path, false, std::move(memory));
  const Header& header = board.header();
  const uint64_t cells = uint64_t{header.rank_count} * header.round_count;
  if (header.magic != kMagic || bytes != sizeof(Header) + sizeof(uint64_t) * cells) {
    return not_a_board;
  }
  return board;
}

Board::Header& Board::header() const { return *reinterpret_cast<Header*>(memory_.data()); }
uint32_t Board::rank_count() const { return header().rank_count; }
uint32_t Board::round_count() const { return header().round_count; }

std::atomic<uint64_t>& Board::cell(uint32_t rank, uint32_t round) const {
  auto* const cells = reinterpret_cast<std::atomic<uint64_t>*>(memory_.data() + sizeof(Header));
  return cells[size_t{rank} * header().round_count + round];
}

Status Board::barrier(std::chrono::nanoseconds timeout) {
  Header& shared = header();
  const uint32_t generation = shared.generation.load();
  if (shared.arrived.fetch_add(1) + 1 == shared.rank_count) {
    shared.arrived.store(0);
    shared.generation.store(generation + 1);
    futex_wake(shared.generation);
    return Status();
  }
  const base::Instant start = base::now();
  while (shared.generation.load() == generation) {
    if (shared.failed.load() != 0) return Status(Code::aborted, "another rank failed");
    const std::chrono::nanoseconds waited = base::now() - start;
    if (waited > timeout) return Status(Code::timed_out, "a rank did not come to the barrier");
    if (waited > kSpin) {
      futex_wait(shared.generation, generation);
    } else {
      sched_yield();
    }
  }
  return Status();
}

void Board::fail() {
  header().failed.store(1);
  futex_wake(header().generation);
  futex_wake(header().resumed);
}

void Board::record(uint32_t rank, uint32_t round, uint64_t ns) { cell(rank, round).store(ns); }
void Board::add_wrong(uint64_t count) { header().wrong.fetch_add(count); }
uint64_t Board::wrong() const { return header().wrong.load(); }

std::vector<double> Board::round_times_us() const {
  std::vector<double> times;
  for (uint32_t round = 0; round < round_count(); ++round) {
    uint64_t slowest = 0;
    for (uint32_t rank = 0; rank < rank_count(); ++rank) {
      slowest = std::max(slowest, cell(rank, round).load());
    }
    times.push_back(static_cast<double>(slowest) / 1e3);
  }
  return times;
}

Status Board::pause(uint32_t stop) {
  Header& shared = header();
  shared.paused.fetch_add(1);
  for (;;) {
    const uint32_t resumed = shared.resumed.load();
    if (resumed >= stop) return Status();
    if (shared.failed.load() != 0) return Status(Code::aborted, "another rank failed");
    futex_wait(shared.resumed, resumed);
  }
}

bool Board::reached(uint32_t stop) const {
  return header().paused.load() >= stop * header().rank_count;
}

void Board::resume(uint32_t stop) {
  header().resumed.store(stop);
  futex_wake(header().resumed);
}

}  // namespace phub::perf
