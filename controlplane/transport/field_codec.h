// SPDX-License-Identifier: BSD-3-Clause
// Records as bytes: the fields of a type are listed once, by a function `fields(archive, value)` beside the
// type's namespace, and both directions walk that list. Integers little-endian; strings and vectors with a
// 32-bit length; addresses with their family. The reader trusts nothing.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "controlplane/rserpool/ip_address.h"

namespace poolgate::transport {

template <class M, class T>
concept Walks = std::is_same_v<std::remove_const_t<M>, T>;

// The head of a list: `m` is a T, const for the writer.
#define POOLGATE_FIELDS(T)                    \
  template <class A, class M>                 \
  requires ::poolgate::transport::Walks<M, T> \
  void fields([[maybe_unused]] A& a, [[maybe_unused]] M& m)

// The last value that an enumeration has on the wire; unless said, any is let through for others to judge.
template <class Enum>
inline constexpr uint64_t kLastValue = UINT64_MAX;

// Appends to `out`.
class FieldWriter {
 public:
  explicit FieldWriter(std::string& out) : out_(out) {}

  void operator()(const char*, bool v) { integer(uint8_t{v}); }
  template <std::integral T>
  void operator()(const char*, T v) {
    integer(static_cast<std::make_unsigned_t<T>>(v));
  }
  template <class T>
  requires std::is_enum_v<T>
  void operator()(const char*, T v) { integer(static_cast<std::underlying_type_t<T>>(v)); }
  void operator()(const char*, const std::string& v) {
    integer(static_cast<uint32_t>(v.size()));
    out_ += v;
  }
  void operator()(const char*, const rserpool::IpAddress& v) {
    integer(static_cast<uint8_t>(v.family()));
    out_.append(reinterpret_cast<const char*>(v.data()), v.size());
  }
  template <class T>
  void operator()(const char* field, const std::vector<T>& v) {
    integer(static_cast<uint32_t>(v.size()));
    for (const T& element : v) (*this)(field, element);
  }
  template <class T>
  requires std::is_class_v<T>
  void operator()(const char*, const T& v) { fields(*this, v); }

 private:
  template <std::unsigned_integral T>
  void integer(T v) {
    for (size_t i = 0; i < sizeof v; ++i) out_ += static_cast<char>(static_cast<uint64_t>(v) >> (8 * i));
  }

  std::string& out_;
};

// Reads from `offset` on, over whatever the values held. After the first fault nothing more is read, and
// error() says which field, why, and where.
class FieldReader {
 public:
  FieldReader(std::string_view in, size_t offset) : in_(in), offset_(offset) {}

  void operator()(const char* field, bool& v) {
    uint8_t byte = 0;
    integer(field, byte);
    if (byte > 1) fail(field, "is " + std::to_string(byte) + ", a flag is 0 or 1");
    v = byte == 1;
  }
  template <std::integral T>
  void operator()(const char* field, T& v) {
    std::make_unsigned_t<T> bits = 0;
    integer(field, bits);
    v = static_cast<T>(bits);
  }
  template <class T>
  requires std::is_enum_v<T>
  void operator()(const char* field, T& v) {
    std::underlying_type_t<T> number = 0;
    integer(field, number);
    if (number > kLastValue<T>) fail(field, "has no meaning for " + std::to_string(number));
    v = static_cast<T>(number);
  }
  void operator()(const char* field, std::string& v) {
    uint32_t size = 0;
    integer(field, size);
    if (const char* bytes = take(field, size)) v.assign(bytes, size);
  }
  void operator()(const char* field, rserpool::IpAddress& v) {
    uint8_t family = 0;
    integer(field, family);
    v = {};
    if (family == 4) {
      if (const char* bytes = take(field, 4)) v = rserpool::IpAddress::v4(bytes);
    } else if (family == 6) {
      if (const char* bytes = take(field, 16)) v = rserpool::IpAddress::v6(bytes);
    } else if (family != 0) {
      fail(field, "has address family " + std::to_string(family) + ", not 4 or 6");
    }
  }
  template <class T>
  void operator()(const char* field, std::vector<T>& v) {
    uint32_t count = 0;
    integer(field, count);
    // Each element takes a byte at least: a count that cannot be is refused before anything is allocated for
    // it.
    if (count > left())
      fail(field, "counts " + std::to_string(count) + " elements in " + std::to_string(left()) + " bytes");
    v.clear();
    for (uint32_t i = 0; i < count && ok(); ++i) (*this)(field, v.emplace_back());
  }
  template <class T>
  requires std::is_class_v<T>
  void operator()(const char*, T& v) { fields(*this, v); }

  bool ok() const { return error_.empty(); }
  size_t left() const { return in_.size() - offset_; }
  const std::string& error() const { return error_; }

 private:
  void fail(const char* field, const std::string& why) {
    if (ok()) error_ = std::string(field) + " " + why + ", at byte " + std::to_string(offset_);
  }
  const char* take(const char* field, size_t n) {
    if (!ok()) return nullptr;
    if (n > left()) {
      fail(field, "needs " + std::to_string(n) + " bytes, " + std::to_string(left()) + " are left");
      return nullptr;
    }
    const char* at = in_.data() + offset_;
    offset_ += n;
    return at;
  }
  template <std::unsigned_integral T>
  void integer(const char* field, T& v) {
    const char* at = take(field, sizeof v);
    if (!at) return;
    uint64_t all = 0;
    for (size_t i = 0; i < sizeof v; ++i) all |= uint64_t{static_cast<uint8_t>(at[i])} << (8 * i);
    v = static_cast<T>(all);
  }

  std::string_view in_;
  size_t offset_;
  std::string error_;
};

}  // namespace poolgate::transport
