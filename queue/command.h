/* command.h - `heloise queue ...` */
#ifndef QUEUE_COMMAND_H
#define QUEUE_COMMAND_H

#include "common/instance.h"

/* runs "queue list", "queue show ID", ... (argv[0] is "queue"). Prints; returns the exit code
 * (verdict.h). */
int queue_command(const struct instance *i, int argc, char **argv);

#endif
