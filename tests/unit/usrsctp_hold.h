/* SPDX-License-Identifier: BSD-3-Clause */
/* What a receiving thread of usrsctp does with the socket of an association that it has found. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

struct socket;

/* The number of references with this one. */
int usrsctp_hold(struct socket* so);
void usrsctp_let_go(struct socket* so);
int usrsctp_is_attached(const struct socket* so);

#ifdef __cplusplus
}
#endif
