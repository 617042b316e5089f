/* init.h - `heloise init`: makes an instance, complete and built */
#ifndef CONF_INIT_H
#define CONF_INIT_H

#include "common/instance.h"

/* the users of a privileged instance and what they run; ends with a NULL name */
struct init_user {
  const char *name, *program;
};
extern const struct init_user init_users[];

/* whether all users are there; else complains on standard error, naming the script that
 * makes them, and returns 0 */
int init_has_users(void);

int init_command(const struct instance *i, int argc, char **argv);

#endif
