// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace poolgate::rserpool {

// An IPv4 or IPv6 address in network byte order. A value of 17 bytes; unused bytes are zero, so that ==
// works.
class IpAddress {
 public:
  enum class Family : uint8_t { none = 0, v4 = 4, v6 = 6 };

  constexpr IpAddress() = default;
  // `bytes` is 4 or 16 bytes in network order.
  static IpAddress v4(const void* bytes) { return IpAddress(Family::v4, bytes, 4); }
  static IpAddress v6(const void* bytes) { return IpAddress(Family::v6, bytes, 16); }
  // Text as inet_pton takes it; nullopt if it is neither.
  static std::optional<IpAddress> parse(std::string_view text);

  Family family() const { return family_; }
  bool is_v4() const { return family_ == Family::v4; }
  bool is_v6() const { return family_ == Family::v6; }
  bool is_set() const { return family_ != Family::none; }
  // 4 or 16 bytes, network order.
  const uint8_t* data() const { return bytes_.data(); }
  size_t size() const { return family_ == Family::v4 ? 4 : family_ == Family::v6 ? 16 : 0; }
  std::string to_string() const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  IpAddress(Family family, const void* bytes, size_t n) : family_(family) {
    std::memcpy(bytes_.data(), bytes, n);
  }

  Family family_ = Family::none;
  std::array<uint8_t, 16> bytes_{};
};

}  // namespace poolgate::rserpool

template <>
struct std::hash<poolgate::rserpool::IpAddress> {
  size_t operator()(const poolgate::rserpool::IpAddress& a) const noexcept {
    return std::hash<std::string_view>{}(std::string_view(reinterpret_cast<const char*>(a.data()), a.size()));
  }
};
