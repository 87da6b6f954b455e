/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * usrsctp takes every address of an interface called lo for a loopback one, and answers nobody but itself
 * from it. A server behind a virtual address has that address on lo. Compiled against usrsctp's own headers.
 */
#include <netinet/sctp_os.h>
#include <netinet/sctp_pcb.h>
#include <netinet/sctp_var.h>

#include "controlplane/transport/usrsctp_addresses.h"

void poolgate_use_addresses_on_lo(void) {
  struct sctp_vrf* vrf;
  struct sctp_ifn* interface;
  struct sctp_ifa* address;

  SCTP_IPI_ADDR_WLOCK();
  vrf = sctp_find_vrf(SCTP_DEFAULT_VRFID);
  if (vrf != NULL) {
    LIST_FOREACH(interface, &vrf->ifnlist, next_ifn) {
      LIST_FOREACH(address, &interface->ifalist, next_ifa) {
        const struct sockaddr* sa = &address->address.sa;
        if (!address->src_is_loop) continue;
        if (sa->sa_family == AF_INET && IN4_ISLOOPBACK_ADDRESS(&address->address.sin.sin_addr)) continue;
        if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->address.sin6.sin6_addr)) continue;
        address->src_is_loop = 0;
        if (!address->src_is_priv) address->src_is_glob = 1;
      }
    }
  }
  SCTP_IPI_ADDR_WUNLOCK();
}
