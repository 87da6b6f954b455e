// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <istream>
#include <ostream>
#include <string>
#include <string_view>

#include "controlplane/rserpool/result.h"
#include "dataplane/cli/source.h"

namespace poolgate::cli {

// Runs one line against the data plane; the text to print, or the error.
Result<std::string> execute(std::string_view line, Source& source);

// Runs a command file; stops at the first error, which names the file's line. Output goes to `out` as it
// comes.
Result<std::string> execute_file(const std::string& path, Source& source, std::ostream& out);

}  // namespace poolgate::cli
