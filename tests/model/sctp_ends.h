// SPDX-License-Identifier: BSD-3-Clause
// Two hosts of three links with an SCTP endpoint each, and a wire between them that loses, doubles, delays
// and reorders. Each host holds what its endpoint tells it to the rules of dataplane/sctp/endpoint.h.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dataplane/sctp/endpoint.h"
#include "tests/unit/sctp_clock.h"

namespace poolgate::sctp::model {

inline constexpr size_t kLinks = 3;

class Ends;

// One life of an association, as one side sees it.
struct View {
  uint64_t serial = 0;
  channel::SctpService service = channel::SctpService::asap;
  uint16_t streams = 0;
  bool blocked = false;
  bool failed = false;                       // something said in it was reported undelivered
  uint64_t partner = 0;                      // the other side's view, once a message of it came
  std::map<uint16_t, uint32_t> said, heard;  // messages by stream
};

class Host : public Network, public Events {
 public:
  Host(Ends& ends, unsigned number, bool keeps_records);
  ~Host() override;

  void start();
  void die();  // nobody is told
  bool lives() const { return endpoint_ != nullptr; }
  void connect(channel::SctpService service, size_t first_link);
  void say(View& view, uint16_t stream, size_t size);
  void close(uint32_t id, bool abort);
  void block(uint32_t id, bool blocked);
  void input(const InputPacket& packet);
  void step();

  // Those that are up, by their id.
  std::map<uint32_t, View>& views() { return views_; }
  size_t associations() const { return endpoint_->associations(); }

  void output(const OutputPacket& packet) override;
  std::optional<IpAddress> source_for(const IpAddress& peer) override;
  void association_up(const channel::AssociationUp& up) override;
  void association_down(const channel::AssociationDown& down) override;
  void path_changed(const channel::PathChange& change) override;
  void message(const Message& message) override;
  void send_failed(const channel::SendFailed& failed) override;

 private:
  friend class Ends;
  Ends& ends_;
  unsigned number_;
  std::vector<IpAddress> addresses_;
  std::vector<AssociationRecord> records_;
  std::unique_ptr<Endpoint> endpoint_;
  std::map<uint32_t, View> views_;
  uint64_t requests_ = 0;
  uint64_t restarts_ = 0, ends_of_views_ = 0;
};

class Ends {
 public:
  explicit Ends(uint64_t seed);

  // Something happens, to a host or to the wire.
  void disturb();
  // The wire is whole again, and who is blocked is read.
  void mend();
  void run(uint64_t microseconds);

  // In the middle of what is said, and with one link cut, a host dies and connects anew over another link:
  // its peer takes that for a restart, at once.
  void check_restart();
  // After mend() and a while: each side has the associations of the other, and all that was said in them has
  // arrived.
  void check_settled();
  // They can be used, all of them be ended in order, and begun anew.
  void check_usable();
  // The first rule that did not hold; "": none.
  const std::string& fault() const { return fault_; }
  std::string story() const;

 private:
  friend class Host;
  struct Flight {
    unsigned to = 0;
    IpAddress source, destination;
    std::vector<uint8_t> bytes;
  };

  uint64_t below(uint64_t n) { return random_() % n; }
  void tell(unsigned host, const std::string& what);
  void fail(unsigned host, const std::string& what);
  void carry(unsigned from, const OutputPacket& packet);
  size_t link_of(const IpAddress& address) const;
  bool all_heard();
  void say_all(size_t size);
  void wait_until_heard();

  std::mt19937_64 random_;
  uint64_t began_ = virtual_now_us;
  std::string fault_;
  std::vector<std::string> story_;
  uint64_t last_serial_ = 0;
  std::map<uint64_t, uint64_t> partners_;
  std::multimap<uint64_t, Flight> wire_;
  unsigned loss_ = 0;    // percent
  uint64_t jitter_ = 0;  // microseconds
  std::array<bool, kLinks> cut_{};
  std::array<std::unique_ptr<Host>, 2> hosts_;
};

}  // namespace poolgate::sctp::model
