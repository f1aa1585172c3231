/* SPDX-License-Identifier: MIT */
/* Handing descriptors to an agent. */
#ifndef INJECT_PASS_H
#define INJECT_PASS_H

#include <stdint.h>

#include "inject/plant.h"

/*
 * Give the agent a copy of @fd, through a pair of sockets that it makes for that; where the kernel cannot tell its descriptors from those
 * of the process (before Linux 6.9), it opens what is behind this process's. Return: the number of its copy. Makes no sentences.
 */
int64_t plant_pass(const struct plant *plant, int fd);

#endif
