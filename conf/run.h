/* run.h - `heloise run`: the supervisor */
#ifndef CONF_RUN_H
#define CONF_RUN_H

#include "common/instance.h"

int run_command(const struct instance *i, int argc, char **argv);

#endif
