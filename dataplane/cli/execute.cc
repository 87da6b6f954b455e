// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/cli/execute.h"

#include <charconv>
#include <cstring>
#include <fstream>

#include "dataplane/cli/grammar.h"

namespace poolgate::cli {

namespace {

// Decimal, or hexadecimal with 0x.
Result<uint32_t> number(const std::string& word, std::string_view what) {
  const bool hex = word.starts_with("0x") || word.starts_with("0X");
  const char* begin = word.data() + (hex ? 2 : 0);
  const char* end = word.data() + word.size();
  uint32_t value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value, hex ? 16 : 10);
  if (error != std::errc() || stop != end || begin == end) {
    return Error{"\"" + word + "\" is not " + std::string(what)};
  }
  return value;
}

constexpr std::string_view kPeId = "a PE identifier (decimal, or 0x and hexadecimal)";

// "all", or a number of them.
Result<SessionFilter> first_sessions(const std::string& word) {
  SessionFilter wanted;
  if (word == "all") return wanted;
  const auto limit = number(word, "a count of sessions");
  if (!limit) return limit.error();
  wanted.limit = *limit;
  return wanted;
}

// service <service>, client <address>, pe <pool> <id>
Result<SessionFilter> sessions_of(const std::vector<std::string>& w) {
  SessionFilter wanted;
  if (w[2] == "service") {
    wanted.service = w[3];
  } else if (w[2] == "client") {
    wanted.client = rserpool::IpAddress::parse(w[3]);
    if (!wanted.client) return Error{"\"" + w[3] + "\" is not an IPv4 or IPv6 address"};
  } else {
    const auto id = number(w[4], kPeId);
    if (!id) return id.error();
    wanted.pool = w[3];
    wanted.pe = *id;
  }
  return wanted;
}

Result<Report> run(const ParsedCommand& c, Source& source) {
  const auto& w = c.words;
  switch (c.spec->id) {
    case CommandId::start:
      return source.start();
    case CommandId::stop:
      return source.stop();
    case CommandId::show_port:
      return w[2] == "stats"    ? source.port_stats(w[3])
             : w[2] == "xstats" ? source.port_xstats(w[3])
                                : source.port_info(w[3]);
    case CommandId::clear_port:
      return source.clear_port(w[3], w[2] == "xstats");
    case CommandId::show_config:
      return source.config(w[2] == "all");
    case CommandId::show_pool:
      return source.pools(w[2]);
    case CommandId::show_service:
      return source.services(w[2]);
    case CommandId::show_session:
    case CommandId::show_session_of: {
      const auto wanted = c.spec->id == CommandId::show_session ? first_sessions(w[2]) : sessions_of(w);
      if (!wanted) return wanted.error();
      return source.sessions(*wanted);
    }
    case CommandId::show_assoc:
      return source.associations();
    case CommandId::show_drops:
      return source.drops();
    case CommandId::clear_drops:
      return source.clear_drops();
    case CommandId::clear_held:
      return source.clear_held(w[2]);
    case CommandId::show_worker:
      return source.workers();
    case CommandId::capture: {
      const auto frames = number(w[3], "a count of frames");
      if (!frames) return frames.error();
      return source.capture(w[1], w[2], *frames);
    }
    case CommandId::capture_stop:
      return source.capture_stop(w[1]);
    case CommandId::show_capture:
      return source.captures();
    case CommandId::set_pe: {
      const auto id = number(w[3], kPeId);
      if (!id) return id.error();
      return source.set_pe(w[2], *id, w[4]);
    }
    case CommandId::set_service:
      return source.set_service(w[2], w[3]);
    case CommandId::help:
    case CommandId::quit:
    case CommandId::show_registrar:
      break;
  }
  return Error{"\"" + std::string(c.spec->words) + "\" is for poolgate-cli: the data plane does not know it"};
}

}  // namespace

Result<std::string> execute(std::string_view line, Source& source) {
  const auto parsed = parse_command(line);
  if (!parsed) return parsed.error();
  if (!parsed->spec) return std::string();
  if (parsed->spec->id == CommandId::help) return help_text(*parsed);
  const auto report = run(*parsed, source);
  if (!report) return report.error();
  return parsed->json ? report->json() : report->text();
}

Result<std::string> execute_file(const std::string& path, Source& source, std::ostream& out) {
  std::ifstream in(path);
  if (!in) return Error{path + ": cannot be read: " + std::strerror(errno)};
  std::string line;
  for (unsigned n = 1; std::getline(in, line); ++n) {
    const auto result = execute(line, source);
    if (!result) return Error{path + ":" + std::to_string(n) + ": " + result.error().text};
    out << *result << std::flush;
  }
  return std::string();
}

}  // namespace poolgate::cli
