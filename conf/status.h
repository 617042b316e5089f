/* status.h - run/status, and the commands that look at a running instance */
#ifndef CONF_STATUS_H
#define CONF_STATUS_H

#include <sys/types.h>
#include <time.h>

#include "common/instance.h"

/* writes run/status in one step, from children_each(); not flushed */
void status_write(int rundir, time_t since, int tables);

int status_command(const struct instance *i, int argc, char **argv);
/* builds, and has a running instance take the new tables */
int status_reload(const struct instance *i, int argc, char **argv);

#endif
