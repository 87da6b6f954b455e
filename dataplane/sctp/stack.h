/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One usrsctp stack, seen through a table of functions: the stack linked into the program, or a private copy
 * of it whose symbols are localised (poolgate_sctp_stack_0 is the one symbol that a copy keeps, under another
 * name). All calls on one stack, and its output, on one thread. Ports, tags and PPIDs in host order.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What usrsctp takes for the address of a path: never dereferenced, never 0 nor POOLGATE_SCTP_LOCAL, which is
 * the local end of every packet. */
typedef uint64_t poolgate_sctp_key;
#define POOLGATE_SCTP_LOCAL ((poolgate_sctp_key)1)

struct socket; /* usrsctp's: one-to-many, of one port */

/* `packet` may be written to; its checksum is 0. */
typedef void (*poolgate_sctp_output)(void* context, poolgate_sctp_key path, uint8_t* packet, size_t length);

struct poolgate_sctp_settings {
  uint32_t tag_index;                   /* the top four bits of the tags it chooses */
  uint32_t table_size;                  /* of the hashes, a power of two */
  uint32_t receive_window, send_buffer; /* bytes an association */
  uint32_t packet_size;                 /* the largest SCTP packet, from the common header on */
  uint32_t rto_initial_ms, rto_min_ms, rto_max_ms, heartbeat_ms;
  uint32_t init_max_retrans, path_max_retrans, association_max_retrans;
  uint32_t streams;
};

struct poolgate_sctp_association {
  uint32_t id; /* unique within its socket */
  uint16_t local_port, peer_port;
  uint32_t local_tag, peer_tag;
  int open; /* set up, and not being shut down */
};

enum poolgate_sctp_event_kind {
  POOLGATE_SCTP_MESSAGE, /* or a part of one: `complete` */
  POOLGATE_SCTP_UP,
  POOLGATE_SCTP_RESTARTED,
  POOLGATE_SCTP_LOST,
  POOLGATE_SCTP_SHUT_DOWN,     /* ended in order */
  POOLGATE_SCTP_SHUTTING_DOWN, /* the peer asked for it */
  POOLGATE_SCTP_CANNOT_START,
  POOLGATE_SCTP_PATH_AVAILABLE, /* confirmed, or reachable again */
  POOLGATE_SCTP_PATH_UNREACHABLE,
  POOLGATE_SCTP_SEND_FAILED, /* the payload is that of the message */
  POOLGATE_SCTP_OTHER,
};

struct poolgate_sctp_event {
  enum poolgate_sctp_event_kind kind;
  uint32_t association;
  poolgate_sctp_key path;       /* PATH_* */
  uint16_t stream, streams_out; /* MESSAGE and SEND_FAILED; UP */
  uint32_t ppid;
  int unordered, complete;
  const uint8_t* payload; /* in the buffer given */
  size_t length;
};

struct poolgate_sctp_path {
  int reachable, confirmed;
  uint32_t rto_ms, srtt_ms;
};

enum poolgate_sctp_send { POOLGATE_SCTP_SENT, POOLGATE_SCTP_WOULD_BLOCK, POOLGATE_SCTP_REFUSED };

/* Functions that return int: 1 done, 0 not (no such association, no memory). */
struct poolgate_sctp_stack {
  void (*start)(const struct poolgate_sctp_settings*, poolgate_sctp_output, void* context);
  int (*finish)(void); /* 0: an association or a socket lingers */
  void (*handle_timers)(uint32_t elapsed_ms);
  /* Bound and listening; NULL on error, which *error names. */
  struct socket* (*open)(uint16_t port, const char** error);
  void (*close)(struct socket*);
  int (*connect)(struct socket*, poolgate_sctp_key path, uint16_t port);
  enum poolgate_sctp_send (*send)(struct socket*, uint32_t association, uint16_t stream, uint32_t ppid,
                                  int unordered, const void* payload, size_t length);
  int (*end)(struct socket*, uint32_t association, int abort); /* ABORT, else SHUTDOWN */
  /* 1 and *event, or 0: nothing to read. `size` bounds what one event may carry. */
  int (*receive)(struct socket*, uint8_t* buffer, size_t size, struct poolgate_sctp_event* event);
  int (*set_primary)(struct socket*, uint32_t association, poolgate_sctp_key path);
  int (*path)(struct socket*, uint32_t association, poolgate_sctp_key path, struct poolgate_sctp_path* out);

  /* A packet from `path`, whose checksum has been verified. */
  void (*input)(poolgate_sctp_key path, const uint8_t* packet, size_t length);
  int (*readable)(const struct socket*);
  int (*find_by_path)(struct socket*, poolgate_sctp_key path, uint16_t port,
                      struct poolgate_sctp_association* out);
  int (*find_by_tag)(uint32_t local_tag, struct poolgate_sctp_association* out);
  /* One more path; `confirmed` for those that the upper layer named (RFC 9260 5.4). */
  int (*add_path)(struct socket*, uint32_t association, poolgate_sctp_key path, int confirmed);
  /* Back-pressure: patch 0005. */
  int (*hold_reading)(struct socket*, uint32_t association, int hold);
  /* Where the INIT chunk begins that a COOKIE ECHO chunk of our own making carries; 0 if it cannot be ours.
   * Nothing is verified here: the stack does that at input. */
  size_t (*init_of_cookie)(const uint8_t* chunk, size_t length);
};

extern const struct poolgate_sctp_stack poolgate_sctp_stack_0;

#ifdef __cplusplus
}
#endif
