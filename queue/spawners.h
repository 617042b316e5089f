/* spawners.h - the programs that make attempts of jobs */
#ifndef QUEUE_SPAWNERS_H
#define QUEUE_SPAWNERS_H

#include <stddef.h>

#include "queue/work.h"

/* the queue directory; before anything else */
void spawners_open(int queue_fd);
/* a CHANNEL from run: deliver or local (ATTEMPTS, high side) */
int spawners_channel(enum work_spawner s, int fd);
/* starts what has a place; called at the end of each turn */
void spawners_run(void);
/* the end is near: nothing more is started; what flies may report. Whether something still does */
int spawners_end(void);
/* asks deliver to forget what it remembers of a peer; told(arg, count) when it did, -1 when
 * it cannot be asked */
void spawners_forget(const char *peer, void (*told)(void *arg, long count), void *arg);

#endif
