#include "phub/chunk_state.h"

#include <algorithm>

#include "base/check.h"

namespace phub::hub {

ChunkStates::ChunkStates(uint32_t chunk_count, uint32_t rank_count)
    : block_count_((rank_count + kBlockRanks - 1) / kBlockRanks),
      active_count_(rank_count),
      records_(chunk_count),
      bits_(size_t{chunk_count} * block_count_),
      active_(block_count_, 0xff) {
  PHUB_CHECK(rank_count > 0);
  if (rank_count % kBlockRanks != 0) {
    active_.back() = static_cast<uint8_t>((1u << rank_count % kBlockRanks) - 1);
  }
  for (Record& record : records_) record.missing = static_cast<uint16_t>(rank_count);
}

Verdict ChunkStates::on_push(uint32_t chunk, uint32_t rank, uint32_t round_bits) {
  PHUB_DCHECK(chunk < records_.size());
  PHUB_DCHECK(rank / kBlockRanks < block_count_);
  Record& record = records_[chunk];
  const uint32_t ahead = (round_bits - record.done) & 15u;
  if (ahead == 0) return record.done > 0 ? Verdict::stale : Verdict::invalid;
  if (ahead > 8) {  // A late copy from 16 - ahead rounds before the last.
    return record.done > 16 - ahead ? Verdict::duplicate : Verdict::invalid;
  }
  if (ahead > 1) return Verdict::invalid;  // Its rank cannot have the results in between.
  if (!is_active(rank)) return Verdict::duplicate;

  uint8_t& byte = arrived_bits(chunk)[rank / kBlockRanks];
  const uint8_t bit = static_cast<uint8_t>(1u << rank % kBlockRanks);
  if (byte & bit) return Verdict::duplicate;
  byte |= bit;
  ++record.arrived;
  --record.missing;
  return Verdict::accepted;
}

bool ChunkStates::has_arrived_before(uint32_t chunk, uint32_t block) const {
  const uint8_t* const bits = arrived_bits(chunk);
  return std::any_of(bits, bits + block, [](uint8_t byte) { return byte != 0; });
}

uint32_t ChunkStates::last_block(uint32_t chunk) const {
  uint32_t block = block_count_ - 1;
  while (block > 0 && arrived_bits(chunk)[block] == 0) --block;
  return block;
}

void ChunkStates::finish_round(uint32_t chunk) {
  Record& record = records_[chunk];
  PHUB_DCHECK(record.missing == 0);
  ++record.done;
  record.arrived = 0;
  record.missing = static_cast<uint16_t>(active_count_);
  record.next_block = 0;
  std::fill_n(arrived_bits(chunk), block_count_, uint8_t{0});
}

void ChunkStates::remove_rank(uint32_t rank) {
  if (!is_active(rank)) return;
  active_[rank / kBlockRanks] &= static_cast<uint8_t>(~(1u << rank % kBlockRanks));
  --active_count_;
  for (uint32_t chunk = 0; chunk < records_.size(); ++chunk) {
    if (!has_arrived(chunk, rank)) --records_[chunk].missing;
  }
}

}  // namespace phub::hub
