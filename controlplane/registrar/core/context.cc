// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/context.h"

#include "controlplane/rserpool/wire/code_points.h"

namespace poolgate::registrar {

namespace {

void send(Context& context, const Request& request, uint64_t answers, std::string bytes) {
  if (bytes.empty()) return;
  if (request.over_tcp()) {
    context.out.put(TcpSend{request.connection, std::move(bytes)});
    return;
  }
  const Association& association = *request.association;
  const bool asap = association.service == channel::SctpService::asap;
  context.out.put(channel::MessageDown{.association = association.name,
                                       .answers = answers,
                                       .stream = association.answer_stream(request.stream),
                                       .ppid = asap ? rserpool::wire::kAsapPpid : rserpool::wire::kEnrpPpid,
                                       .payload = std::move(bytes)});
}

}  // namespace

void answer(Context& context, const Request& request, std::string bytes) {
  send(context, request, request.sequence, std::move(bytes));
}

void send_along(Context& context, const Request& request, std::string bytes) {
  send(context, request, 0, std::move(bytes));
}

void send_asap(Context& context, const Association& association, std::string bytes) {
  if (bytes.empty()) return;
  context.out.put(channel::MessageDown{
      .association = association.name, .ppid = rserpool::wire::kAsapPpid, .payload = std::move(bytes)});
}

}  // namespace poolgate::registrar
