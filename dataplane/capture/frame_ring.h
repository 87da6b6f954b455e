// SPDX-License-Identifier: BSD-3-Clause
// Frames from one worker to the thread that writes them: a ring of slots that are there, and touched,
// beforehand.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>

namespace poolgate::capture {

struct FrameHeader {
  uint64_t tsc = 0;       // when the worker had it
  uint32_t length = 0;    // on the wire, without its checksum
  uint32_t captured = 0;  // the bytes that follow, at most the ring's snap
};

class FrameRing {
 public:
  // slots: a power of two; snap: the most bytes that are kept of a frame.
  FrameRing(size_t slots, uint32_t snap)
      : snap_(snap),
        slot_size_((sizeof(FrameHeader) + snap + 7) & ~size_t{7}),
        mask_(slots - 1),
        memory_(std::make_unique<uint8_t[]>(slots * slot_size_)) {}

  uint32_t snap() const { return snap_; }

  // ---- the worker: where the next frame's bytes go, then that they are there
  // Null: there is no room, and the frame is counted as dropped.
  uint8_t* room() {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - seen_head_ > mask_) seen_head_ = head_.load(std::memory_order_acquire);
    if (tail - seen_head_ <= mask_) return slot(tail) + sizeof(FrameHeader);
    dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return nullptr;
  }
  void push(const FrameHeader& header) {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    std::memcpy(slot(tail), &header, sizeof header);
    tail_.store(tail + 1, std::memory_order_release);
  }

  // ---- the writer: false if there is none
  bool front(FrameHeader& header, const uint8_t*& bytes) const {
    const size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return false;
    std::memcpy(&header, slot(head), sizeof header);
    bytes = slot(head) + sizeof header;
    return true;
  }
  void pop() { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  // ---- any thread
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  uint8_t* slot(size_t i) const { return memory_.get() + (i & mask_) * slot_size_; }

  const uint32_t snap_;
  const size_t slot_size_;
  const size_t mask_;
  const std::unique_ptr<uint8_t[]> memory_;
  alignas(64) std::atomic<size_t> tail_{0};
  size_t seen_head_ = 0;  // the worker's
  std::atomic<uint64_t> dropped_{0};
  alignas(64) std::atomic<size_t> head_{0};
};

}  // namespace poolgate::capture
