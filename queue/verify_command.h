/* verify_command.h - `heloise queue verify`: shows what was found, and puts it right */
#ifndef QUEUE_VERIFY_COMMAND_H
#define QUEUE_VERIFY_COMMAND_H

#include "queue/desk.h"
#include "queue/request.h"

/* the exit code: EXIT_DATA when something is broken, and stays so */
int verify_command(struct desk *d, const struct request *q);

#endif
