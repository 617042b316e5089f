/* getset.h - `heloise get` and `set`: settings in control/settings */
#ifndef CONF_GETSET_H
#define CONF_GETSET_H

#include <stralloc.h>

#include "common/instance.h"

int getset_get(const struct instance *i, int argc, char **argv);
int getset_set(const struct instance *i, int argc, char **argv);

/* the text of control/settings with this setting changed, in out (replaced): the line that
 * sets it, else below the comment that shows its default, else at the end. Comments and all
 * other lines stay. 0, or -1 (ENOMEM). */
int getset_edit(const stralloc *text, const char *name, const char *value, stralloc *out);

/* a complete control/settings: every setting as a comment with its help and default, those
 * given in set[] (name, value, ..., NULL) set. 0, or -1 (ENOMEM). */
int getset_template(const char *const *set, stralloc *out);

#endif
