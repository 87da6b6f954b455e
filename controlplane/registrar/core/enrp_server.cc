// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp_server.h"

#include <algorithm>
#include <utility>

#include "controlplane/registrar/core/pe_flags.h"

namespace poolgate::registrar {

namespace enrp = rserpool::enrp;
namespace wire = rserpool::wire;
using rserpool::ServerId;

// ---- life

void EnrpServer::start(bool restored) {
  for (const ServerId home : context_.space.owners()) peers_.restore_owner(home);
  for (rserpool::PeIndex pe = context_.space.first_of_owner(context_.server_id); pe != rserpool::kNoPe;
       pe = context_.space.next_of_owner(pe)) {
    if ((context_.space.notes(pe).flags & kClaiming) != 0) claims_.resume(pe);
  }
  joining_.start(restored);
}

void EnrpServer::channel_lost() {
  for (Peer& peer : peers_.list()) downloads_.abandon(peer);
  peers_.channel_lost();
  claims_.channel_lost();
  joining_.channel_lost();
}

void EnrpServer::replay_done() {
  peers_.replay_done();
  takeovers_.replay_done();
  presence_.restart();
  peers_.tick();
  joining_.replay_done();
}

void EnrpServer::up(Association& association, const channel::AssociationUp& up) {
  Peer* peer = peers_.up(association, up);
  if (peer == nullptr) return;
  if (up.request != 0) presence_.ask(*peer);
  joining_.connected(*peer);
}

void EnrpServer::down(const channel::AssociationName& name) {
  peers_.down(name);
  downloads_.lost(name, [this](Peer& peer) { audit_.again(peer); });
  joining_.lost(name);
}

void EnrpServer::reload() {
  peers_.configure();
  presence_.restart();
}

// ---- messages

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
  enrp::Message& message = parsed->message;
  const ServerId sender = enrp::sender_of(message);
  const ServerId receiver = enrp::receiver_of(message);
  // 0 is for all (RFC 5353 §2.1); what is for another server has been misled.
  if (sender == 0 || sender == context_.server_id || (receiver != 0 && receiver != context_.server_id)) {
    ++context_.counters.unexpected_messages;
    if (sender == context_.server_id) peers_.our_id_at(request.association->addresses);
    context_.out.log(Log::Level::warn, "enrp " + request.peer,
                     request.peer + ": ENRP message from or to an id that cannot be");
    return;
  }
  const bool known = request.association->server == sender && peers_.by_id(sender) != nullptr;
  Peer* peer = peers_.identify(*request.association, sender);
  if (peer == nullptr) {
    ++context_.counters.unexpected_messages;
    return stranger(request, message);
  }
  presence_.heard(*peer);
  takeovers_.alive(sender);
  // RFC 5353 §3.4.1: a server that we did not know is asked for its own presence.
  const auto* its_presence = std::get_if<enrp::Presence>(&message);
  const bool asks = its_presence != nullptr && its_presence->reply_required;
  if (!known && !asks) {
    ++context_.counters.presences_sent;
    send_along(context_, request, presence_.message(peer->partner, sender, true));
  }
  dispatch(request, *peer, message);
  if (std::holds_alternative<enrp::ErrorMessage>(message) || parsed->unrecognized.empty()) return;
  context_.counters.unrecognized_parameters += parsed->unrecognized.size();
  report(request, sender, wire::causes_of(parsed->unrecognized));
}

// The list of peers has no place for it. If it heard nothing of us it would take us for dead (RFC 5353
// §3.4.3), and have our PEs taken over.
void EnrpServer::stranger(const Request& request, const enrp::Message& message) {
  const ServerId sender = enrp::sender_of(message);
  const Partner partner = partner_of(context_.settings.registrar, sender, request.association->addresses);
  const auto* its_presence = std::get_if<enrp::Presence>(&message);
  const auto* takeover = std::get_if<enrp::InitTakeover>(&message);
  if ((its_presence != nullptr && its_presence->reply_required) ||
      (takeover != nullptr && takeover->target == context_.server_id)) {
    ++context_.counters.presences_sent;
    answer(context_, request, presence_.message(partner, sender, false));
  }
  if (const auto* m = std::get_if<enrp::ListRequest>(&message)) tables_.answer_list(request, *m, false);
  if (const auto* m = std::get_if<enrp::HandleTableRequest>(&message))
    tables_.answer_table(request, partner, *m, false);
}

