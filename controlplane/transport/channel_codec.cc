// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/transport/channel_codec.h"

#include <array>
#include <utility>

#include "controlplane/transport/channel_fields.h"

namespace poolgate::channel {
namespace {

using Writer = transport::FieldWriter;
using Reader = transport::FieldReader;

constexpr size_t kHeaderSize = 12;

constexpr std::array kUpNames = {"Welcome",     "AssociationUp", "AssociationDown", "PathChange",
                                 "MessageUp",   "SendFailed",    "ReplayDone",      "PoolCommitted",
                                 "PoolRefused", "PeReport",      "Resume",          "Refused",
                                 "Beat"};
constexpr std::array kDownNames = {"Hello",     "MessageDown", "Acknowledge", "Connect", "Close", "PoolBegin",
                                   "PoolChunk", "PoolCommit",  "PeDown",      "PeAlive", "PeLeft"};
static_assert(kUpNames.size() == std::variant_size_v<Up> && kDownNames.size() == std::variant_size_v<Down>);

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
