/* SPDX-License-Identifier: BSD-3-Clause */
/* Between stack.c and stack_internal.c; the meaning is that of the functions of the same names in stack.h. */
#pragma once

#include "dataplane/sctp/stack.h"

void poolgate_stack_set_tag_index(uint32_t index);
void poolgate_stack_input(poolgate_sctp_key path, const uint8_t* packet, size_t length);
int poolgate_stack_readable(const struct socket* so);
int poolgate_stack_find_by_path(struct socket* so, poolgate_sctp_key path, uint16_t port,
                                struct poolgate_sctp_association* out);
int poolgate_stack_find_by_tag(uint32_t local_tag, struct poolgate_sctp_association* out);
int poolgate_stack_add_path(struct socket* so, uint32_t association, poolgate_sctp_key path, int confirmed);
int poolgate_stack_hold_reading(struct socket* so, uint32_t association, int hold);
size_t poolgate_stack_init_of_cookie(const uint8_t* chunk, size_t length);
