// SPDX-License-Identifier: BSD-3-Clause
// SctpSocket on usrsctp with threads of its own, over raw IP sockets or over UDP (RFC 6951). What the threads
// hear is read on the io_context, out of the stack's own bounded buffer: while nobody reads, the receive
// window closes and the peers wait.
#include <unistd.h>
#include <usrsctp.h>

#include <array>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

#include "controlplane/transport/sctp_backends.h"
#include "controlplane/transport/usrsctp_addresses.h"

namespace poolgate::transport {
namespace {

constexpr size_t kLargestMessage = 1 << 20;  // what is longer is dropped

Error failed(const std::string& what) { return Error{"SCTP: " + what + ": " + std::strerror(errno)}; }

// usrsctp is one stack a process. It is started by the first socket and runs until the process ends.
std::optional<Error> start_stack(uint16_t udp_port) {
  static std::mutex mutex;
  static bool running = false;
  static uint16_t running_port = 0;
  const std::lock_guard lock(mutex);
  if (running && running_port != udp_port)
    return Error{"SCTP: one process cannot use raw SCTP and SCTP over UDP, or two UDP ports"};
  if (running) return std::nullopt;
  if (udp_port == 0) {
    // usrsctp would start without its raw sockets, and never hear anything.
    const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_SCTP);
    if (fd < 0)
      return Error{std::string("SCTP on raw sockets: ") + std::strerror(errno) +
                   "; it needs root or CAP_NET_RAW (or a kernel with SCTP, or SCTP over UDP)"};
    close(fd);
  }
  usrsctp_init(udp_port, nullptr, nullptr);
  usrsctp_sysctl_set_sctp_ecn_enable(0);
  usrsctp_sysctl_set_sctp_asconf_enable(0);
  usrsctp_sysctl_set_sctp_auth_enable(0);
  usrsctp_sysctl_set_sctp_reconfig_enable(0);
  usrsctp_sysctl_set_sctp_nrsack_enable(0);
  usrsctp_sysctl_set_sctp_pktdrop_enable(0);
  usrsctp_sysctl_set_sctp_no_csum_on_loopback(0);
  // A raw socket gets every SCTP packet of the machine: the associations of other processes are not ours to
  // abort.
  usrsctp_sysctl_set_sctp_blackhole(2);
  running = true;
  running_port = udp_port;
  return std::nullopt;
}

class UsrSocket;

// From the callback's argument to the socket, for as long as there is one. Never destroyed: the stack's
// threads outlive main().
struct Registry {
  std::mutex mutex;
  std::map<uintptr_t, UsrSocket*> sockets;
  uintptr_t next = 1;
  static Registry& instance() {
    static Registry* const registry = new Registry;
    return *registry;
  }
};

class UsrSocket : public std::enable_shared_from_this<UsrSocket> {
 public:
  UsrSocket(asio::io_context& io, SctpEvents events)
      : io_(io), work_(asio::make_work_guard(io)), events_(std::move(events)) {
    Registry& registry = Registry::instance();
    const std::lock_guard lock(registry.mutex);
    key_ = registry.next++;
    registry.sockets[key_] = this;
  }

  void close() {
    {
      Registry& registry = Registry::instance();
      const std::lock_guard lock(registry.mutex);
      registry.sockets.erase(key_);
    }
    closed_ = true;
    work_.reset();
    if (socket_) usrsctp_close(socket_);  // the associations shut down in the background
    socket_ = nullptr;
  }

  Result<uint16_t> open(const SctpOptions& options) {
    const int family = socket_family(options.addresses);
    socket_ = usrsctp_socket(family, SOCK_SEQPACKET, IPPROTO_SCTP, nullptr, nullptr, 0, nullptr);
    if (!socket_) return failed("socket");
    usrsctp_set_non_blocking(socket_, 1);
    usrsctp_set_upcall(socket_, &UsrSocket::on_readable, reinterpret_cast<void*>(key_));
    // Only where one is bound: a socket of every address would send from a VIP that is there for others.
    if (!options.addresses.empty()) poolgate_use_addresses_on_lo();
    if (auto error = configure(options)) return *error;
    if (auto error = bind_to(family, options)) return *error;
    if (options.listen && usrsctp_listen(socket_, 128) != 0) return failed("listen");
    sockaddr* own = nullptr;
    uint16_t port = options.port;
    if (usrsctp_getladdrs(socket_, 0, &own) > 0) {
      from_sockaddr(own, &port);
      usrsctp_freeladdrs(own);
    }
    return port;
  }

