/* user_command.h - `heloise user`: logins and passwords in control/users */
#ifndef CONF_USER_COMMAND_H
#define CONF_USER_COMMAND_H

#include <stralloc.h>

#include "common/instance.h"

int user_command(const struct instance *i, int argc, char **argv);

/* the text of control/users with the line of this login replaced, added (it had none), or
 * taken out (value NULL), in out (replaced). Comments and other lines stay. 0, or -1 (ENOMEM). */
int user_edit(const stralloc *text, const char *login, const char *value, stralloc *out);

#endif