void EnrpServer::dispatch(const Request& request, Peer& peer, enrp::Message& message) {
  if (const auto* m = std::get_if<enrp::Presence>(&message)) return handle(request, peer, *m);
  if (const auto* m = std::get_if<enrp::HandleUpdate>(&message)) return foreign_.update(peer, *m);
  if (const auto* m = std::get_if<enrp::ListRequest>(&message))
    return tables_.answer_list(request, *m, serving());
  if (const auto* m = std::get_if<enrp::HandleTableRequest>(&message))
    return tables_.answer_table(request, peer.partner, *m,
                                serving() && !(m->own_only && bulk_.concerns(context_.server_id)));
  if (const auto* m = std::get_if<enrp::ListResponse>(&message)) return handle(peer, *m);
  if (auto* m = std::get_if<enrp::HandleTableResponse>(&message)) {
    const bool own_only = peer.download.own_only;
    if (const auto end = downloads_.response(peer, *m)) table_ended(peer, own_only, *end);
    return;
  }
  if (const auto* m = std::get_if<enrp::InitTakeover>(&message)) return takeovers_.initiated(peer, m->target);
  if (const auto* m = std::get_if<enrp::InitTakeoverAck>(&message))
    return takeovers_.acknowledged(peer, m->target);
  if (const auto* m = std::get_if<enrp::TakeoverServer>(&message))
    return takeovers_.enforced(peer, m->target);
  ++context_.counters.errors_received;
}

// RFC 5353 §2.1, §3.4, §3.6.1.
void EnrpServer::handle(const Request& request, Peer& peer, const enrp::Presence& message) {
  if (message.information && message.information->server == peer.id)
    peers_.learn(peer.id, message.information->transport, true);
  if (peer.asked_at != 0 && !message.reply_required) {
    peer.round_trip_ms = static_cast<uint32_t>((context_.clock.now() - peer.asked_at) / kMilli);
    peer.asked_at = 0;
  }
  if (message.reply_required) {
    ++context_.counters.presences_sent;
    answer(context_, request, presence_.message(peer.partner, peer.id, false));
  }
  // Whom it knows and we do not: two sides of a network that was apart have forgotten each other, and only
  // one server of each may know one of the other.
  if (message.information && serving() && peer.asked_list_over != peer.association) {
    peer.asked_list_over = peer.association;
    std::string bytes;
    if (enrp::encode(enrp::Message(enrp::ListRequest{context_.server_id, peer.id}), bytes))
      peers_.send(peer, std::move(bytes));
  }
  if (!message.checksum) return;
  if (serving()) {
    audit_.checksum(peer, *message.checksum);
  } else {
    audit_.later(peer, *message.checksum);
  }
}

void EnrpServer::handle(Peer& peer, const enrp::ListResponse& message) {
  for (const enrp::ServerInformation& server : message.servers)
    peers_.learn(server.server, server.transport, false);
  joining_.listed(peer, message.rejected);
  peers_.tick();
}

void EnrpServer::table_ended(Peer& peer, bool own_only, DownloadEnd end) {
  if (own_only) {
    audit_.table_ended(peer, end);
  } else {
    joining_.table_ended(peer, end);
  }
}

void EnrpServer::announced(std::string_view bytes) {
  const auto parsed = enrp::parse(bytes);
  if (!parsed.ok()) return;
  const auto* presence = std::get_if<enrp::Presence>(&parsed->message);
  if (presence == nullptr || !presence->information || presence->information->server != presence->sender)
    return;
  if (presence->sender == context_.server_id) peers_.our_id_at(presence->information->transport.addresses);
  peers_.learn(presence->sender, presence->information->transport, false);
}

// ---- time

void EnrpServer::tick() {
  peers_.tick();
  joining_.tick();
  downloads_.tick([this](Peer& peer, bool own_only, DownloadEnd end) { table_ended(peer, own_only, end); });
  if (serving()) {
    presence_.tick([this](ServerId server) { takeovers_.dead(server); });
    audit_.tick();
    takeovers_.tick();
  }
  bulk_.tick();
}

Micros EnrpServer::next_deadline() const {
  Micros next = std::min(
      {peers_.next_deadline(), joining_.next_deadline(), downloads_.next_deadline(), bulk_.next_deadline()});
  if (serving())
    next = std::min({next, presence_.next_deadline(), audit_.next_deadline(), takeovers_.next_deadline()});
  return next;
}

}  // namespace poolgate::registrar
