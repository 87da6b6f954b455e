// SPDX-License-Identifier: BSD-3-Clause
// What RFC 5353 needs to show this server's table to others: presence, lists and table downloads.
#pragma once

#include <string_view>

#include "controlplane/registrar/core/context.h"
#include "controlplane/rserpool/wire/enrp.h"

namespace poolgate::registrar {

class EnrpServer {
 public:
  explicit EnrpServer(Context& context) : context_(context) {}

  void message(const Request& request, std::string_view bytes);

 private:
  void report(const Request& request, rserpool::ServerId receiver,
              const std::vector<rserpool::ErrorCause>& causes);
  void presence(const Request& request, rserpool::ServerId receiver, bool reply_required, bool as_answer);
  void list(const Request& request, const rserpool::enrp::ListRequest& message);
  void table(const Request& request, const rserpool::enrp::HandleTableRequest& message);

  Context& context_;
};

}  // namespace poolgate::registrar
