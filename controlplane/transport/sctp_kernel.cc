// SPDX-License-Identifier: BSD-3-Clause
// SctpSocket on the kernel's SCTP, RFC 6458 by setsockopt alone: no libsctp.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>
#include <map>

#include "controlplane/transport/sctp_backends.h"

// Needs sys/socket.h before it, and does not include it.
#include <linux/sctp.h>

namespace poolgate::transport {
namespace {

constexpr size_t kLargestMessage = 1 << 20;  // what is longer is dropped

Error failed(const std::string& what) { return Error{"kernel SCTP: " + what + ": " + std::strerror(errno)}; }

template <class T>
bool set(int fd, int option, const T& value) {
  return setsockopt(fd, IPPROTO_SCTP, option, &value, sizeof value) == 0;
}

// Shared by the reads under way, so that the socket may be dropped from within an event.
class KernelSocket : public std::enable_shared_from_this<KernelSocket> {
 public:
  KernelSocket(asio::io_context& io, SctpEvents events) : descriptor_(io), events_(std::move(events)) {}
  ~KernelSocket() {
    if (fd_ >= 0 && !descriptor_.is_open()) ::close(fd_);
  }

  Result<uint16_t> open(const SctpOptions& options) {
    const int family = socket_family(options.addresses);
    fd_ = socket(family, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_SCTP);
    if (fd_ < 0) return failed("socket");
    if (auto error = configure(options)) return *error;
    std::vector<rserpool::IpAddress> addresses = options.addresses;
    if (addresses.empty()) {
      static constexpr std::array<uint8_t, 16> any{};
      addresses.push_back(family == AF_INET ? rserpool::IpAddress::v4(any.data())
                                            : rserpool::IpAddress::v6(any.data()));
    }
    // The first bind chooses the port if none is given; the further addresses are added to that.
    const PackedAddresses first = pack_addresses({addresses.front()}, options.port);
    if (bind(fd_, reinterpret_cast<const sockaddr*>(first.bytes.data()),
             static_cast<socklen_t>(first.bytes.size())) != 0)
      return failed("bind to " + addresses.front().to_string() + " port " + std::to_string(options.port));
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    if (getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &length) != 0) return failed("getsockname");
    uint16_t port = 0;
    from_sockaddr(reinterpret_cast<const sockaddr*>(&own), &port);
    if (addresses.size() > 1) {
      const PackedAddresses more = pack_addresses({addresses.begin() + 1, addresses.end()}, port);
      if (setsockopt(fd_, IPPROTO_SCTP, SCTP_SOCKOPT_BINDX_ADD, more.bytes.data(),
                     static_cast<socklen_t>(more.bytes.size())) != 0)
        return failed("bind to a further address");
    }
    if (options.listen && listen(fd_, 128) != 0) return failed("listen");
    asio::error_code ec;
    descriptor_.assign(fd_, ec);
    if (ec) return Error{"kernel SCTP: " + ec.message()};
    wait();
    return port;
  }

  void close() {
    closed_ = true;
    asio::error_code ignored;
    descriptor_.close(ignored);  // without SO_LINGER: the associations shut down in the background
  }

  Result<SctpAssociationId> connect(const std::vector<rserpool::IpAddress>& peer, uint16_t port) {
    PackedAddresses to = pack_addresses(peer, port);
    sctp_getaddrs_old parameter{};
    parameter.addr_num = static_cast<int>(to.bytes.size());  // bytes, in this one
    parameter.addrs = reinterpret_cast<sockaddr*>(to.bytes.data());
    socklen_t length = sizeof parameter;
    if (getsockopt(fd_, IPPROTO_SCTP, SCTP_SOCKOPT_CONNECTX3, &parameter, &length) != 0 &&
        errno != EINPROGRESS)
      return failed("connect to " + (peer.empty() ? std::string("nobody") : peer.front().to_string()));
    return static_cast<SctpAssociationId>(parameter.assoc_id);
  }

  bool send(SctpAssociationId association, const SctpMessage& message) {
    sctp_sndinfo info{};
    info.snd_sid = message.stream;
    info.snd_ppid = htonl(message.ppid);
    info.snd_assoc_id = static_cast<sctp_assoc_t>(association);
    return transmit(info, message.payload);
  }

  void finish(SctpAssociationId association, uint16_t how) {
    sctp_sndinfo info{};
    info.snd_flags = how;
    info.snd_assoc_id = static_cast<sctp_assoc_t>(association);
    transmit(info, {});
  }

