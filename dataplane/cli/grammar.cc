// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/cli/grammar.h"

#include <algorithm>

#include "controlplane/rserpool/text.h"

namespace poolgate::cli {

namespace {

using enum CommandId;
using enum Target;

constexpr CommandSpec kCommands[] = {
    {help, self, "help all|control|display|config", false, "the commands of one topic"},
    {help, self, "help", false, "this list"},
    {start, dataplane, "start", false, "start forwarding"},
    {stop, dataplane, "stop", false,
     "stop forwarding: packets stay in the device, and are lost once it is full"},
    {quit, self, "quit", false, "leave the prompt; the data plane goes on"},
    {capture, dataplane, "capture <port> <file> <count>", false,
     "the next frames that a port receives or sends, into a new pcapng file"},
    {capture_stop, dataplane, "capture <port> stop", false, "end a capture before it has its frames"},
    {show_port, dataplane, "show port stats|xstats|info [all|<port>]", true,
     "counters, extended counters, what the NIC can do"},
    {clear_port, dataplane, "clear port stats|xstats all|<port>", false, "set the counters to zero"},
    {show_config, dataplane, "show config fwd|all", true,
     "cores, ports and queues; all: [general], [dataplane] and [sctp] too"},
    {show_pool, dataplane, "show pool [all|<pool>]", true, "the pools that redirect uses, with their PEs"},
    {show_service, dataplane, "show service [all|<service>]", true, "services, and why a PE is not eligible"},
    {show_session, dataplane, "show session [all|<limit>]", true, "sessions (all: at most 100,000)"},
    {show_session_of, dataplane, "show session service <service>", true, "those of one service"},
    {show_session_of, dataplane, "show session client <address>", true, "those of one client"},
    {show_session_of, dataplane, "show session pe <pool> <id>", true, "those that one PE serves"},
    {show_assoc, dataplane, "show assoc [all]", true, "our own SCTP associations and their paths"},
    {show_drops, dataplane, "show drops", true, "dropped packets by reason and worker"},
    {clear_drops, dataplane, "clear drops", false, "set the drop counters to zero"},
    {clear_held, dataplane, "clear held <pool>", false,
     "end the sessions that the guard holds, as if their PEs died now"},
    {show_worker, dataplane, "show worker [all]", true,
     "workers: load, cycles a stage, share of SCTP timers"},
    {show_capture, dataplane, "show capture", true,
     "captures: what runs, what is in the files, what was lost"},
    {show_registrar, registrar, "show registrar", true, "the registrar: identity, channel, PEs, counters"},
    {show_registrar, registrar, "show registrar pool [all|<pool>]", true, "the registrar's handlespace"},
    {show_registrar, registrar, "show registrar peers", true, "the other registrars of the scope"},
    {set_pe, dataplane, "set pe <pool> <id> up|drain|block", false,
     "up: eligible; drain: keeps its flows, gets no new ones; block: no packets at all"},
    {set_service, dataplane, "set service <service> up|drain", false, "drain: no new flows for this service"},
};

bool is_parameter(std::string_view word) { return word.starts_with('<') && word.ends_with('>'); }

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool matches(std::string_view pattern, std::string_view word) {
  const auto choices = split(pattern, '|');
  return std::any_of(choices.begin(), choices.end(),
                     [&](std::string_view choice) { return takes(choice, word) || choice == word; });
}

std::string_view topic_of(const CommandSpec& spec) {
  if (spec.words.starts_with("show ")) return "display";
  return spec.words.starts_with("set ") || spec.words.starts_with("clear ") ? "config" : "control";
}

}  // namespace

std::span<const CommandSpec> commands() { return kCommands; }

std::vector<std::string_view> words_of(const CommandSpec& spec) {
  auto words = split(spec.words, ' ');
  if (may_end_early(spec)) words.back() = words.back().substr(1, words.back().size() - 2);
  return words;
}

bool takes(std::string_view parameter, std::string_view word) {
  if (!is_parameter(parameter)) return false;
  return parameter != "<limit>" || (!word.empty() && word.front() >= '0' && word.front() <= '9');
}

Result<ParsedCommand> parse_command(std::string_view line) {
  auto words = rserpool::split_words(line);
  if (!words) return words.error();
  ParsedCommand parsed;
  parsed.words = std::move(*words);
  if (parsed.words.empty()) return parsed;
  const bool asks_json = parsed.words.size() > 1 && parsed.words.back() == "json";
  const bool plain_json = asks_json && line.find("json\"") == std::string_view::npos;  // no name in quotes
  size_t best = 0;                    // words matched by the commands that came nearest
  std::vector<std::string> expected;  // what they wanted next
  for (const CommandSpec& spec : kCommands) {
    const auto pattern = words_of(spec);
    const size_t whole = pattern.size(), typed = parsed.words.size();
    const bool shortened =
        may_end_early(spec) && (plain_json && spec.json ? typed == whole : typed == whole - 1);
    const bool json = asks_json && spec.json && (shortened ? typed == whole : typed == whole + 1);
    const size_t given = parsed.words.size() - (json ? 1 : 0);
    size_t n = 0;
    while (n < pattern.size() && n < given && matches(pattern[n], parsed.words[n])) ++n;
    if (n == given && (n == whole || (shortened && n == whole - 1))) {
      parsed.spec = &spec;
      parsed.json = json;
      if (parsed.json) parsed.words.pop_back();
      if (shortened) parsed.words.emplace_back("all");
      return parsed;
    }
    if (n > best) expected.clear();
    best = std::max(best, n);
    const std::string next(n < pattern.size() ? pattern[n] : "the end of the line");
    if (n == best && std::find(expected.begin(), expected.end(), next) == expected.end())
      expected.push_back(next);
  }
  if (best == 0) return Error{"unknown command \"" + parsed.words[0] + "\" (try: help)"};
  std::string read;
  for (size_t i = 0; i < best; ++i) read += (i ? " " : "") + parsed.words[i];
  const std::string got =
      best < parsed.words.size() ? "not \"" + parsed.words[best] + "\"" : "not the end of the line";
  std::string choices;
  for (const std::string& next : expected) choices += (choices.empty() ? "" : " or ") + next;
  return Error{"after \"" + read + "\" comes " + choices + ", " + got};
}

std::string help_text(std::string_view topic) {
  struct Topic {
    std::string_view name, title;
  };
  size_t width = 0;
  for (const CommandSpec& spec : kCommands) width = std::max(width, spec.words.size() + (spec.json ? 7 : 0));
  std::string text;
  for (const Topic& t :
       {Topic{"control", "Control"}, Topic{"display", "Display"}, Topic{"config", "Configuration"}}) {
    if (topic != "all" && topic != t.name) continue;
    text += (text.empty() ? "" : "\n") + std::string(t.title) + ":\n";
    for (const CommandSpec& spec : kCommands) {
      if (topic_of(spec) != t.name) continue;
      std::string line = "  " + std::string(spec.words) + (spec.json ? " [json]" : "");
      line.resize(width + 2, ' ');
      text += line + "  " + std::string(spec.help) + "\n";
    }
  }
  return text;
}

std::string help_text(const ParsedCommand& command) {
  return help_text(command.words.size() > 1 ? std::string_view(command.words[1]) : "all");
}

}  // namespace poolgate::cli
