/* flush.h - what changes in the directories reaches the disk within a second
 *
 * A message that was delivered is unlinked and nothing waits for that; a power cut could bring
 * it back (DURABILITY.md, J). A second thread flushes the directories concerned at most a
 * second later, so that no more than a second's deliveries can be repeated. It also makes
 * those durable that left the journal for a file of their own: at once. */
#ifndef QUEUE_FLUSH_H
#define QUEUE_FLUSH_H

#include "queue/store.h"

/* starts the thread; filed() is called, in the loop, for each message whose file is durable.
 * 0, or -1 with errno. */
int flush_start(int queue_fd, void (*filed)(const char *id));
/* a file left the directory that n names */
void flush_soon(const struct store_name *n);
/* a message became a file */
void flush_filed(const struct store_name *n);
/* so many files are waiting to be durable that no more should be made */
int flush_is_behind(void);
/* the end is near: nothing is put off any more. Whether something has not reached the disk */
int flush_end(void);

#endif
