/* command.h - `heloise queue ...`, and requests of other commands to the manager */
#ifndef QUEUE_COMMAND_H
#define QUEUE_COMMAND_H

#include <stralloc.h>

#include "common/instance.h"

/* runs "queue list", "queue show ID", ... (argv[0] is "queue"): asks the manager, or works on the locked
 * queue while nothing runs. Prints; returns the exit code (verdict.h). */
int queue_command(const struct instance *i, int argc, char **argv);

/* asks the manager one thing. 1: answered, text in out (replaced), exit code in *code;
 * 0: nothing runs; -1: it runs and did not answer */
int queue_ask(const struct instance *i, int argc, const char *const *argv, stralloc *out, int *code);

/* takes the instance's lock, for work while nothing runs: a descriptor to close, or -1 (EWOULDBLOCK:
 * it runs) */
int queue_lock(const struct instance *i);

#endif
