/* SPDX-License-Identifier: BSD-3-Clause */
/* What needs usrsctp's internal structures; its public header (stack.c) cannot be included beside them. */
// clang-format off
#include <netinet/sctp_os.h>
#include <netinet/sctp_pcb.h>
#include <netinet/sctputil.h>
#include <netinet/sctp_input.h>
#include <netinet/sctp_sysctl.h>
#include <netinet/sctp_timer.h>
// clang-format on

#include "dataplane/sctp/stack_internal.h"

static struct sockaddr_conn address_of(poolgate_sctp_key key, uint16_t port) {
  struct sockaddr_conn address;
  memset(&address, 0, sizeof(address));
  address.sconn_family = AF_CONN;
  address.sconn_port = port;
  address.sconn_addr = (void*)(uintptr_t)key;
  return address;
}

void poolgate_stack_set_tag_index(uint32_t index) { sctp_tag_index = index; }

/* usrsctp_conninput() takes one key as source and destination; that costs a registered address for each peer,
 * and a walk of all of them for each packet. */
void poolgate_stack_input(poolgate_sctp_key path, const uint8_t* packet, size_t length) {
  const int offset = (int)sizeof(struct sctphdr);
  struct sockaddr_conn source, destination;
  struct mbuf *m, *part;
  struct sctphdr* header;
  size_t done = 0;

  m = sctp_get_mbuf_for_msg((unsigned int)length, 1, M_NOWAIT, 0, MT_DATA);
  if (m == NULL) {
    return;
  }
  for (part = m; part != NULL && done < length; part = SCTP_BUF_NEXT(part)) {
    const size_t n = min((size_t)M_SIZE(part), length - done);
    memcpy(mtod(part, caddr_t), packet + done, n);
    SCTP_BUF_LEN(part) = (int)n;
    done += n;
  }
  m->m_pkthdr.len = (int)done;
  if (done < length || SCTP_BUF_LEN(m) < offset + (int)sizeof(struct sctp_chunkhdr)) {
    sctp_m_freem(m);
    return;
  }
  header = mtod(m, struct sctphdr*);
  source = address_of(path, header->src_port);
  destination = address_of(POOLGATE_SCTP_LOCAL, header->dest_port);
  sctp_common_input_processing(
      &m, 0, offset, (int)length, (struct sockaddr*)&source, (struct sockaddr*)&destination, header,
      (struct sctp_chunkhdr*)((caddr_t)header + offset), 0, 0, SCTP_DEFAULT_VRFID, 0);
  if (m != NULL) {
    sctp_m_freem(m);
  }
}

int poolgate_stack_readable(const struct socket* so) {
  const struct sctp_inpcb* inp = (const struct sctp_inpcb*)so->so_pcb;
  return !TAILQ_EMPTY(&inp->read_queue);
}

static void describe(const struct sctp_tcb* stcb, struct poolgate_sctp_association* out) {
  out->id = stcb->asoc.assoc_id;
  out->local_port = ntohs(stcb->sctp_ep->sctp_lport);
  out->peer_port = ntohs(stcb->rport);
  out->local_tag = stcb->asoc.my_vtag;
  out->peer_tag = stcb->asoc.peer_vtag;
  out->open = (stcb->asoc.state & SCTP_STATE_MASK) == SCTP_STATE_OPEN &&
              (stcb->asoc.state & SCTP_STATE_ABOUT_TO_BE_FREED) == 0;
}

int poolgate_stack_find_by_path(struct socket* so, poolgate_sctp_key path, uint16_t port,
                                struct poolgate_sctp_association* out) {
  struct sctp_inpcb* inp = (struct sctp_inpcb*)so->so_pcb;
  struct sockaddr_conn peer = address_of(path, htons(port));
  struct sctp_nets* net = NULL;
  struct sctp_tcb* stcb;

  SCTP_INP_INCR_REF(inp);
  stcb = sctp_findassociation_ep_addr(&inp, (struct sockaddr*)&peer, &net, NULL, NULL);
  if (stcb == NULL) {
    SCTP_INP_DECR_REF(inp);
    return 0;
  }
  describe(stcb, out);
  SCTP_TCB_UNLOCK(stcb);
  return 1;
}

int poolgate_stack_find_by_tag(uint32_t tag, struct poolgate_sctp_association* out) {
  struct sctpasochead* head =
      &SCTP_BASE_INFO(sctp_asochash)[SCTP_PCBHASH_ASOC(tag, SCTP_BASE_INFO(hashasocmark))];
  struct sctp_tcb* stcb;

  LIST_FOREACH(stcb, head, sctp_asocs) {
    if (stcb->asoc.my_vtag == tag && (stcb->asoc.state & SCTP_STATE_ABOUT_TO_BE_FREED) == 0) {
      describe(stcb, out);
      return 1;
    }
  }
  return 0;
}

int poolgate_stack_add_path(struct socket* so, uint32_t id, poolgate_sctp_key path, int confirmed) {
  struct sctp_inpcb* inp = (struct sctp_inpcb*)so->so_pcb;
  struct sctp_tcb* stcb = sctp_findassociation_ep_asocid(inp, id, 1);
  struct sctp_nets* net = NULL;
  struct sockaddr_conn address;
  int result;

  if (stcb == NULL) {
    return 0;
  }
  address = address_of(path, stcb->rport);
  result = sctp_add_remote_addr(stcb, (struct sockaddr*)&address, &net, 0, SCTP_DONOT_SETSCOPE,
                                confirmed ? SCTP_ADDR_IS_CONFIRMED : SCTP_LOAD_ADDR_3);
  if (result == 0 && net != NULL && !confirmed) {
    /* The first heartbeat confirms it. */
    sctp_timer_start(SCTP_TIMER_TYPE_HEARTBEAT, stcb->sctp_ep, stcb, net);
  }
  SCTP_TCB_UNLOCK(stcb);
  return result == 0;
}

int poolgate_stack_hold_reading(struct socket* so, uint32_t id, int hold) {
  struct sctp_inpcb* inp = (struct sctp_inpcb*)so->so_pcb;
  struct sctp_tcb* stcb = sctp_findassociation_ep_asocid(inp, id, 1);

  if (stcb == NULL) {
    return 0;
  }
  sctp_hold_reading(stcb, hold);
  SCTP_TCB_UNLOCK(stcb);
  return 1;
}

size_t poolgate_stack_init_of_cookie(const uint8_t* chunk, size_t length) {
  const size_t offset = sizeof(struct sctp_chunkhdr) + sizeof(struct sctp_state_cookie);
  if (length < offset + sizeof(struct sctp_init_chunk) + SCTP_SIGNATURE_SIZE ||
      memcmp(chunk + sizeof(struct sctp_chunkhdr), SCTP_VERSION_STRING, strlen(SCTP_VERSION_STRING)) != 0) {
    return 0;
  }
  return offset;
}
