/* flush.h - deliveries reach the disk within a second
 *
 * A message that was delivered is unlinked and nothing waits for that; a power cut could bring
 * it back (DURABILITY.md, J). A second thread flushes the directories concerned at most a
 * second later, so that no more than a second's deliveries can be repeated. */
#ifndef QUEUE_FLUSH_H
#define QUEUE_FLUSH_H

#include "queue/store.h"

/* starts the thread. 0, or -1 with errno. */
int flush_start(int queue_fd);
/* a file left the directory that n names */
void flush_soon(const struct store_name *n);

#endif
