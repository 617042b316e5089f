/* localuser.h - who is behind a local part of a local domain
 *
 * The same answer for heloise-auth (at RCPT) and heloise-local (at delivery). In this
 * order: table aliases, table mailboxes, the rule for postmaster and root, the system's
 * users (privileged instances only; those whose home is missing, no directory or another
 * user's are nobody: they could never get mail). Lower case is tried where the local part as given
 * is not known. User id 0 is never a mailbox: such users get the rule for root. */
#ifndef COMMON_LOCALUSER_H
#define COMMON_LOCALUSER_H

#include <stddef.h>
#include <stralloc.h>
#include <sys/types.h>

#include "common/table.h"
#include "common/verdict.h"

enum localuser_kind {
  LOCALUSER_UNKNOWN,
  LOCALUSER_ALIAS,   /* text: addresses, separated by commas or white space */
  LOCALUSER_MAILBOX, /* text: a Maildir below the instance's mail directory */
  LOCALUSER_SYSTEM   /* text: the user's name; uid, gid and home are set */
};

struct localuser {
  enum localuser_kind kind;
  stralloc text; /* NUL-terminated, not counted; bound: a table's value, or a passwd field */
  stralloc home;
  uid_t uid;
  gid_t gid;
};

enum localuser_flags {
  LOCALUSER_HAS_SYSTEM = 1, /* a privileged instance: its system's users get mail */
  LOCALUSER_NO_ALIAS = 2    /* the alias was followed and named itself: what else is there? */
};

/* V_OK: u->kind is not LOCALUSER_UNKNOWN. V_PERM: nobody. V_TEMP: the user database, a
 * home or memory failed, with *why. u is reused; free with localuser_free(). */
enum verdict localuser_find(const struct table *t, const char *local, size_t len, int flags,
                            struct localuser *u, const char **why);
void localuser_free(struct localuser *u);

/* whether this process serves a privileged instance: it runs as root, or as `user`, the
 * program's own user */
int localuser_has_system(const char *user);

/* the next address of an alias's text from *at on: 1 with *s and *len, 0 at the end */
int localuser_next(const char *text, size_t textlen, size_t *at, const char **s, size_t *len);

/* whether a Maildir path may stand below a directory: relative, ends with a slash, no
 * empty, "." or ".." parts, no control bytes */
int localuser_is_path(const char *s, size_t len);

#endif
