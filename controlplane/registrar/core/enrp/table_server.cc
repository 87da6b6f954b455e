// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/table_server.h"

#include <algorithm>
#include <optional>

#include "controlplane/rserpool/wire/builders.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "controlplane/rserpool/wire/parameters.h"

namespace poolgate::registrar {

namespace enrp = rserpool::enrp;
namespace wire = rserpool::wire;
using rserpool::kNoPe;
using rserpool::PeIndex;

namespace {

// Bytes of one chunk of a table: several hundred PEs, some tenths of a millisecond to write, and far from the
// size at which a peer's buffers end.
constexpr size_t kChunk = 16 * 1024;
// PEs that one chunk looks at, at some 0.2 us each: many may be another server's when only our own are asked
// for, or nothing that the partner can hold. A chunk may then be empty, and not the last: RFC 5353 §2.3 says
// that it SHOULD have a PE, RSPLIB asks on, and so do we.
constexpr size_t kMaxSteps = 10'000;
// A download that is not continued is forgotten (RFC 5353 §3.2.3).
constexpr Micros kDownloadTimeout = 30 * kSecond;
// RFC 5353 §2.6, and RFC 5354 §3.11 before the transport.
constexpr size_t kListHeader = 12, kServerHeader = 8;

std::string encoded(const enrp::Message& message) {
  std::string bytes;
  return enrp::encode(message, bytes) ? bytes : std::string();
}

}  // namespace

// RFC 5353 §3.2.2.2: the servers that we know; the asker knows us.
void TableServer::answer_list(const Request& request, const enrp::ListRequest& message, bool serving) {
  enrp::ListResponse list{context_.server_id, message.sender, !serving, {}};
  if (serving) {
    size_t room = wire::kMaxMessageLength - kListHeader;
    for (const Peer& peer : peers_.list()) {
      if (peer.id == 0 || peer.id == message.sender || peer.addresses.empty() || !peer.active) continue;
      auto& server = list.servers.emplace_back();
      server.server = peer.id;
      server.transport.port = peer.port;
      const size_t n = std::min(peer.addresses.size(), wire::kMaxTransportAddresses);
      server.transport.addresses.assign(peer.addresses.begin(),
                                        peer.addresses.begin() + static_cast<ptrdiff_t>(n));
      const size_t length = kServerHeader + wire::transport_parameter(server.transport).size();
      if (length > room) {
        list.servers.pop_back();
        continue;
      }
      room -= length;
    }
  }
  answer(context_, request, encoded(list));
}

// As the partner can read it; false: it is not for it.
bool TableServer::read(PeIndex pe, const Partner& partner) { return own_.read(pe, partner, element_); }

// RFC 5353 §3.2.3. The W flag is that of each request (conformance §12.17).
void TableServer::answer_table(const Request& request, const Partner& partner,
                               const enrp::HandleTableRequest& message, bool able) {
  TableDownload& download = request.association->download;
  if (!able) {
    download = {};
    answer(context_, request,
           encoded(enrp::HandleTableResponse{context_.server_id, message.sender, true, false, {}}));
    return;
  }
  if (!download.cursor.started || download.cursor.ended ||
      download.used + kDownloadTimeout < context_.clock.now()) {
    download.cursor = {};
  }
  download.used = context_.clock.now();
  std::string bytes;
  std::optional<wire::TableResponseBuilder> builder;
  builder.emplace(bytes, context_.server_id, message.sender, kChunk);
  rserpool::KeyCursor before;
  for (size_t step = 0; step < kMaxSteps; ++step) {
    before = download.cursor;
    const PeIndex pe = context_.space.next(download.cursor);
    if (pe == kNoPe) break;
    if (message.own_only && context_.space.record(pe).home != context_.server_id) continue;
    if (!read(pe, partner)) continue;
    const auto handle = context_.space.handle(context_.space.record(pe).pool);
    if (builder->append(handle, element_)) continue;
    if (builder->count() == 0) {
      // A handle may be longer than a chunk: then it has one as long as a message can be.
      builder.emplace(bytes, context_.server_id, message.sender, wire::kMaxMessageLength);
      if (builder->append(handle, element_)) continue;
      context_.out.log(Log::Level::warn, "enrp-table",
                       pe_text(handle, element_.id) + " does not fit a table response");
      continue;
    }
    download.cursor = before;
    break;
  }
  const bool more = !download.cursor.ended;
  if (!more) download.cursor = {};
  if (!builder->finish(more)) return;
  ++context_.counters.handle_tables_sent;
  answer(context_, request, std::move(bytes));
}

}  // namespace poolgate::registrar
