/* defaults.h - the texts of conf/default, as `heloise init` writes them */
#ifndef CONF_DEFAULTS_H
#define CONF_DEFAULTS_H

struct default_table {
  const char *name, *text;
};

/* ends with a NULL name */
extern const struct default_table defaults[];

#endif
