// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/transport/channel_codec.h"

#include <array>
#include <concepts>
#include <type_traits>
#include <utility>

#include "controlplane/transport/channel_fields.h"

namespace poolgate::channel {
namespace {

using rserpool::IpAddress;

constexpr size_t kHeaderSize = 12;

constexpr std::array kUpNames = {"Welcome",     "AssociationUp", "AssociationDown", "PathChange",
                                 "MessageUp",   "SendFailed",    "ReplayDone",      "PoolCommitted",
                                 "PoolRefused", "PeReport",      "Resume",          "Refused"};
constexpr std::array kDownNames = {"Hello",     "MessageDown", "Acknowledge", "Connect", "Close",
                                   "PoolBegin", "PoolChunk",   "PoolCommit",  "PeDown"};
static_assert(kUpNames.size() == std::variant_size_v<Up> && kDownNames.size() == std::variant_size_v<Down>);

// The values an enumeration may have on the wire.
constexpr bool valid(SctpService v) { return v <= SctpService::enrp; }
constexpr bool valid(PathState v) { return v <= PathState::primary; }
constexpr bool valid(DownReason v) { return v <= DownReason::closed_by_us; }
constexpr bool valid(PeState v) { return v <= PeState::drain; }
constexpr bool valid(rserpool::TransportUse v) { return v <= rserpool::TransportUse::data_plus_control; }
// The registrar judges these: a policy or transport that it knows and we do not is no broken packet.
constexpr bool valid(rserpool::PolicyType) { return true; }
constexpr bool valid(rserpool::TransportType) { return true; }

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void operator()(const char*, bool v) { integer(uint8_t{v}); }
  template <std::unsigned_integral T>
  void operator()(const char*, T v) {
    integer(v);
  }
  template <class T>
  requires std::is_enum_v<T>
  void operator()(const char*, T v) { integer(static_cast<std::underlying_type_t<T>>(v)); }
  void operator()(const char*, const std::string& v) {
    integer(static_cast<uint32_t>(v.size()));
    out_ += v;
  }
  void operator()(const char*, const IpAddress& v) {
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

class Reader {
 public:
  Reader(std::string_view in, size_t offset) : in_(in), offset_(offset) {}

  void operator()(const char* field, bool& v) {
    uint8_t byte = 0;
    integer(field, byte);
    if (byte > 1) fail(field, "is " + std::to_string(byte) + ", a flag is 0 or 1");
    v = byte == 1;
  }
  template <std::unsigned_integral T>
  void operator()(const char* field, T& v) {
    integer(field, v);
  }
  template <class T>
  requires std::is_enum_v<T>
  void operator()(const char* field, T& v) {
    std::underlying_type_t<T> number = 0;
    integer(field, number);
    v = static_cast<T>(number);
    if (!valid(v)) fail(field, "has no meaning for " + std::to_string(number));
  }
  void operator()(const char* field, std::string& v) {
    uint32_t size = 0;
    integer(field, size);
    if (const char* bytes = take(field, size)) v.assign(bytes, size);
  }
  void operator()(const char* field, IpAddress& v) {
    uint8_t family = 0;
    integer(field, family);
    if (family == 4) {
      if (const char* bytes = take(field, 4)) v = IpAddress::v4(bytes);
    } else if (family == 6) {
      if (const char* bytes = take(field, 16)) v = IpAddress::v6(bytes);
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

void put_header(std::string& out, const ChannelHeader& header) {
  Writer w(out);
  w("magic", header.magic);
  w("version", header.version);
  w("type", header.type);
  w("length", header.length);
}

template <class Variant>
Result<std::string> encode_any(const Variant& message, const char* what) {
  ChannelHeader header;
  header.type = static_cast<uint16_t>(message.index() + 1);
  std::string out;
  put_header(out, header);
  std::visit(
      [&](const auto& m) {
        Writer w(out);
        fields(w, m);
      },
      message);
  if (out.size() > kMaxChannelPacket)
    return Error{"channel: " + std::string(what) + " of " + std::to_string(out.size()) +
                 " bytes exceeds a packet's " + std::to_string(kMaxChannelPacket)};
  header.length = static_cast<uint32_t>(out.size());
  std::string length;
  Writer w(length);
  w("length", header.length);
  out.replace(kHeaderSize - sizeof header.length, sizeof header.length, length);
  return out;
}

template <class Variant, size_t... I>
Variant make_alternative(size_t index, std::index_sequence<I...>) {
  Variant v;
  ((I == index ? void(v.template emplace<I>()) : void()), ...);
  return v;
}

template <class Variant, class Names>
Result<Variant> decode_any(std::string_view packet, const Names& names) {
  if (packet.size() < kHeaderSize)
    return Error{"channel: a packet of " + std::to_string(packet.size()) +
                 " bytes has no room for a header of " + std::to_string(kHeaderSize)};
  ChannelHeader header;
  Reader head(packet.substr(0, kHeaderSize), 0);
  head("magic", header.magic);
  head("version", header.version);
  head("type", header.type);
  head("length", header.length);
  if (header.magic != kChannelMagic)
    return Error{"channel: not a packet of Poolgate's channel: magic is wrong"};
  if (header.version != kChannelVersion)
    return Error{"channel: the peer speaks version " + std::to_string(header.version) +
                 ", this program version " + std::to_string(kChannelVersion) +
                 ": install both programs from one release"};
  if (header.length != packet.size())
    return Error{"channel: the header says " + std::to_string(header.length) + " bytes, the packet has " +
                 std::to_string(packet.size())};
  constexpr size_t kTypes = std::variant_size_v<Variant>;
  if (header.type == 0 || header.type > kTypes)
    return Error{"channel: message type " + std::to_string(header.type) + " is unknown in this direction"};
  const std::string what = std::string("channel: ") + names[header.type - 1u] + ": ";
  if (packet.size() > kMaxChannelPacket) return Error{what + "longer than a packet may be"};
  auto message = make_alternative<Variant>(header.type - 1u, std::make_index_sequence<kTypes>());
  Reader body(packet, kHeaderSize);
  std::visit([&](auto& m) { fields(body, m); }, message);
  if (!body.ok()) return Error{what + body.error()};
  if (body.left() != 0) return Error{what + std::to_string(body.left()) + " bytes follow the last field"};
  return message;
}

size_t encoded_size(const PoolPe& pe) {
  std::string bytes;
  Writer w(bytes);
  fields(w, pe);
  return bytes.size();
}

}  // namespace

Result<std::string> encode(const Up& message) { return encode_any(message, name(message)); }
Result<std::string> encode(const Down& message) { return encode_any(message, name(message)); }
Result<Up> decode_up(std::string_view packet) { return decode_any<Up>(packet, kUpNames); }
Result<Down> decode_down(std::string_view packet) { return decode_any<Down>(packet, kDownNames); }
const char* name(const Up& message) { return kUpNames[message.index()]; }
const char* name(const Down& message) { return kDownNames[message.index()]; }

std::vector<PoolChunk> split(PoolChunk chunk) {
  std::vector<PoolPe> all = std::move(chunk.elements);
  chunk.elements.clear();
  std::string empty;
  Writer w(empty);
  fields(w, chunk);
  const size_t fixed = kHeaderSize + empty.size();
  std::vector<PoolChunk> out(1, chunk);
  size_t size = fixed;
  for (PoolPe& pe : all) {
    const size_t more = encoded_size(pe);
    if (size + more > kMaxChannelPacket && !out.back().elements.empty()) {
      out.push_back(chunk);
      size = fixed;
    }
    size += more;
    out.back().elements.push_back(std::move(pe));
  }
  return out;
}

}  // namespace poolgate::channel
