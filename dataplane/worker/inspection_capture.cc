// SPDX-License-Identifier: BSD-3-Clause
#include <rte_ether.h>
#include <rte_rcu_qsbr.h>

#include <chrono>
#include <thread>

#include "dataplane/worker/inspection.h"

namespace poolgate::worker {

using cli::Report;

namespace {

// By sleeping: a worker's turn takes microseconds, and whoever waits here is in no hurry.
void wait_for_workers(rte_rcu_qsbr* rcu) {
  const uint64_t token = rte_rcu_qsbr_start(rcu);
  while (rte_rcu_qsbr_check(rcu, token, false) == 0)
    std::this_thread::sleep_for(std::chrono::microseconds(100));
}

std::string outcome(const capture::Capture::View& view) {
  return "port " + view.port + ": " + view.state + ", " + std::to_string(view.frames) + " frames in " +
         view.file + ", " + std::to_string(view.dropped) + " dropped";
}

}  // namespace

Result<Report> Inspection::capture(std::string_view wanted, std::string_view file, uint32_t frames) {
  const auto found = ports(wanted);
  if (!found) return found.error();
  if (found->size() != 1)
    return Error{"a capture is of one port: there are " + std::to_string(found->size())};
  const drivers::PortInfo& port = found->front();
  const auto former = captures_.find(port.name);
  if (former != captures_.end() && former->second->view().running)
    return Error{"port " + port.name + ": a capture into " + former->second->view().file +
                 " is running (capture " + port.name + " stop ends it)"};
  capture::CaptureSettings settings;
  settings.tap.port_id = port.port_id;
  settings.tap.rx_queues = port.rx_queues;
  settings.tap.tx_queues = port.tx_queues;
  settings.tap.snap = port.mtu + RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN;
  settings.port = port.name;
  settings.file = file;
  settings.frames = frames;
  settings.wait_for_workers = [rcu = appliance_.rcu()] { wait_for_workers(rcu); };
  auto started = capture::Capture::start(std::move(settings));
  if (!started) return started.error();
  captures_[port.name] = std::move(*started);
  Report report;
  report.note("port " + port.name + ": the next " + std::to_string(frames) + " frames go to " +
              std::string(file) + " (show capture; capture " + port.name + " stop)");
  return report;
}

Result<Report> Inspection::capture_stop(std::string_view wanted) {
  const auto found = ports(wanted);
  if (!found) return found.error();
  Report report;
  bool stopped = false;
  for (const drivers::PortInfo& port : *found) {
    const auto running = captures_.find(port.name);
    if (running == captures_.end() || !running->second->view().running) continue;
    running->second->stop();
    if (!running->second->wait())
      return Error{"port " + port.name + ": a worker has not let go of it within a second; show capture"};
    report.note(outcome(running->second->view()));
    stopped = true;
  }
  if (stopped) return report;
  return Error{"port " + std::string(wanted) + ": no capture is running"};
}

Result<Report> Inspection::captures() {
  Report report;
  auto& section =
      report.section("captures", {"port", "state", "frames", "wanted", "bytes", "dropped", "file"});
  for (const auto& [name, capture] : captures_) {
    const auto view = capture->view();
    section.row({view.port, view.state, view.frames, view.wanted, view.bytes, view.dropped, view.file});
  }
  return report;
}

}  // namespace poolgate::worker
