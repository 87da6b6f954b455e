// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "controlplane/config/config.h"

namespace poolgate::config {

// An error that names what the configuration lacks for the data plane: the registrar by itself does without.
Result<bool> serves_as_dataplane(const Config& config);

}  // namespace poolgate::config
