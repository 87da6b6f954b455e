// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "controlplane/config/config.h"

namespace poolgate::config {

// An error that names what the configuration lacks for the data plane: the registrar by itself does without.
Result<bool> serves_as_dataplane(const Config& config);
// An error that names what a reload must not take because of the ports, which only a restart changes.
Result<bool> suits_what_runs(const Config& read, const Config& runs);

}  // namespace poolgate::config
