/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/sctp/stack.h"

#include <errno.h>
#include <string.h>
#include <usrsctp.h>

#include "dataplane/sctp/stack_internal.h"

static poolgate_sctp_output output_function;
static void* output_context;
static uint32_t packet_size;

static int output(void* key, void* packet, size_t length, uint8_t tos, uint8_t set_df) {
  (void)tos;
  (void)set_df;
  output_function(output_context, (poolgate_sctp_key)(uintptr_t)key, packet, length);
  return 0; /* what is dropped below is recovered by SCTP */
}

/* usrsctp wants a function for its debugging prints, which our build leaves out. */
static void print_nothing(const char* format, ...) { (void)format; }

static struct sockaddr_conn address_of(poolgate_sctp_key key, uint16_t port) {
  struct sockaddr_conn address;
  memset(&address, 0, sizeof(address));
  address.sconn_family = AF_CONN;
  address.sconn_port = htons(port);
  address.sconn_addr = (void*)(uintptr_t)key;
  return address;
}

static void start(const struct poolgate_sctp_settings* settings, poolgate_sctp_output function,
                  void* context) {
  output_function = function;
  output_context = context;
  packet_size = settings->packet_size;
  usrsctp_tunable_set_sctp_hashtblsize(settings->table_size);
  usrsctp_tunable_set_sctp_pcbtblsize(settings->table_size);
  usrsctp_init_nothreads(0, output, print_nothing);
  poolgate_stack_set_tag_index(settings->tag_index);
  usrsctp_enable_crc32c_offload(); /* one switch for both directions: the caller verifies and computes */
  /* Nothing that would bring AF_INET destinations into AF_CONN associations, or that nobody here uses. */
  usrsctp_sysctl_set_sctp_ecn_enable(0);
  usrsctp_sysctl_set_sctp_auto_asconf(0);
  usrsctp_sysctl_set_sctp_asconf_enable(0);
  usrsctp_sysctl_set_sctp_auth_enable(0);
  usrsctp_sysctl_set_sctp_reconfig_enable(0);
  usrsctp_sysctl_set_sctp_nrsack_enable(0);
  usrsctp_sysctl_set_sctp_pktdrop_enable(0);
  usrsctp_sysctl_set_sctp_blackhole(
      0); /* peers of what is gone are to fail fast; the caller limits the rate */
  usrsctp_sysctl_set_sctp_vtag_time_wait(10);
  usrsctp_sysctl_set_sctp_path_pf_threshold(
      1); /* RFC 7829: new data leave a path after its second time-out */
  usrsctp_sysctl_set_sctp_sendspace(settings->send_buffer);
  usrsctp_sysctl_set_sctp_recvspace(settings->receive_window);
  usrsctp_sysctl_set_sctp_rto_min_default(settings->rto_min_ms);
  usrsctp_sysctl_set_sctp_rto_max_default(settings->rto_max_ms);
  usrsctp_sysctl_set_sctp_rto_initial_default(settings->rto_initial_ms);
  usrsctp_sysctl_set_sctp_init_rto_max_default(settings->rto_max_ms);
  usrsctp_sysctl_set_sctp_heartbeat_interval_default(settings->heartbeat_ms);
  usrsctp_sysctl_set_sctp_init_rtx_max_default(settings->init_max_retrans);
  usrsctp_sysctl_set_sctp_path_rtx_max_default(settings->path_max_retrans);
  usrsctp_sysctl_set_sctp_assoc_rtx_max_default(settings->association_max_retrans);
  usrsctp_sysctl_set_sctp_nr_outgoing_streams_default(settings->streams);
  usrsctp_sysctl_set_sctp_nr_incoming_streams_default(settings->streams);
  usrsctp_register_address((void*)(uintptr_t)POOLGATE_SCTP_LOCAL);
}

static int finish(void) {
  usrsctp_deregister_address((void*)(uintptr_t)POOLGATE_SCTP_LOCAL);
  return usrsctp_finish() == 0;
}

