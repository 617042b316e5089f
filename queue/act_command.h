/* act_command.h - `heloise queue hold`, release, retry, remove and bounce */
#ifndef QUEUE_ACT_COMMAND_H
#define QUEUE_ACT_COMMAND_H

#include "queue/choice.h"
#include "queue/desk.h"
#include "queue/request.h"

/* the exit code */
int act_command(struct desk *d, const struct request *q);

/* does an act to all that are chosen, in pieces. For each, in order, told gets what became of it
 * (may be NULL). 0, or an exit code after a complaint */
int act_on_all(struct desk *d, enum act a, const char *text, const struct choice *c,
               void (*told)(void *arg, size_t i, enum acted r), void *arg);

#endif
