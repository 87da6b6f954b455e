// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "dataplane/capture/capture.h"
#include "dataplane/cli/source.h"
#include "dataplane/worker/appliance.h"

namespace poolgate::worker {

// The CLI's view of the data plane: counters are read where they are; what belongs to the main lcore or to
// the endpoint's worker is asked of them, for at most a second. Used by the CLI's thread only.
class Inspection final : public cli::Source {
 public:
  explicit Inspection(Appliance& appliance) : appliance_(appliance) {}

  Result<cli::Report> port_stats(std::string_view port) override;
  Result<cli::Report> port_xstats(std::string_view port) override;
  Result<cli::Report> port_info(std::string_view port) override;
  Result<cli::Report> clear_port(std::string_view port, bool xstats) override;
  Result<cli::Report> config(bool all) override;
  Result<cli::Report> pools(std::string_view pool) override;
  Result<cli::Report> services(std::string_view service) override;
  Result<cli::Report> sessions(const cli::SessionFilter& wanted) override;
  Result<cli::Report> associations() override;
  Result<cli::Report> drops() override;
  Result<cli::Report> clear_drops() override;
  Result<cli::Report> clear_held(std::string_view pool) override;
  Result<cli::Report> workers() override;
  Result<cli::Report> start() override;
  Result<cli::Report> stop() override;
  Result<cli::Report> capture(std::string_view port, std::string_view file, uint32_t frames) override;
  Result<cli::Report> capture_stop(std::string_view port) override;
  Result<cli::Report> captures() override;
  Result<cli::Report> set_pe(std::string_view pool, uint32_t pe_id, std::string_view state) override;
  Result<cli::Report> set_service(std::string_view service, std::string_view state) override;

 private:
  // Runs `what` on the main lcore; an error if it does not come to it in time.
  Result<cli::Report> on_main(std::function<Result<cli::Report>()> what);
  Result<std::vector<drivers::PortInfo>> ports(std::string_view wanted);
  // On the main lcore; the error names what is not there.
  Result<bool> has_pe(const std::string& pool, uint32_t pe_id);
  Result<std::set<std::string>> services_of(const cli::SessionFilter& wanted);
  void describe_pool(cli::Report& report, const std::string& handle);
  static void note_guard(cli::Report& report, const std::string& handle);
  void describe_service(cli::Report::Section& services, cli::Report::Section& elements,
                        const redirect::ServiceEntry& service);

  Appliance& appliance_;
  // What `clear drops` took as zero: the counters themselves are their workers' alone.
  using Drops = std::vector<std::array<uint64_t, redirect::kDropReasons>>;
  Drops read_drops() const;
  Drops drops_zero_;
  std::map<std::string, std::unique_ptr<capture::Capture>> captures_;  // by port: the last of each
};

}  // namespace poolgate::worker
