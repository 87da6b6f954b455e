// SPDX-License-Identifier: BSD-3-Clause
// poolgate-cli: attaches to a running appliance; one command from its arguments, a file of them, or a prompt.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "controlplane/config/config.h"
#include "controlplane/transport/command_socket.h"
#include "dataplane/cli/doctor.h"
#include "dataplane/cli/grammar.h"
#include "dataplane/cli/prompt.h"
#include "dataplane/cli/report.h"

namespace poolgate::cli {
namespace {

struct Sockets {
  std::string dataplane;
  std::string registrar;
};

Result<std::string> run_line(const Sockets& sockets, const std::string& line) {
  const auto parsed = parse_command(line);
  if (!parsed) return parsed.error();
  if (!parsed->spec) return std::string();
  switch (parsed->spec->target) {
    case Target::self:
      return parsed->spec->id == CommandId::help ? help_text(*parsed) : std::string();
    case Target::dataplane:
      return transport::ask(sockets.dataplane, line);
    case Target::registrar:
      return transport::ask(sockets.registrar, line);
  }
  return Error{"no such command"};
}

bool is_quit(const std::string& line) {
  const auto parsed = parse_command(line);
  return parsed && parsed->spec && parsed->spec->id == CommandId::quit;
}

int fail(const std::string& text) {
  std::cerr << "poolgate-cli: " << text << "\n";
  return 1;
}

// Stops at the first error and names the line.
int run_stream(const Sockets& sockets, std::istream& in, const std::string& name) {
  std::string line;
  for (unsigned n = 1; std::getline(in, line); ++n) {
    if (is_quit(line)) return 0;
    const auto result = run_line(sockets, line);
    if (!result) return fail(name + ":" + std::to_string(n) + ": " + result.error().text);
    std::cout << *result << std::flush;
  }
  return 0;
}

// What exists now, for completion: names of pools, services, ports. Nothing when the data plane does not
// answer.
std::vector<std::string> names_for(const Sockets& sockets, std::string_view parameter) {
  const bool pool = parameter == "<pool>", service = parameter == "<service>", port = parameter == "<port>";
  if (!pool && !service && !port) return {};
  const char* command = pool      ? "show pool all json"
                        : service ? "show service all json"
                                  : "show port stats all json";
  const auto reply = transport::ask(sockets.dataplane, command);
  std::vector<std::string> names;
  if (!reply) return names;
  const auto json = nlohmann::json::parse(*reply, nullptr, false);
  const std::string key = pool ? "pool" : service ? "service" : "port";
  if (!json.is_object() || !json.contains(key + "s")) return names;
  for (const auto& row : json[key + "s"]) {
    if (row.is_object() && row.contains(key) && row[key].is_string())
      names.push_back(row[key].get<std::string>());
  }
  return names;
}

int prompt(const Sockets& sockets) {
  Prompt p(
      [&](const std::string& line) {
        if (is_quit(line)) return false;
        const auto result = run_line(sockets, line);
        std::cout << (result ? *result : "error: " + result.error().text + "\n") << std::flush;
        return true;
      },
      [&](std::string_view parameter) { return names_for(sockets, parameter); });
  return p.interact() ? 0 : fail("the terminal cannot be used");
}

// The shell's words as a line of the prompt: one that was quoted there stays one here. A single one is a
// line.
std::string line_of(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    const bool whole = words.size() > 1 && word.find('"') == std::string::npos &&
                       (word.empty() || word.find_first_of(" \t#") != std::string::npos);
    line += (line.empty() ? "" : " ") + (whole ? "\"" + word + "\"" : word);
  }
  return line;
}

// Before the appliance is started: reads the configuration and the machine.
int doctor(const std::string& config_file) {
  const auto loaded = config::load(config_file.empty() ? "/etc/poolgate/poolgate.toml" : config_file);
  if (!loaded) return fail(loaded.error().text);
  const auto findings = examine(*loaded, "");
  std::cout << to_text(findings);
  return has_error(findings) ? 1 : 0;
}

int main(int argc, char** argv) {
  CLI::App app{"Poolgate's command line: shows and steers a running appliance"};
  std::string run_dir = "/run/poolgate", config_file, command_file;
  std::vector<std::string> command;
  app.add_option("--run-dir", run_dir, "where the appliance's sockets are")->capture_default_str();
  app.add_option(
      "-c,--config", config_file,
      "take the run directory from this configuration; doctor examines it (/etc/poolgate/poolgate.toml)");
  app.add_option("--cmdline-file", command_file, "run the commands of a file; the first error stops it");
  app.add_option("command", command, "one command, e.g. show pool all json; doctor; none: a prompt");
  app.positionals_at_end();
  app.set_version_flag("--version", "poolgate-cli " POOLGATE_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 1;  // the library has numbers of its own
  }

  if (command == std::vector<std::string>{"doctor"}) return doctor(config_file);
  if (!config_file.empty()) {
    const auto loaded = config::load(config_file);
    if (!loaded) return fail(loaded.error().text);
    run_dir = loaded->general.run_dir;
  }
  config::Config paths;
  paths.general.run_dir = run_dir;
  const Sockets sockets{paths.dataplane_cli_path(), paths.registrar_cli_path()};
  if (!command_file.empty()) {
    std::ifstream in(command_file);
    return in ? run_stream(sockets, in, command_file)
              : fail(command_file + ": cannot be read: " + std::strerror(errno));
  }
  if (!command.empty()) {
    const auto result = run_line(sockets, line_of(command));
    if (!result) return fail(result.error().text);
    std::cout << *result;
    return 0;
  }
  return isatty(STDIN_FILENO) ? prompt(sockets) : run_stream(sockets, std::cin, "stdin");
}

}  // namespace
}  // namespace poolgate::cli

int main(int argc, char** argv) { return poolgate::cli::main(argc, argv); }
