/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Lets usrsctp use the addresses on lo, but 127/8 and ::1, as any other. After usrsctp_init, before a bind to
 * one.
 */
void poolgate_use_addresses_on_lo(void);

#ifdef __cplusplus
}
#endif
