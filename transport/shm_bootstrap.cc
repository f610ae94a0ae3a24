#include "transport/shm_bootstrap.h"

#include "base/try.h"
#include "transport/bootstrap_checks.h"

namespace phub::transport {
namespace {

constexpr uint32_t kOfferMagic = 0x4f4d4853;   // "SHMO"
constexpr uint32_t kAnswerMagic = 0x414d4853;  // "SHMA"
constexpr uint32_t kShmVersion = 1;
constexpr size_t kOfferBytes = 6 * 4;
constexpr size_t kSlotBytes = 16;

}  // namespace

std::string encode_shm_offer(const LinkOptions& options) {
  std::string blob(kOfferBytes, '\0');
  base::ByteWriter writer(bytes_of(blob));
  writer.number(kOfferMagic);
  writer.number(kShmVersion);
  writer.number(static_cast<uint32_t>(options.slots.size()));
  writer.number(options.peer_slot_count);
  writer.number(options.acceptor_puts_max);
  writer.number(options.connector_puts_max);
  return blob;
}

Status check_shm_offer(std::string_view blob, const LinkOptions& options) {
  base::ByteReader reader(bytes_of(blob));
  PHUB_TRY(check_head(reader, kOfferMagic, kShmVersion, "shm offer"));
  PHUB_TRY(check_equal("acceptor slots", reader.number<uint32_t>(), options.peer_slot_count));
  PHUB_TRY(check_equal("connector slots", reader.number<uint32_t>(), options.slots.size()));
  PHUB_TRY(check_equal("acceptor_puts_max", reader.number<uint32_t>(), options.acceptor_puts_max));
  PHUB_TRY(
      check_equal("connector_puts_max", reader.number<uint32_t>(), options.connector_puts_max));
  if (!reader.is_complete()) return Status(Code::invalid_argument, "shm offer of a wrong length");
  return {};
}

std::string encode_shm_answer(const ShmAnswer& answer) {
  std::string blob(4 * 4 + answer.region_bytes.size() * 8 + answer.slots.size() * kSlotBytes, '\0');
  base::ByteWriter writer(bytes_of(blob));
  writer.number(kAnswerMagic);
  writer.number(kShmVersion);
  writer.number(static_cast<uint32_t>(answer.region_bytes.size()));
  writer.number(static_cast<uint32_t>(answer.slots.size()));
  for (const uint64_t bytes : answer.region_bytes) writer.number(bytes);
  for (const ShmAnswer::PlacedSlot& slot : answer.slots) {
    writer.number(slot.at.region);
    writer.number(slot.bytes);
    writer.number(slot.at.offset);
  }
  return blob;
}

Result<ShmAnswer> decode_shm_answer(std::string_view blob, const LinkOptions& options) {
  base::ByteReader reader(bytes_of(blob));
  PHUB_TRY(check_head(reader, kAnswerMagic, kShmVersion, "shm answer"));
  const uint32_t region_count = reader.number<uint32_t>();
  const uint32_t slot_count = reader.number<uint32_t>();
  if (region_count > kShmFdsMax) {
    return Status(Code::invalid_argument, "shm answer with " + std::to_string(region_count) +
                                              " regions; at most " + std::to_string(kShmFdsMax));
  }
  PHUB_TRY(check_equal("connector slots", slot_count, options.peer_slot_count));
  // Before memory is taken for it.
  if (reader.left() != region_count * uint64_t{8} + slot_count * uint64_t{kSlotBytes}) {
    return Status(Code::invalid_argument, "shm answer of a wrong length");
  }
  ShmAnswer answer;
  answer.region_bytes.resize(region_count);
  for (uint64_t& bytes : answer.region_bytes) bytes = reader.number<uint64_t>();
  answer.slots.resize(slot_count);
  for (uint32_t i = 0; i < slot_count; ++i) {
    ShmAnswer::PlacedSlot& slot = answer.slots[i];
    slot.at.region = reader.number<uint32_t>();
    slot.bytes = reader.number<uint32_t>();
    slot.at.offset = reader.number<uint64_t>();
    const std::string name = "slot " + std::to_string(i);
    const uint32_t least = i < options.peer_slot_bytes.size() ? options.peer_slot_bytes[i] : 0;
    if (slot.bytes < least) {
      return Status(Code::invalid_argument, name + " has " + std::to_string(slot.bytes) +
                                                " bytes, but needs " + std::to_string(least));
    }
    if (slot.bytes == 0) continue;  // Lies nowhere.
    if (slot.at.region >= region_count) {
      return Status(Code::invalid_argument, name + " lies in region " +
                                                std::to_string(slot.at.region) + " of " +
                                                std::to_string(region_count));
    }
    const uint64_t size = answer.region_bytes[slot.at.region];
    if (slot.at.offset > size || slot.bytes > size - slot.at.offset) {
      return Status(Code::invalid_argument, name + " (" + std::to_string(slot.bytes) +
                                                " bytes at " + std::to_string(slot.at.offset) +
                                                ") ends outside its region of " +
                                                std::to_string(size));
    }
  }
  if (!reader.is_complete()) return Status(Code::invalid_argument, "shm answer of a wrong length");
  return answer;
}

}  // namespace phub::transport
