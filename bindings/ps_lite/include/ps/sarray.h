// SArray: an array that its copies and segments share.
//
// Copies are pointers; what is behind them lives as long as one of them. Elements are plain data:
// they are copied as bytes.
#pragma once

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <ps/internal/utils.h>
#include <ps/range.h>

namespace ps {

enum DeviceType { CPU, GPU, UNK };

namespace internal {
// Memory for large arrays, on large pages where the system has them. Not cleared.
std::shared_ptr<void> AllocateLarge(size_t bytes);
constexpr size_t kLargeBytes = size_t{1} << 20;
}  // namespace internal

template <typename V>
class SArray {
 public:
  SArray() = default;
  explicit SArray(size_t size, V value = 0) { resize(size, value); }

  // The same bytes as elements of another type.
  template <typename W>
  explicit SArray(const SArray<W>& other) {
    *this = other;
  }
  template <typename W>
  void operator=(const SArray<W>& other) {
    size_ = other.size() * sizeof(W) / sizeof(V);
    CHECK_EQ(size_ * sizeof(V), other.size() * sizeof(W)) << "bytes do not divide into elements";
    capacity_ = other.capacity() * sizeof(W) / sizeof(V);
    pointer_ = std::shared_ptr<V>(other.ptr(), reinterpret_cast<V*>(other.data()));
    set_device(other);
  }

  // Memory of somebody else; deletable: this array and its copies delete [] it.
  SArray(V* data, size_t size, bool deletable = false) {
    if (deletable) {
      reset(data, size, [](V* memory) { delete[] memory; });
    } else {
      reset(data, size, [](V*) {});
    }
  }
  SArray(V* data, size_t size, DeviceType from, int from_id, DeviceType to, int to_id,
         bool deletable = false)
      : SArray(data, size, deletable) {
    src_device_type_ = from;
    src_device_id_ = from_id;
    dst_device_type_ = to;
    dst_device_id_ = to_id;
  }

  explicit SArray(const std::vector<V>& values) { CopyFrom(values.data(), values.size()); }
  explicit SArray(const std::shared_ptr<std::vector<V>>& values)
      : size_(values->size()), capacity_(size_), pointer_(values, values->data()) {}
  template <typename W>
  SArray(const std::initializer_list<W>& values) {
    CopyFrom(values.begin(), values.end());
  }
  template <typename W>
  void operator=(const std::initializer_list<W>& values) {
    CopyFrom(values.begin(), values.end());
  }

  void CopyFrom(const V* data, size_t size) {
    allocate(size);
    if (size > 0) std::memcpy(static_cast<void*>(this->data()), data, size * sizeof(V));
  }
  void CopyFrom(const SArray<V>& other) {
    if (this != &other) CopyFrom(other.data(), other.size());
  }
  template <typename Iterator>
  void CopyFrom(const Iterator& first, const Iterator& last) {
    allocate(static_cast<size_t>(std::distance(first, last)));
    std::copy(first, last, data());
  }

  template <typename Deleter>
  void reset(V* data, size_t size, Deleter deleter) {
    size_ = capacity_ = size;
    pointer_.reset(data, deleter);
  }

  // New elements are `value`.
  void resize(size_t size, V value = 0) {
    const size_t old_size = size_;
    grow(size);
    size_ = size;
    if (size <= old_size) return;
    V* const first = data() + old_size;
    if (value == V(0)) {
      std::memset(static_cast<void*>(first), 0, (size - old_size) * sizeof(V));
    } else {
      std::fill(first, data() + size, value);
    }
  }
  void reserve(size_t size) { grow(size); }
  void clear() {
    pointer_.reset();
    size_ = capacity_ = 0;
  }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  V* begin() { return data(); }
  const V* begin() const { return data(); }
  V* end() { return data() + size_; }
  const V* end() const { return data() + size_; }
  V* data() const { return pointer_.get(); }
  std::shared_ptr<V>& ptr() { return pointer_; }
  const std::shared_ptr<V>& ptr() const { return pointer_; }
  V back() const {
    CHECK(!empty());
    return data()[size_ - 1];
  }
  V front() const {
    CHECK(!empty());
    return data()[0];
  }
  V& operator[](int i) { return data()[i]; }
  const V& operator[](int i) const { return data()[i]; }

  void push_back(const V& value) {
    if (size_ == capacity_) grow(size_ * 2 + 8);
    data()[size_++] = value;
  }
  void pop_back() {
    if (size_ > 0) --size_;
  }
  void append(const SArray<V>& other) {
    const size_t old_size = size_;
    grow(old_size + other.size());
    size_ = old_size + other.size();
    if (other.size() > 0) {
      std::memcpy(static_cast<void*>(data() + old_size), other.data(), other.size() * sizeof(V));
    }
  }

  // Elements [begin, end), shared.
  SArray<V> segment(size_t begin, size_t end) const {
    CHECK_LE(begin, end);
    CHECK_LE(end, size_);
    SArray<V> part(*this);
    part.pointer_ = std::shared_ptr<V>(pointer_, data() + begin);
    part.size_ = part.capacity_ = end - begin;
    return part;
  }

  // Where the memory lies, for programs that put it on devices; this library sends from the host.
  DeviceType src_device_type_ = CPU;
  int src_device_id_ = 0;
  DeviceType dst_device_type_ = CPU;
  int dst_device_id_ = 0;

 private:
  template <typename W>
  void set_device(const SArray<W>& other) {
    src_device_type_ = other.src_device_type_;
    src_device_id_ = other.src_device_id_;
    dst_device_type_ = other.dst_device_type_;
    dst_device_id_ = other.dst_device_id_;
  }
  // Fresh memory for `size` elements, not cleared.
  void allocate(size_t size) {
    if (size * sizeof(V) >= internal::kLargeBytes) {
      const std::shared_ptr<void> memory = internal::AllocateLarge(size * sizeof(V));
      pointer_ = std::shared_ptr<V>(memory, static_cast<V*>(memory.get()));
      size_ = capacity_ = size;
    } else {
      reset(new V[size + 1], size, [](V* memory) { delete[] memory; });
    }
  }
  void grow(size_t size) {
    if (capacity_ >= size) return;
    const SArray<V> old(*this);
    allocate(size);
    size_ = old.size();
    if (size_ > 0) std::memcpy(static_cast<void*>(data()), old.data(), size_ * sizeof(V));
  }

  size_t size_ = 0;
  size_t capacity_ = 0;
  std::shared_ptr<V> pointer_;
};

// Where the sorted `values` have [lower, upper): positions.
template <typename V>
Range FindRange(const SArray<V>& values, V lower, V upper) {
  if (upper <= lower) return Range(0, 0);
  const V* const first = std::lower_bound(values.begin(), values.end(), lower);
  const V* const last = std::lower_bound(first, values.end(), upper);
  return Range(static_cast<uint64_t>(first - values.begin()),
               static_cast<uint64_t>(last - values.begin()));
}

// "[12]: 1 2 3 ... 11 12": the first and last m of n.
template <typename V>
inline std::string DebugStr(const V* data, int n, int m = 5) {
  std::ostringstream text;
  text << '[' << n << "]: ";
  for (int i = 0; i < n; ++i) {
    if (n >= 2 * m && i == m) {
      text << "... ";
      i = n - m;
    }
    text << data[i] << ' ';
  }
  return text.str();
}
template <typename V>
std::ostream& operator<<(std::ostream& out, const SArray<V>& array) {
  return out << DebugStr(array.data(), static_cast<int>(array.size()));
}

}  // namespace ps
