// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp_server.h"

#include <algorithm>

#include "controlplane/rserpool/wire/builders.h"

namespace poolgate::registrar {

namespace enrp = rserpool::enrp;
namespace wire = rserpool::wire;
using rserpool::kNoPe;
using rserpool::PeIndex;
using rserpool::ServerId;

namespace {

// Bytes of one chunk of a table: several hundred PEs, and far from the size at which a peer's buffers end.
constexpr size_t kChunk = 16 * 1024;
// PEs of other owners that one chunk passes over when only our own are asked for.
constexpr size_t kMaxSteps = 100'000;
// A download that is not continued is forgotten (RFC 5353 §3.2.3).
constexpr Micros kDownloadTimeout = 30 * kSecond;

std::string encoded(const enrp::Message& message) {
  std::string bytes;
  return enrp::encode(message, bytes) ? bytes : std::string();
}

}  // namespace

void EnrpServer::report(const Request& request, ServerId receiver,
                        const std::vector<rserpool::ErrorCause>& causes) {
  ++context_.counters.errors_sent;
  send_along(context_, request, enrp::encode_error(context_.server_id, receiver, causes));
}

void EnrpServer::message(const Request& request, std::string_view bytes) {
  ++context_.counters.enrp_messages;
  auto parsed = enrp::parse(bytes);
  if (!parsed.ok()) {
    const wire::ParseError& error = parsed.error();
    ++context_.counters.bad_messages;
    context_.out.log(Log::Level::warn, "bad " + request.peer,
                     request.peer + ": bad ENRP message: " + error.to_string());
    if (error.report && error.message_type != static_cast<uint8_t>(enrp::Type::error)) {
      report(request, error.sender, wire::causes_of(error));
    }
    return;
  }
  const enrp::Message& message = parsed->message;
  const ServerId sender = enrp::sender_of(message);
  const ServerId receiver = enrp::receiver_of(message);
  // 0 is for all (RFC 5353 §2.1); what is for another server has been misled.
  if (sender == 0 || sender == context_.server_id || (receiver != 0 && receiver != context_.server_id)) {
    ++context_.counters.unexpected_messages;
    context_.out.log(Log::Level::warn, "enrp " + request.peer,
                     request.peer + ": ENRP message from or to an id that cannot be");
    return;
  }
  const bool known = request.association->server == sender;
  request.association->server = sender;
  const auto* its_presence = std::get_if<enrp::Presence>(&message);
  const bool asks_presence = its_presence != nullptr && its_presence->reply_required;
  // RFC 5353 §3.4.1: a server that we did not know is asked for its own presence.
  if (!known && !asks_presence) presence(request, sender, true, false);
  if (asks_presence) presence(request, sender, false, true);
  if (const auto* request_list = std::get_if<enrp::ListRequest>(&message)) list(request, *request_list);
  if (const auto* request_table = std::get_if<enrp::HandleTableRequest>(&message))
    table(request, *request_table);
  if (std::holds_alternative<enrp::ErrorMessage>(message)) {
    ++context_.counters.errors_received;
    return;
  }
  if (parsed->unrecognized.empty()) return;
  context_.counters.unrecognized_parameters += parsed->unrecognized.size();
  report(request, sender, wire::causes_of(parsed->unrecognized));
}

// RFC 5353 §2.1. Checksum and Server Information always: RSPLIB reads no other (conformance §12.4).
void EnrpServer::presence(const Request& request, ServerId receiver, bool reply_required, bool as_answer) {
  enrp::Presence message;
  message.sender = context_.server_id;
  message.receiver = receiver;
  message.reply_required = reply_required;
  message.checksum = context_.space.checksum(context_.server_id);
  const auto& addresses = context_.welcome.local_addresses;
  if (!addresses.empty()) {
    auto& information = message.information.emplace();
    information.server = context_.server_id;
    information.transport.port = context_.welcome.enrp_port;
    const size_t n = std::min(addresses.size(), wire::kMaxTransportAddresses);
    information.transport.addresses.assign(addresses.begin(), addresses.begin() + static_cast<ptrdiff_t>(n));
  }
  if (as_answer) {
    answer(context_, request, encoded(message));
  } else {
    send_along(context_, request, encoded(message));
  }
}

// RFC 5353 §3.2.2.2: the servers that we know; the asker knows us.
void EnrpServer::list(const Request& request, const enrp::ListRequest& message) {
  answer(context_, request, encoded(enrp::ListResponse{context_.server_id, message.sender, false, {}}));
}

// RFC 5353 §3.2.3. The W flag is that of each request (conformance §12.17).
void EnrpServer::table(const Request& request, const enrp::HandleTableRequest& message) {
  TableDownload& download = request.association->download;
  if (!download.cursor.started || download.cursor.ended ||
      download.used + kDownloadTimeout < context_.clock.now()) {
    download.cursor = {};
  }
  download.used = context_.clock.now();
  std::string bytes;
  wire::TableResponseBuilder builder(bytes, context_.server_id, message.sender, kChunk);
  rserpool::PoolElement element;
  bool more = false;
  for (;;) {
    const rserpool::KeyCursor before = download.cursor;
    const PeIndex pe = message.own_only
                           ? context_.space.next_of(download.cursor, context_.server_id, kMaxSteps)
                           : context_.space.next(download.cursor);
    if (pe == kNoPe) {
      more = !download.cursor.ended;
      break;
    }
    context_.space.read(pe, element);
    const auto handle = context_.space.handle(context_.space.record(pe).pool);
    if (builder.append(handle, element)) continue;
    if (builder.count() == 0) {
      context_.out.log(Log::Level::warn, "enrp-table",
                       pe_text(handle, element.id) + " does not fit a table response");
      continue;
    }
    download.cursor = before;
    more = true;
    break;
  }
  if (!more) download.cursor = {};
  if (!builder.finish(more)) return;
  ++context_.counters.handle_tables_sent;
  answer(context_, request, std::move(bytes));
}

}  // namespace poolgate::registrar
