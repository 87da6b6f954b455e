// SPDX-License-Identifier: BSD-3-Clause
// The commands as data: the data plane runs them, poolgate-cli completes and explains them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/rserpool/result.h"

namespace poolgate::cli {

enum class CommandId {
  help,
  start,
  stop,
  quit,
  show_port,
  clear_port,
  show_config,
  show_pool,
  show_service,
  show_session,
  show_session_of,
  show_assoc,
  show_drops,
  clear_drops,
  clear_held,
  show_worker,
  show_registrar,
  show_capture,
  capture_stop,
  capture,
  set_pe,
  set_service,
};

// Whom poolgate-cli asks.
enum class Target { dataplane, registrar, self };

struct CommandSpec {
  CommandId id;
  Target target;
  // Words: a literal, a choice "a|b", or a parameter "<name>". A parameter takes any one word; a pool handle
  // with spaces or other bytes is written in quotes, with \xNN for what cannot be typed. A last word in
  // brackets may be left out: then it is "all".
  std::string_view words;
  bool json;  // may be followed by "json"
  std::string_view help;
};

std::span<const CommandSpec> commands();

// Its words one by one, without the brackets.
std::vector<std::string_view> words_of(const CommandSpec& spec);
inline bool may_end_early(const CommandSpec& spec) { return spec.words.ends_with(']'); }
// Whether `word` may stand for the parameter: of <limit>, only what begins like a number.
bool takes(std::string_view parameter, std::string_view word);

struct ParsedCommand {
  const CommandSpec* spec = nullptr;
  std::vector<std::string> words;  // as typed, quotes and escapes resolved, without "json"
  bool json = false;
};

// An empty line or a comment (#) parses to no spec.
Result<ParsedCommand> parse_command(std::string_view line);

// "help" as a person reads it: every command under its topic's title; or those of "control", "display" or
// "config" only.
std::string help_text(std::string_view topic = "all");
// What "help" or "help <topic>" asks for.
std::string help_text(const ParsedCommand& command);

}  // namespace poolgate::cli
