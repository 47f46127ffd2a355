// Values to bytes and back, little endian, member by member.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace tipoff {

// The bytes end before the value, or say what cannot be.
class BadArchive : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Longest list that is read; more can only be damage.
inline constexpr std::uint64_t kMaxArchived = std::uint64_t{1} << 26;

class Writer {
 public:
  static constexpr bool kReading = false;

  template <class... T>
  void operator()(T&... values) {
    (put(values), ...);
  }

  std::vector<std::uint8_t> bytes;

 private:
  void put_raw(const void* data, std::size_t size) {
    const auto* from = static_cast<const std::uint8_t*>(data);
    bytes.insert(bytes.end(), from, from + size);
  }

  template <class T>
  void put(T& value) {
    if constexpr (std::is_arithmetic_v<std::remove_cv_t<T>> ||
                  std::is_enum_v<std::remove_cv_t<T>>) {
      put_raw(&value, sizeof value);
    } else {
      value.archive(*this);
    }
  }

  void put(std::string& text) {
    std::uint64_t size = text.size();
    put(size);
    put_raw(text.data(), text.size());
  }

  template <class T>
  void put(std::vector<T>& values) {
    std::uint64_t size = values.size();
    put(size);
    for (T& value : values) put(value);
  }

  template <class T, std::size_t N>
  void put(std::array<T, N>& values) {
    for (T& value : values) put(value);
  }
};

class Reader {
 public:
  static constexpr bool kReading = true;

  Reader(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  template <class... T>
  void operator()(T&... values) {
    (get(values), ...);
  }

  std::size_t left() const { return left_; }

 private:
  void get_raw(void* data, std::size_t size) {
    if (size > left_) throw BadArchive("it ends too early");
    if (size > 0) std::memcpy(data, data_, size);
    data_ += size;
    left_ -= size;
  }

  template <class T>
  void get(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      std::uint8_t byte = 0;
      get_raw(&byte, 1);
      value = byte != 0;
    } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      get_raw(&value, sizeof value);
    } else {
      value.archive(*this);
    }
  }

  std::size_t get_size(std::size_t least_bytes) {
    std::uint64_t size = 0;
    get(size);
    if (size > kMaxArchived || size * least_bytes > left_) {
      throw BadArchive("a list of " + std::to_string(size) + " is longer than what follows");
    }
    return static_cast<std::size_t>(size);
  }

  void get(std::string& text) {
    text.resize(get_size(1));
    get_raw(text.data(), text.size());
  }

  template <class T>
  void get(std::vector<T>& values) {
    values.clear();
    values.resize(get_size(1));
    for (T& value : values) get(value);
  }

  template <class T, std::size_t N>
  void get(std::array<T, N>& values) {
    for (T& value : values) get(value);
  }

  const std::uint8_t* data_;
  std::size_t left_;
};

}  // namespace tipoff