static const char* set_up(struct socket* so, uint16_t port) {
  static const uint16_t kEvents[] = {SCTP_ASSOC_CHANGE, SCTP_PEER_ADDR_CHANGE, SCTP_SHUTDOWN_EVENT,
                                     SCTP_SEND_FAILED_EVENT};
  struct sockaddr_conn address = address_of(POOLGATE_SCTP_LOCAL, port);
  struct sctp_paddrparams parameters;
  struct sctp_event event;
  const int on = 1;
  size_t i;

  if (usrsctp_set_non_blocking(so, 1) != 0) return "not set to non-blocking";
  if (usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof(on)) != 0) return "no SCTP_NODELAY";
  if (usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof(on)) != 0)
    return "no SCTP_RECVRCVINFO";
  for (i = 0; i < sizeof(kEvents) / sizeof(kEvents[0]); ++i) {
    memset(&event, 0, sizeof(event));
    event.se_assoc_id = SCTP_FUTURE_ASSOC;
    event.se_type = kEvents[i];
    event.se_on = 1;
    if (usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof(event)) != 0) return "no SCTP_EVENT";
  }
  memset(&parameters, 0, sizeof(parameters));
  parameters.spp_address.ss_family = AF_CONN;
  parameters.spp_flags = SPP_PMTUD_DISABLE;
  parameters.spp_pathmtu = packet_size - (uint32_t)sizeof(struct sctp_common_header);
  if (usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &parameters, sizeof(parameters)) != 0)
    return "no SCTP_PEER_ADDR_PARAMS";
  if (usrsctp_bind(so, (struct sockaddr*)&address, sizeof(address)) != 0) return "the port is bound already";
  if (usrsctp_listen(so, 1) != 0) return "cannot listen";
  return NULL;
}

static struct socket* open_socket(uint16_t port, const char** error) {
  struct socket* so = usrsctp_socket(AF_CONN, SOCK_SEQPACKET, IPPROTO_SCTP, NULL, NULL, 0, NULL);
  if (so == NULL) {
    *error = "no socket";
    return NULL;
  }
  *error = set_up(so, port);
  if (*error != NULL) {
    usrsctp_close(so);
    return NULL;
  }
  return so;
}

static int connect_path(struct socket* so, poolgate_sctp_key path, uint16_t port) {
  struct sockaddr_conn address = address_of(path, port);
  return usrsctp_connect(so, (struct sockaddr*)&address, sizeof(address)) == 0 || errno == EINPROGRESS;
}

static ssize_t send_flags(struct socket* so, uint32_t id, uint16_t stream, uint32_t ppid, uint16_t flags,
                          const void* payload, size_t length) {
  struct sctp_sndinfo info;
  memset(&info, 0, sizeof(info));
  info.snd_assoc_id = id;
  info.snd_sid = stream;
  info.snd_ppid = htonl(ppid);
  info.snd_flags = flags;
  return usrsctp_sendv(so, payload, length, NULL, 0, &info, sizeof(info), SCTP_SENDV_SNDINFO, 0);
}

static enum poolgate_sctp_send send_message(struct socket* so, uint32_t id, uint16_t stream, uint32_t ppid,
                                            int unordered, const void* payload, size_t length) {
  if (send_flags(so, id, stream, ppid, unordered ? SCTP_UNORDERED : 0, payload, length) >= 0)
    return POOLGATE_SCTP_SENT;
  return errno == EWOULDBLOCK || errno == EAGAIN || errno == ENOBUFS ? POOLGATE_SCTP_WOULD_BLOCK
                                                                     : POOLGATE_SCTP_REFUSED;
}

static int end(struct socket* so, uint32_t id, int abort) {
  return send_flags(so, id, 0, 0, abort ? SCTP_ABORT : SCTP_EOF, "", 0) >= 0;
}

static enum poolgate_sctp_event_kind kind_of_association_change(uint16_t state) {
  switch (state) {
    case SCTP_COMM_UP:
      return POOLGATE_SCTP_UP;
    case SCTP_COMM_LOST:
      return POOLGATE_SCTP_LOST;
    case SCTP_RESTART:
      return POOLGATE_SCTP_RESTARTED;
    case SCTP_SHUTDOWN_COMP:
      return POOLGATE_SCTP_SHUT_DOWN;
    case SCTP_CANT_STR_ASSOC:
      return POOLGATE_SCTP_CANNOT_START;
    default:
      return POOLGATE_SCTP_OTHER;
  }
}