  Result<SctpAssociationId> connect(const std::vector<rserpool::IpAddress>& peer, uint16_t port) {
    PackedAddresses to = pack_addresses(peer, port);
    sctp_assoc_t id = 0;
    if (usrsctp_connectx(socket_, reinterpret_cast<sockaddr*>(to.bytes.data()), to.count, &id) != 0 &&
        errno != EINPROGRESS)
      return failed("connect to " + (peer.empty() ? std::string("nobody") : peer.front().to_string()));
    return static_cast<SctpAssociationId>(id);
  }

  bool send(SctpAssociationId association, const SctpMessage& message) {
    return transmit(association, 0, message);
  }
  void finish(SctpAssociationId association, uint16_t how) { transmit(association, how, {}); }

 private:
  template <class T>
  bool set(int option, const T& value) {
    return usrsctp_setsockopt(socket_, IPPROTO_SCTP, option, &value, sizeof value) == 0;
  }

  std::optional<Error> configure(const SctpOptions& options) {
    for (const uint16_t type : {SCTP_ASSOC_CHANGE, SCTP_SEND_FAILED_EVENT}) {
      sctp_event event{};
      event.se_assoc_id = SCTP_FUTURE_ASSOC;
      event.se_type = type;
      event.se_on = 1;
      if (!set(SCTP_EVENT, event)) return failed("SCTP_EVENT");
    }
    if (!set(SCTP_RECVRCVINFO, 1)) return failed("SCTP_RECVRCVINFO");
    if (!set(SCTP_NODELAY, 1)) return failed("SCTP_NODELAY");
    sctp_initmsg init{};
    init.sinit_num_ostreams = options.streams;
    init.sinit_max_instreams = options.streams;
    init.sinit_max_attempts = options.init_retransmits;
    init.sinit_max_init_timeo = static_cast<uint16_t>(options.rto_max_ms);
    if (!set(SCTP_INITMSG, init)) return failed("SCTP_INITMSG");
    sctp_rtoinfo rto{};
    rto.srto_initial = options.rto_initial_ms;
    rto.srto_min = options.rto_min_ms;
    rto.srto_max = options.rto_max_ms;
    if (!set(SCTP_RTOINFO, rto)) return failed("SCTP_RTOINFO");
    sctp_assocparams association{};
    association.sasoc_asocmaxrxt = options.association_retransmits;
    if (!set(SCTP_ASSOCINFO, association)) return failed("SCTP_ASSOCINFO");
    sctp_paddrparams path{};
    path.spp_assoc_id = SCTP_FUTURE_ASSOC;
    path.spp_flags = SPP_HB_ENABLE;
    path.spp_hbinterval = options.heartbeat_ms;
    path.spp_pathmaxrxt = options.path_retransmits;
    if (!set(SCTP_PEER_ADDR_PARAMS, path)) return failed("SCTP_PEER_ADDR_PARAMS");
    if (options.backend != SctpBackend::udp) return std::nullopt;
    sctp_udpencaps encapsulation{};
    encapsulation.sue_assoc_id = SCTP_FUTURE_ASSOC;
    encapsulation.sue_address.ss_family = AF_INET;
    encapsulation.sue_port = htons(options.udp_port);
    if (!set(SCTP_REMOTE_UDP_ENCAPS_PORT, encapsulation)) return failed("SCTP_REMOTE_UDP_ENCAPS_PORT");
    return std::nullopt;
  }

