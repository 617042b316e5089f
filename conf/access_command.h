/* access_command.h - `heloise access test`: what would become of this client and this mail? */
#ifndef CONF_ACCESS_COMMAND_H
#define CONF_ACCESS_COMMAND_H

#include "common/instance.h"

/* an exit code: 0 it is taken, 75 deferred, 77 refused; others that it could not be tried */
int access_command(const struct instance *i, int argc, char **argv);

#endif