 private:
  std::optional<Error> configure(const SctpOptions& options) {
    sctp_event_subscribe subscribe{};
    subscribe.sctp_association_event = 1;
    subscribe.sctp_send_failure_event_event = 1;
    if (!set(fd_, SCTP_EVENTS, subscribe)) return failed("SCTP_EVENTS");
    if (!set(fd_, SCTP_RECVRCVINFO, 1)) return failed("SCTP_RECVRCVINFO");
    if (!set(fd_, SCTP_NODELAY, 1)) return failed("SCTP_NODELAY");
    sctp_initmsg init{};
    init.sinit_num_ostreams = options.streams;
    init.sinit_max_instreams = options.streams;
    init.sinit_max_attempts = options.init_retransmits;
    init.sinit_max_init_timeo = static_cast<uint16_t>(options.rto_max_ms);
    if (!set(fd_, SCTP_INITMSG, init)) return failed("SCTP_INITMSG");
    sctp_rtoinfo rto{};
    rto.srto_initial = options.rto_initial_ms;
    rto.srto_min = options.rto_min_ms;
    rto.srto_max = options.rto_max_ms;
    if (!set(fd_, SCTP_RTOINFO, rto)) return failed("SCTP_RTOINFO");
    sctp_assocparams association{};
    association.sasoc_asocmaxrxt = options.association_retransmits;
    if (!set(fd_, SCTP_ASSOCINFO, association)) return failed("SCTP_ASSOCINFO");
    association_retransmits_ = options.association_retransmits;
    path_retransmits_ = options.path_retransmits;
    sctp_paddrparams path{};
    path.spp_address.ss_family = AF_INET;
    path.spp_flags = SPP_HB_ENABLE;
    path.spp_hbinterval = options.heartbeat_ms;
    path.spp_pathmaxrxt = options.path_retransmits;
    if (!set(fd_, SCTP_PEER_ADDR_PARAMS, path)) return failed("SCTP_PEER_ADDR_PARAMS");
    return std::nullopt;
  }

  bool transmit(const sctp_sndinfo& info, const std::string& payload) {
    iovec data{const_cast<char*>(payload.data()), payload.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof info)> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_SCTP;
    header->cmsg_type = SCTP_SNDINFO;
    header->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(header), &info, sizeof info);
    return sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
  }

