// Memory of the kernels: joints of all tracks side by side, a row of lanes for every quantity.
//
// Lane k * J + j is joint j of track k. Rows are padded to whole blocks of eight lanes, so that a
// kernel of any width reads and writes full registers.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

namespace tipoff {

inline constexpr std::size_t kBlock = 8;

inline std::size_t padded(std::size_t lanes) {
  return (lanes + kBlock - 1) / kBlock * kBlock;
}

// Rows of numbers, each `stride` long, aligned to cache lines. A value: copying copies the numbers.
template <class T>
class Rows {
 public:
  Rows() = default;
  explicit Rows(std::size_t rows) : rows_(rows) {}
  Rows(const Rows& other) : rows_(other.rows_) { *this = other; }
  Rows(Rows&& other) noexcept { swap(other); }
  ~Rows() { release(); }

  Rows& operator=(const Rows& other) {
    if (this == &other) return *this;
    rows_ = other.rows_;
    reserve(other.stride_);
    if (other.stride_ > 0) std::memcpy(data_, other.data_, rows_ * stride_ * sizeof(T));
    return *this;
  }

  Rows& operator=(Rows&& other) noexcept {
    swap(other);
    return *this;
  }

  void swap(Rows& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(rows_, other.rows_);
    std::swap(stride_, other.stride_);
    std::swap(capacity_, other.capacity_);
  }

  // Makes room for `lanes` in every row and zeroes all; what was there is lost.
  void clear(std::size_t lanes) {
    reserve(padded(lanes));
    if (stride_ > 0) std::memset(data_, 0, rows_ * stride_ * sizeof(T));
  }

  // The same without zeroing.
  void reserve(std::size_t lanes) {
    stride_ = padded(lanes);
    if (rows_ * stride_ <= capacity_) return;
    release();
    capacity_ = rows_ * stride_;
    data_ = static_cast<T*>(::operator new(capacity_ * sizeof(T), std::align_val_t{kAlign}));
  }

  // Keeps the first `lanes` of every row and zeroes the new ones.
  void resize(std::size_t lanes) {
    const std::size_t wanted = padded(lanes);
    if (wanted == stride_) return;
    Rows old(rows_);
    swap(old);
    rows_ = old.rows_;
    clear(wanted);
    const std::size_t kept = old.stride_ < stride_ ? old.stride_ : stride_;
    for (std::size_t r = 0; r < rows_ && kept > 0; ++r) {
      std::memcpy(row(r), old.row(r), kept * sizeof(T));
    }
  }

  T* row(std::size_t r) { return data_ + r * stride_; }
  const T* row(std::size_t r) const { return data_ + r * stride_; }
  T& at(std::size_t r, std::size_t lane) { return data_[r * stride_ + lane]; }
  T at(std::size_t r, std::size_t lane) const { return data_[r * stride_ + lane]; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t stride() const { return stride_; }
  std::size_t rows() const { return rows_; }

 private:
  static constexpr std::size_t kAlign = 64;

  void release() {
    if (data_ != nullptr) ::operator delete(data_, std::align_val_t{kAlign});
    data_ = nullptr;
    capacity_ = 0;
  }

  T* data_ = nullptr;
  std::size_t rows_ = 0;
  std::size_t stride_ = 0;
  std::size_t capacity_ = 0;
};

using Lanes = Rows<double>;
using FloatLanes = Rows<float>;

}  // namespace tipoff