  std::optional<Error> bind_to(int family, const SctpOptions& options) {
    if (options.addresses.empty()) {
      sockaddr_storage any{};
      any.ss_family = static_cast<sa_family_t>(family);
      if (family == AF_INET)
        reinterpret_cast<sockaddr_in*>(&any)->sin_port = htons(options.port);
      else
        reinterpret_cast<sockaddr_in6*>(&any)->sin6_port = htons(options.port);
      const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      if (usrsctp_bind(socket_, reinterpret_cast<sockaddr*>(&any), size) != 0)
        return failed("bind to port " + std::to_string(options.port));
      return std::nullopt;
    }
    // One by one, so that the error names the address; the first chooses the port.
    uint16_t port = options.port;
    for (const auto& address : options.addresses) {
      PackedAddresses one = pack_addresses({address}, port);
      if (usrsctp_bindx(socket_, reinterpret_cast<sockaddr*>(one.bytes.data()), 1, SCTP_BINDX_ADD_ADDR) != 0)
        return failed(
            "bind to " + address.to_string() + " port " + std::to_string(port) +
            (errno == EADDRNOTAVAIL || errno == EINVAL ? " (is it an address of this machine?)" : ""));
      sockaddr* own = nullptr;
      if (port == 0 && usrsctp_getladdrs(socket_, 0, &own) > 0) {
        from_sockaddr(own, &port);
        usrsctp_freeladdrs(own);
      }
    }
    return std::nullopt;
  }

  bool transmit(SctpAssociationId association, uint16_t flags, const SctpMessage& message) {
    sctp_sndinfo info{};
    info.snd_sid = message.stream;
    info.snd_flags = flags;
    info.snd_ppid = htonl(message.ppid);
    info.snd_assoc_id = association;
    const ssize_t sent = usrsctp_sendv(socket_, message.payload.data(), message.payload.size(), nullptr, 0,
                                       &info, sizeof info, SCTP_SENDV_SNDINFO, 0);
    read_later();  // what our own call brings about (SCTP_ABORT) is not told by the stack's threads
    return sent >= 0;
  }

  // On one of the stack's threads: there is something to read.
  static void on_readable(struct socket*, void* argument, int) {
    Registry& registry = Registry::instance();
    const std::lock_guard lock(registry.mutex);
    const auto it = registry.sockets.find(reinterpret_cast<uintptr_t>(argument));
    if (it != registry.sockets.end()) it->second->read_later();
  }

  // Once for any number of calls until it happens.
  void read_later() {
    if (reading_.exchange(true)) return;
    asio::post(io_, [self = shared_from_this()] {
      self->reading_ = false;
      if (!self->closed_) self->read_all();
    });
  }

  void read_all() {
    constexpr int kBurst = 64;  // then others have their turn
    for (int i = 0; i < kBurst; ++i) {
      sctp_rcvinfo info{};
      socklen_t info_length = sizeof info;
      unsigned int type = 0;
      int flags = 0;
      const ssize_t n = usrsctp_recvv(socket_, buffer_.data(), buffer_.size(), nullptr, nullptr, &info,
                                      &info_length, &type, &flags);
      if (n <= 0) return;
      const std::string_view bytes(buffer_.data(), static_cast<size_t>(n));
      if (flags & MSG_NOTIFICATION)
        notified(bytes);
      else
        received(info, bytes, (flags & MSG_EOR) != 0);
      if (closed_) return;
    }
    read_later();
  }

  // A long message comes in parts; only its last one has MSG_EOR.
  void received(const sctp_rcvinfo& info, std::string_view bytes, bool complete) {
    std::string& part = parts_[info.rcv_assoc_id];
    if (part.size() + bytes.size() <= kLargestMessage) part += bytes;
    if (!complete) return;
    SctpMessage message{ntohl(info.rcv_ppid), info.rcv_sid, std::move(part)};
    parts_.erase(info.rcv_assoc_id);
    if (events_.message) events_.message(info.rcv_assoc_id, std::move(message));
  }

