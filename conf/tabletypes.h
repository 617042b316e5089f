/* tabletypes.h - what may stand in each control table
 *
 * A table of tables: name, how a key is read and put in normal form, how a value is
 * checked. heloise-tables(5) describes the same for people. */
#ifndef CONF_TABLETYPES_H
#define CONF_TABLETYPES_H

#include <stddef.h>
#include <stralloc.h>

#include "common/access.h"
#include "common/ip.h"

/* a key in the form it is stored in */
struct tablekey {
  stralloc text; /* unless is_net; bound: LINES_LINE_MAX */
  int is_net;
  const char *prefix; /* of a network: "client:" or "" */
  struct ip_net net;
  enum access_key access; /* in table access */
};

struct tabletype {
  const char *name;
  /* 0, or -1 with *why: a constant sentence that says what was expected */
  int (*key)(const char *s, size_t len, struct tablekey *k, const char **why);
  /* 0, or -1 with why (replaced). An empty value comes here too. */
  int (*value)(const struct tablekey *k, const char *s, size_t len, stralloc *why);
  /* looks at files that the value names, from the control directory; may be NULL. 0; -1, or 1 for a
   * warning, with why (replaced) */
  int (*files)(int control, const struct tablekey *k, const char *s, size_t len, stralloc *why);
  int is_secret; /* compiled into a file of its own, which heloise-auth alone is handed */
};

#define TABLETYPES_SECRET 0600 /* the mode of a secret table; a group may read it, not all others */

size_t tabletypes_count(void);
const struct tabletype *tabletypes_row(size_t i);
const struct tabletype *tabletypes_find(const char *name);
/* whether there will be a table of this name: not understood yet */
int tabletypes_is_later(const char *name);

#endif