static void read_notification(const uint8_t* buffer, size_t length, struct poolgate_sctp_event* event) {
  const union sctp_notification* n = (const union sctp_notification*)buffer;
  event->kind = POOLGATE_SCTP_OTHER;
  if (length < sizeof(n->sn_header)) return;
  switch (n->sn_header.sn_type) {
    case SCTP_ASSOC_CHANGE:
      event->kind = kind_of_association_change(n->sn_assoc_change.sac_state);
      event->association = n->sn_assoc_change.sac_assoc_id;
      event->streams_out = n->sn_assoc_change.sac_outbound_streams;
      break;
    case SCTP_SHUTDOWN_EVENT:
      event->kind = POOLGATE_SCTP_SHUTTING_DOWN;
      event->association = n->sn_shutdown_event.sse_assoc_id;
      break;
    case SCTP_PEER_ADDR_CHANGE: {
      const struct sockaddr_conn* address = (const struct sockaddr_conn*)&n->sn_paddr_change.spc_aaddr;
      event->association = n->sn_paddr_change.spc_assoc_id;
      event->path = (poolgate_sctp_key)(uintptr_t)address->sconn_addr;
      if (n->sn_paddr_change.spc_state == SCTP_ADDR_AVAILABLE ||
          n->sn_paddr_change.spc_state == SCTP_ADDR_CONFIRMED)
        event->kind = POOLGATE_SCTP_PATH_AVAILABLE;
      else if (n->sn_paddr_change.spc_state == SCTP_ADDR_UNREACHABLE)
        event->kind = POOLGATE_SCTP_PATH_UNREACHABLE;
      break;
    }
    case SCTP_SEND_FAILED_EVENT: {
      const struct sctp_send_failed_event* failed = &n->sn_send_failed_event;
      if (length < sizeof(*failed)) return;
      event->kind = POOLGATE_SCTP_SEND_FAILED;
      event->association = failed->ssfe_assoc_id;
      event->stream = failed->ssfe_info.snd_sid;
      event->ppid = ntohl(failed->ssfe_info.snd_ppid);
      event->payload = buffer + sizeof(*failed);
      event->length = length - sizeof(*failed);
      break;
    }
    default:
      break;
  }
}

static int receive(struct socket* so, uint8_t* buffer, size_t size, struct poolgate_sctp_event* event) {
  struct sctp_rcvinfo info;
  socklen_t info_length = sizeof(info);
  unsigned int info_type = SCTP_RECVV_NOINFO;
  int flags = 0;
  ssize_t n;

  memset(&info, 0, sizeof(info));
  n = usrsctp_recvv(so, buffer, size, NULL, NULL, &info, &info_length, &info_type, &flags);
  if (n <= 0) return 0;
  memset(event, 0, sizeof(*event));
  event->complete = (flags & MSG_EOR) != 0;
  if (flags & MSG_NOTIFICATION) {
    read_notification(buffer, (size_t)n, event);
    return 1;
  }
  event->kind = POOLGATE_SCTP_MESSAGE;
  event->association = info.rcv_assoc_id;
  event->stream = info.rcv_sid;
  event->ppid = ntohl(info.rcv_ppid);
  event->unordered = (info.rcv_flags & SCTP_UNORDERED) != 0;
  event->payload = buffer;
  event->length = (size_t)n;
  return 1;
}

static int set_primary(struct socket* so, uint32_t id, poolgate_sctp_key path) {
  struct sockaddr_conn address = address_of(path, 0);
  struct sctp_setprim primary;
  memset(&primary, 0, sizeof(primary));
  primary.ssp_assoc_id = id;
  memcpy(&primary.ssp_addr, &address, sizeof(address));
  return usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_PRIMARY_ADDR, &primary, sizeof(primary)) == 0;
}

static int path_state(struct socket* so, uint32_t id, poolgate_sctp_key path,
                      struct poolgate_sctp_path* out) {
  struct sockaddr_conn address = address_of(path, 0);
  struct sctp_paddrinfo info;
  socklen_t length = sizeof(info);
  memset(&info, 0, sizeof(info));
  info.spinfo_assoc_id = id;
  memcpy(&info.spinfo_address, &address, sizeof(address));
  if (usrsctp_getsockopt(so, IPPROTO_SCTP, SCTP_GET_PEER_ADDR_INFO, &info, &length) != 0) return 0;
  out->reachable = (info.spinfo_state & SCTP_ACTIVE) != 0 || info.spinfo_state == SCTP_UNCONFIRMED;
  out->confirmed = (info.spinfo_state & SCTP_UNCONFIRMED) == 0;
  out->rto_ms = info.spinfo_rto;
  out->srtt_ms = info.spinfo_srtt;
  return 1;
}

const struct poolgate_sctp_stack poolgate_sctp_stack_0 = {
    .start = start,
    .finish = finish,
    .handle_timers = usrsctp_handle_timers,
    .open = open_socket,
    .close = usrsctp_close,
    .connect = connect_path,
    .send = send_message,
    .end = end,
    .receive = receive,
    .set_primary = set_primary,
    .path = path_state,
    .input = poolgate_stack_input,
    .readable = poolgate_stack_readable,
    .find_by_path = poolgate_stack_find_by_path,
    .find_by_tag = poolgate_stack_find_by_tag,
    .add_path = poolgate_stack_add_path,
    .hold_reading = poolgate_stack_hold_reading,
    .init_of_cookie = poolgate_stack_init_of_cookie,
};
