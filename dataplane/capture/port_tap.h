// SPDX-License-Identifier: BSD-3-Clause
// Listens to what a port receives and sends, by ethdev's callbacks: without them a burst costs what it did.
// rte_pdump does the same for a second process only, and takes an mbuf of a pool for every frame; here a
// frame is copied into a slot of the queue's own ring.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "dataplane/capture/frame_ring.h"

struct rte_eth_rxtx_callback;

namespace poolgate::capture {

enum class Direction : uint8_t { received, sent };

struct TapSettings {
  uint16_t port_id = 0;
  uint16_t rx_queues = 1, tx_queues = 1;
  uint32_t snap = 1522;  // bytes of a frame
  size_t slots = 1024;   // of a queue's ring: a power of two
};

class PortTap {
 public:
  // Takes its memory, and does not listen yet.
  explicit PortTap(const TapSettings& settings);
  // Only once every worker has been quiescent since close().
  ~PortTap();
  PortTap(const PortTap&) = delete;
  PortTap& operator=(const PortTap&) = delete;

  // After an error, too, close() comes next.
  Result<bool> listen();
  // No further burst begins with a callback; one that has begun may still use its ring.
  void close();

  struct Frame {
    FrameHeader header;
    Direction direction = Direction::received;
    const uint8_t* bytes = nullptr;  // until the next call
  };
  // The oldest frame of all queues that came before `until` (TSC); false if there is none.
  bool next(uint64_t until, Frame& frame);
  // Frames that found their ring full.
  uint64_t dropped() const;

 private:
  struct Queue {
    Queue(Direction d, uint16_t n, const TapSettings& s) : direction(d), number(n), ring(s.slots, s.snap) {}
    const Direction direction;
    const uint16_t number;
    FrameRing ring;
    const rte_eth_rxtx_callback* callback = nullptr;
    bool listened = false;
  };

  const TapSettings settings_;
  std::vector<std::unique_ptr<Queue>> queues_;
  FrameRing* given_ = nullptr;  // whose front frame the caller has
};

}  // namespace poolgate::capture
