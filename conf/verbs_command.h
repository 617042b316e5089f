/* verbs_command.h - `heloise verbs`: what a mask of verbs means */
#ifndef CONF_VERBS_COMMAND_H
#define CONF_VERBS_COMMAND_H

#include "common/instance.h"

/* argv[0] is "verbs"; returns an exit code. The instance is not looked at. */
int verbs_command(const struct instance *i, int argc, char **argv);

#endif
