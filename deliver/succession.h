/* succession.h - the life of an attempt's process, and how it hands on its connection
 *
 * Runs in a stem's children. */
#ifndef DELIVER_SUCCESSION_H
#define DELIVER_SUCCESSION_H

#include "deliver/attempt.h"

/* waits for a JOB on stem->report, runs it, and ends: unless its connection may serve the next
 * one. That is for a child of this process, which has the connection from it. What the stem gave
 * is filled in: message, ask and the words of the JOB */
_Noreturn void succession_run(const struct attempt_given *stem);

#endif
