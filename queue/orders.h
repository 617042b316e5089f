/* orders.h - what an administrator orders done to messages */
#ifndef QUEUE_ORDERS_H
#define QUEUE_ORDERS_H

#include <stddef.h>
#include <sys/types.h>

#include "queue/act.h"

/* the queue directory; before anything else */
void orders_open(int queue_fd);
/* does an act to ids, separated by spaces, or to a path, in the name of a user. How many letters
 * (enum acted) were written, one for each */
size_t orders_do(uid_t uid, enum act a, const char *what, const char *text, char letters[ACT_IDS]);

#endif
