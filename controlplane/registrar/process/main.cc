// SPDX-License-Identifier: BSD-3-Clause
// poolgate-registrar --config FILE [--check]
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "controlplane/config/config.h"
#include "controlplane/registrar/process/log.h"
#include "controlplane/registrar/process/registrar_process.h"

namespace poolgate::registrar {
namespace {

std::string machine_id() {
  std::string id;
  std::ifstream("/etc/machine-id") >> id;
  return id;
}

// A pid file for those who start us by hand; removed at a clean end.
class PidFile {
 public:
  explicit PidFile(std::string path) : path_(std::move(path)) { std::ofstream(path_) << ::getpid() << "\n"; }
  ~PidFile() { ::unlink(path_.c_str()); }
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

 private:
  std::string path_;
};

void wait_for_hangup(asio::signal_set& hangup, const std::string& file, RegistrarProcess& process) {
  hangup.async_wait([&hangup, &file, &process](const asio::error_code& error, int) {
    if (error) return;
    if (auto loaded = config::load(file); loaded.ok())
      process.reload(std::move(*loaded));
    else
      std::cerr << loaded.error().text << "\npoolgate-registrar: the old configuration stays\n";
    wait_for_hangup(hangup, file, process);
  });
}

int run(const std::string& file, config::Config config) {
  RateLimitedLog::set_level(config.general.log_level);
  std::error_code error;
  std::filesystem::create_directories(config.general.run_dir, error);
  if (error) {
    std::cerr << "poolgate-registrar: general.run_dir " << config.general.run_dir << ": " << error.message()
              << "\n";
    return 1;
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file limit is a full disk, not the end
  asio::io_context loop(1);
  // Before the journal is read: a signal that comes meanwhile waits until the loop can end, or reload,
  // cleanly.
  asio::signal_set end(loop, SIGTERM, SIGINT);
  asio::signal_set hangup(loop, SIGHUP);
  const std::string pid_path = config.general.run_dir + "/registrar.pid";
  auto made = RegistrarProcess::make(loop, std::move(config), machine_id());
  if (!made.ok()) {
    std::cerr << "poolgate-registrar: " << made.error().text << "\n";
    return 1;
  }
  RegistrarProcess& process = **made;
  const PidFile pid(pid_path);
  end.async_wait([&](const asio::error_code& stopped, int signal) {
    if (stopped) return;
    spdlog::info("{}: stopping", signal == SIGTERM ? "SIGTERM" : "SIGINT");
    hangup.cancel();
    process.stop();
    loop.stop();
  });
  wait_for_hangup(hangup, file, process);
  process.start();
  loop.run();
  return 0;
}

}  // namespace
}  // namespace poolgate::registrar

int main(int argc, char** argv) {
  CLI::App app("The registrar of Poolgate (RSerPool, RFC 5351-5356)", "poolgate-registrar");
  std::string file = "/etc/poolgate/poolgate.toml";
  bool check = false;
  app.add_option("-c,--config", file, "the configuration, of both processes")->capture_default_str();
  app.add_flag("--check", check, "check the configuration and exit");
  app.set_version_flag("--version", "poolgate-registrar " POOLGATE_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 1;  // the library has numbers of its own
  }
  auto config = poolgate::config::load(file);
  if (!config.ok()) {
    std::cerr << config.error().text << (config.error().text.ends_with('\n') ? "" : "\n");
    return 1;
  }
  if (check) {
    std::cout << file << ": no errors\n";
    return 0;
  }
  return poolgate::registrar::run(file, std::move(*config));
}
