/* handin.h - a message from standard input is handed in through queue/drop */
#ifndef QUEUE_HANDIN_H
#define QUEUE_HANDIN_H

#include "queue/arguments.h"
#include "queue/identity.h"

/* reads the message from fd and makes it durable in the drop directory of `queue`. Returns
 * the exit code; what is wrong goes to standard error. */
int handin(int fd, const struct arguments *a, const struct identity *id, const char *queue);

#endif
