// Goal: whatever lies in an eager slot, read_mail_head reads nothing beyond its end, and what it
// lets through lies within and is written back as the same bytes. Method: the input is a frame.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"
#include "exchange/mail_frame.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace phub::exchange;
  // A block of its own: the address sanitizer sees a byte too far.
  const auto copy = std::make_unique<std::byte[]>(size);
  std::copy_n(reinterpret_cast<const std::byte*>(data), size, copy.get());
  const std::span<const std::byte> frame(copy.get(), size);
  const phub::Result<MailHead> head = read_mail_head(frame);
  if (!head.ok()) {
    PHUB_CHECK(!head.status().message().empty());
    return 0;
  }
  PHUB_CHECK(head->part_count <= kMailPartsMax && head->head_bytes() <= size);
  if (head->kind == MailKind::eager) {
    PHUB_CHECK(head->head_bytes() + head->payload_bytes() == size);
  }
  if (head->kind == MailKind::announce) PHUB_CHECK(head->id < kMailIdCount);
  std::vector<std::byte> again(head->head_bytes());
  write_mail_head(*head, again.data());
  PHUB_CHECK(std::equal(again.begin(), again.begin() + 12, frame.begin()));
  PHUB_CHECK(std::equal(again.begin() + 16, again.end(), frame.begin() + 16));
  return 0;
}
