/* SPDX-License-Identifier: BSD-3-Clause */
/* As sctp_common_input_processing() has it around an upcall. usrsctp's own headers cannot be included in C++.
 */
// clang-format off
#include <netinet/sctp_os.h>
#include <netinet/sctp_pcb.h>
// clang-format on

#include "tests/unit/usrsctp_hold.h"

int usrsctp_hold(struct socket* so) {
  int n;
  SOCK_LOCK(so);
  soref(so);
  n = so->so_count;
  SOCK_UNLOCK(so);
  return n;
}

void usrsctp_let_go(struct socket* so) {
  ACCEPT_LOCK();
  SOCK_LOCK(so);
  sorele(so);
}

int usrsctp_is_attached(const struct socket* so) { return so->so_pcb != NULL; }