  void wait() {
    descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                           [self = shared_from_this()](asio::error_code ec) {
                             if (ec || self->closed_) return;
                             self->read_all();
                             if (!self->closed_) self->wait();
                           });
  }

  void read_all() {
    constexpr int kBurst = 64;  // then others have their turn
    for (int i = 0; i < kBurst && !closed_; ++i) {
      iovec data{buffer_.data(), buffer_.size()};
      alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(sctp_rcvinfo)) + 64> control{};
      msghdr message{};
      message.msg_iov = &data;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t n = recvmsg(fd_, &message, MSG_DONTWAIT);
      if (n < 0) return;
      if (message.msg_flags & MSG_NOTIFICATION) {
        notified(static_cast<size_t>(n));
        continue;
      }
      for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != IPPROTO_SCTP || header->cmsg_type != SCTP_RCVINFO) continue;
        sctp_rcvinfo info;
        std::memcpy(&info, CMSG_DATA(header), sizeof info);
        received(info, static_cast<size_t>(n), (message.msg_flags & MSG_EOR) != 0);
      }
    }
  }

  // A long message comes in parts; only its last one has MSG_EOR.
  void received(const sctp_rcvinfo& info, size_t n, bool complete) {
    const auto id = static_cast<SctpAssociationId>(info.rcv_assoc_id);
    std::string& part = parts_[id];
    if (part.size() + n <= kLargestMessage) part.append(buffer_.data(), n);
    if (!complete) return;
    SctpMessage message{ntohl(info.rcv_ppid), info.rcv_sid, std::move(part)};
    parts_.erase(id);
    if (events_.message) events_.message(id, std::move(message));
  }

  void notified(size_t n) {
    uint16_t type = 0;
    if (n < sizeof type) return;
    std::memcpy(&type, buffer_.data(), sizeof type);
    if (type == SCTP_ASSOC_CHANGE && n >= sizeof(sctp_assoc_change)) {
      sctp_assoc_change change;
      std::memcpy(&change, buffer_.data(), sizeof change);
      association_changed(change);
    } else if (type == SCTP_SEND_FAILED_EVENT && n >= sizeof(sctp_send_failed_event)) {
      sctp_send_failed_event event;
      std::memcpy(&event, buffer_.data(), sizeof event);
      SctpMessage message{ntohl(event.ssfe_info.snd_ppid), event.ssfe_info.snd_sid,
                          std::string(buffer_.data() + sizeof event, n - sizeof event)};
      if (events_.send_failed)
        events_.send_failed(static_cast<SctpAssociationId>(event.ssf_assoc_id), std::move(message));
    }
  }

  void association_changed(const sctp_assoc_change& change) {
    const auto id = static_cast<SctpAssociationId>(change.sac_assoc_id);
    if (change.sac_state == SCTP_COMM_UP || change.sac_state == SCTP_RESTART) {
      parts_.erase(id);
      SctpUp up = peer_of(change.sac_assoc_id);
      up.restarted = change.sac_state == SCTP_RESTART;
      outlive_dead_paths(change.sac_assoc_id, up.peer_addresses.size());
      if (events_.up) events_.up(id, up);
      return;
    }
    SctpDown reason = SctpDown::lost;
    if (change.sac_state == SCTP_SHUTDOWN_COMP) reason = SctpDown::shutdown;
    if (change.sac_state == SCTP_CANT_STR_ASSOC) reason = SctpDown::cannot_start;
    // The ABORT chunk itself follows the notification (RFC 6458 §6.1.1), so there was one.
    if (change.sac_state == SCTP_COMM_LOST && change.sac_length > sizeof change) reason = SctpDown::aborted;
    parts_.erase(id);
    if (events_.down) events_.down(id, reason);
  }

  // A path that fails is asked once a second (Linux calls that state PF), a good one only each heartbeat_ms:
  // so two dead ones of four would be the association's end, long before the others have answered. The most
  // that the kernel takes is what all paths may have together (RFC 9260 §8.1); of a single path it is what
  // was asked for.
  void outlive_dead_paths(sctp_assoc_t id, size_t paths) const {
    sctp_assocparams association{};
    association.sasoc_assoc_id = id;
    association.sasoc_asocmaxrxt = static_cast<uint16_t>(paths * path_retransmits_);
    if (association.sasoc_asocmaxrxt > association_retransmits_) set(fd_, SCTP_ASSOCINFO, association);
  }

  SctpUp peer_of(sctp_assoc_t id) const {
    SctpUp up;
    alignas(8) std::array<char, 4096> space{};
    sctp_getaddrs request{};
    request.assoc_id = id;
    std::memcpy(space.data(), &request, sizeof request);
    socklen_t length = space.size();
    if (getsockopt(fd_, IPPROTO_SCTP, SCTP_GET_PEER_ADDRS, space.data(), &length) != 0) return up;
    std::memcpy(&request, space.data(), sizeof request);
    if (request.addr_num == 0) return up;
    const char* const packed = space.data() + offsetof(sctp_getaddrs, addrs);
    up.peer_addresses = unpack_addresses(packed, static_cast<int>(request.addr_num));
    sockaddr_storage first{};
    std::memcpy(&first, packed, sizeof(sockaddr_in6));
    from_sockaddr(reinterpret_cast<const sockaddr*>(&first), &up.peer_port);
    return up;
  }

  asio::posix::stream_descriptor descriptor_;
  SctpEvents events_;
  int fd_ = -1;
  bool closed_ = false;
  uint16_t association_retransmits_ = 0, path_retransmits_ = 0;
  std::map<SctpAssociationId, std::string> parts_;
  std::array<char, 65536> buffer_;
};

class KernelSctp : public SctpSocket {
 public:
  KernelSctp(std::shared_ptr<KernelSocket> socket, uint16_t port) : socket_(std::move(socket)), port_(port) {}
  ~KernelSctp() override { socket_->close(); }

  Result<SctpAssociationId> connect(const std::vector<rserpool::IpAddress>& peer, uint16_t port) override {
    return socket_->connect(peer, port);
  }
  bool send(SctpAssociationId association, const SctpMessage& message) override {
    return socket_->send(association, message);
  }
  void shutdown(SctpAssociationId association) override { socket_->finish(association, SCTP_EOF); }
  void abort(SctpAssociationId association) override { socket_->finish(association, SCTP_ABORT); }
  uint16_t port() const override { return port_; }
  SctpBackend backend() const override { return SctpBackend::kernel; }

 private:
  std::shared_ptr<KernelSocket> socket_;
  uint16_t port_;
};

}  // namespace

bool kernel_has_sctp() {
  const int fd = socket(AF_INET, SOCK_SEQPACKET | SOCK_CLOEXEC, IPPROTO_SCTP);
  if (fd < 0) return false;
  close(fd);
  return true;
}

Result<std::unique_ptr<SctpSocket>> open_sctp_kernel(asio::io_context& io, const SctpOptions& options,
                                                     SctpEvents events) {
  auto socket = std::make_shared<KernelSocket>(io, std::move(events));
  const auto port = socket->open(options);
  if (!port) return port.error();
  return std::unique_ptr<SctpSocket>(std::make_unique<KernelSctp>(std::move(socket), *port));
}

}  // namespace poolgate::transport
