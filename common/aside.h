/* aside.h - a second thread beside the loop, for what takes its time on a disk
 *
 * What the two hand to each other is its user's business, under a lock of its own. When the
 * thread has something, it rings a bell, and the loop calls the handler. */
#ifndef COMMON_ASIDE_H
#define COMMON_ASIDE_H

#include <stddef.h>

#include "common/loop.h"

/* starts the thread, with so large a stack, after the bell was hung up in the loop: its
 * descriptor, in *bell before the thread runs. 0, or -1 with errno */
int aside_start(void *(*run)(void *arg), size_t stack, struct loop_handler *h, int *bell);
/* the thread's side: the loop is to look */
void aside_ring(int bell);
/* the loop's side, in the handler: whether it was rung */
int aside_was_rung(int bell);

#endif
