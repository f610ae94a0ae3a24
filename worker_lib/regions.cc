#include "worker_lib/regions.h"

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/memory.h"
#include "base/try.h"

namespace phub::client {
namespace {

size_t bytes_of(const TensorSpec& tensor) { return tensor.count * size_of(tensor.type); }

std::string shown(std::span<const TensorSpec> tensors, size_t i) {
  return "tensor " + std::to_string(i) + " \"" + tensors[i].name + "\"";
}

Status check_result(std::span<const TensorSpec> tensors, size_t i, const void* result,
                    const Regions& regions) {
  if (!regions.contains(result, bytes_of(tensors[i]))) {
    return Status(Code::invalid_argument,
                  "result of " + shown(tensors, i) + ": its " +
                      std::to_string(bytes_of(tensors[i])) +
                      " bytes are not in memory from allocate(); allocate them, or pass null");
  }
  if (reinterpret_cast<uintptr_t>(result) % size_of(tensors[i].type) != 0) {
    return Status(Code::invalid_argument, "result of " + shown(tensors, i) +
                                              " is not aligned to its elements of " +
                                              std::to_string(size_of(tensors[i].type)) + " bytes");
  }
  return {};
}

// Neighbours by address tell all: sorted ranges overlap only if two neighbours do.
Status check_disjoint(std::span<const TensorSpec> tensors, std::span<const Placement> places) {
  std::vector<size_t> order(tensors.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return places[a].result < places[b].result; });
  for (size_t i = 1; i < order.size(); ++i) {
    const size_t low = order[i - 1];
    if (places[low].result + bytes_of(tensors[low]) > places[order[i]].result) {
      return Status(Code::invalid_argument, "results of " + shown(tensors, low) + " and " +
                                                shown(tensors, order[i]) + " overlap");
    }
  }
  return {};
}

// Null if the epoch before had no such tensor, or its memory now serves another result.
std::byte* place_before(const TensorSpec& tensor, const Placements& before,
                        std::span<void* const> results) {
  for (size_t i = 0; i < before.tensors.size(); ++i) {
    if (before.tensors[i].name != tensor.name) continue;
    if (bytes_of(before.tensors[i]) != bytes_of(tensor)) return nullptr;
    std::byte* const place = before.places[i].result;
    for (const void* result : results) {
      if (overlaps(result, 1, place, bytes_of(tensor))) return nullptr;
    }
    return place;
  }
  return nullptr;
}

Status place_missing(std::span<const TensorSpec> tensors, std::vector<Placement>* places,
                     Regions* regions) {
  size_t missing_bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if ((*places)[i].result == nullptr) {
      missing_bytes += base::align_up(bytes_of(tensors[i]), base::kCacheLineBytes);
    }
  }
  if (missing_bytes == 0) return {};
  PHUB_TRY_ASSIGN(const std::span<std::byte> region, regions->allocate(missing_bytes));
  std::byte* next = region.data();
  for (size_t i = 0; i < tensors.size(); ++i) {
    if ((*places)[i].result != nullptr) continue;
    (*places)[i].result = next;
    next += base::align_up(bytes_of(tensors[i]), base::kCacheLineBytes);
  }
  return {};
}

Status place_staging(bool by_reference, Placements* placements, Regions* regions) {
  if (by_reference) {
    for (Placement& place : placements->places) place.staging = place.result;
    return {};
  }
  size_t bytes = 0;
  for (const TensorSpec& tensor : placements->tensors) {
    bytes += base::align_up(bytes_of(tensor), base::kCacheLineBytes);
  }
  if (placements->staging.size() < bytes) {
    PHUB_TRY_ASSIGN(placements->staging, regions->allocate(bytes));
  }
  std::byte* next = placements->staging.data();
  for (size_t i = 0; i < placements->tensors.size(); ++i) {
    placements->places[i].staging = next;
    next += base::align_up(bytes_of(placements->tensors[i]), base::kCacheLineBytes);
  }
  return {};
}

}  // namespace

bool overlaps(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  if (a == nullptr || b == nullptr) return false;
  const auto a_begin = reinterpret_cast<uintptr_t>(a);
  const auto b_begin = reinterpret_cast<uintptr_t>(b);
  return a_begin < b_begin + b_bytes && b_begin < a_begin + a_bytes;
}

Regions::Regions(std::span<const std::unique_ptr<transport::Fabric>> fabrics) {
  const auto by_reference = std::find_if(
      fabrics.begin(), fabrics.end(),
      [](const std::unique_ptr<transport::Fabric>& one) { return one->traits().by_reference; });
  owner_ = by_reference == fabrics.end() ? fabrics.front().get() : by_reference->get();
  for (const std::unique_ptr<transport::Fabric>& fabric : fabrics) {
    if (fabric.get() == owner_) continue;
    PHUB_CHECK(!fabric->traits().by_reference);
    others_.push_back(fabric.get());
  }
}

Result<std::span<std::byte>> Regions::allocate(size_t bytes) {
  if (bytes == 0) return Status(Code::invalid_argument, "allocate 0 bytes: ask for at least 1");
  PHUB_TRY_ASSIGN(const std::span<std::byte> region, owner_->allocate(bytes));
  for (transport::Fabric* const other : others_) PHUB_TRY(other->register_memory(region, 0));
  regions_.push_back(region);
  return region;
}

bool Regions::find(const void* data, size_t bytes, size_t region_count) const {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  for (size_t i = 0; i < region_count; ++i) {
    const auto region = reinterpret_cast<uintptr_t>(regions_[i].data());
    if (begin >= region && begin - region <= regions_[i].size() &&
        bytes <= regions_[i].size() - (begin - region)) {
      return true;
    }
  }
  return false;
}

Result<Placements> place_tensors(std::span<const TensorSpec> tensors,
                                 std::span<void* const> results, const Placements& before,
                                 bool by_reference, Regions* regions) {
  if (!results.empty() && results.size() != tensors.size()) {
    return Status(Code::invalid_argument, std::to_string(results.size()) + " results for " +
                                              std::to_string(tensors.size()) +
                                              " tensors; give one per tensor, or none");
  }
  Placements placements;
  placements.tensors.assign(tensors.begin(), tensors.end());
  placements.places.resize(tensors.size());
  placements.staging = before.staging;
  for (size_t i = 0; i < tensors.size(); ++i) {
    void* const wanted = results.empty() ? nullptr : results[i];
    if (wanted != nullptr) PHUB_TRY(check_result(tensors, i, wanted, *regions));
    placements.places[i].result = wanted != nullptr ? static_cast<std::byte*>(wanted)
                                                    : place_before(tensors[i], before, results);
  }
  PHUB_TRY(place_missing(tensors, &placements.places, regions));
  PHUB_TRY(check_disjoint(tensors, placements.places));
  PHUB_TRY(place_staging(by_reference, &placements, regions));
  return placements;
}

}  // namespace phub::client