  void notified(std::string_view bytes) {
    uint16_t type = 0;
    if (bytes.size() < sizeof type) return;
    std::memcpy(&type, bytes.data(), sizeof type);
    if (type == SCTP_ASSOC_CHANGE && bytes.size() >= sizeof(sctp_assoc_change)) {
      sctp_assoc_change change;
      std::memcpy(&change, bytes.data(), sizeof change);
      association_changed(change);
    } else if (type == SCTP_SEND_FAILED_EVENT && bytes.size() >= sizeof(sctp_send_failed_event)) {
      sctp_send_failed_event event;
      std::memcpy(&event, bytes.data(), sizeof event);
      SctpMessage message{ntohl(event.ssfe_info.snd_ppid), event.ssfe_info.snd_sid,
                          std::string(bytes.substr(sizeof event))};
      if (events_.send_failed) events_.send_failed(event.ssfe_assoc_id, std::move(message));
    }
  }

  void association_changed(const sctp_assoc_change& change) {
    const SctpAssociationId id = change.sac_assoc_id;
    parts_.erase(id);
    if (change.sac_state == SCTP_COMM_UP || change.sac_state == SCTP_RESTART) {
      SctpUp up = peer_of(id);
      up.restarted = change.sac_state == SCTP_RESTART;
      if (events_.up) events_.up(id, up);
      return;
    }
    SctpDown reason = SctpDown::lost;
    if (change.sac_state == SCTP_SHUTDOWN_COMP) reason = SctpDown::shutdown;
    if (change.sac_state == SCTP_CANT_STR_ASSOC) reason = SctpDown::cannot_start;
    // The ABORT chunk itself follows the notification (RFC 6458 §6.1.1), so there was one.
    if (change.sac_state == SCTP_COMM_LOST && change.sac_length > sizeof change) reason = SctpDown::aborted;
    if (events_.down) events_.down(id, reason);
  }

  SctpUp peer_of(SctpAssociationId id) {
    SctpUp up;
    sockaddr* peers = nullptr;
    const int count = usrsctp_getpaddrs(socket_, id, &peers);
    if (count <= 0) return up;
    up.peer_addresses = unpack_addresses(peers, count);
    from_sockaddr(peers, &up.peer_port);
    usrsctp_freepaddrs(peers);
    return up;
  }

  asio::io_context& io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  SctpEvents events_;
  struct socket* socket_ = nullptr;
  uintptr_t key_ = 0;
  bool closed_ = false;
  std::atomic<bool> reading_ = false;
  std::map<SctpAssociationId, std::string> parts_;
  std::array<char, 65536> buffer_;
};

class UsrSctp : public SctpSocket {
 public:
  UsrSctp(std::shared_ptr<UsrSocket> socket, uint16_t port, SctpBackend backend)
      : socket_(std::move(socket)), port_(port), backend_(backend) {}
  ~UsrSctp() override { socket_->close(); }

  Result<SctpAssociationId> connect(const std::vector<rserpool::IpAddress>& peer, uint16_t port) override {
    return socket_->connect(peer, port);
  }
  bool send(SctpAssociationId association, const SctpMessage& message) override {
    return socket_->send(association, message);
  }
  void shutdown(SctpAssociationId association) override { socket_->finish(association, SCTP_EOF); }
  void abort(SctpAssociationId association) override { socket_->finish(association, SCTP_ABORT); }
  uint16_t port() const override { return port_; }
  SctpBackend backend() const override { return backend_; }

 private:
  std::shared_ptr<UsrSocket> socket_;
  uint16_t port_;
  SctpBackend backend_;
};

}  // namespace

Result<std::unique_ptr<SctpSocket>> open_sctp_usrsctp(asio::io_context& io, const SctpOptions& options,
                                                      SctpEvents events) {
  if (auto error = start_stack(options.backend == SctpBackend::udp ? options.udp_port : 0)) return *error;
  auto socket = std::make_shared<UsrSocket>(io, std::move(events));
  const auto port = socket->open(options);
  if (!port) {
    socket->close();
    return port.error();
  }
  return std::unique_ptr<SctpSocket>(std::make_unique<UsrSctp>(std::move(socket), *port, options.backend));
}

}  // namespace poolgate::transport
