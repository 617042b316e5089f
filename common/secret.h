/* secret.h - strings that must not be found in memory once they have been used */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include <stdlib.h>
#include <string.h>
#include <stralloc.h>

/* empties it, and leaves nothing of what was in it */
static inline void secret_wipe(stralloc *s)
{
  if (s->s)
    explicit_bzero(s->s, s->a);
  s->len = 0;
}

static inline void secret_free(stralloc *s)
{
  secret_wipe(s);
  free(s->s);
  *s = (stralloc){0};
}

/* s and a NUL that is not counted, in out, which must be free. Room is taken once: a string
 * that grows would leave copies behind. 0, or -1 (ENOMEM). */
static inline int secret_copy(stralloc *out, const char *s, size_t len)
{
  if (!stralloc_ready(out, len + 1))
    return -1;
  memcpy(out->s, s, len);
  out->s[len] = 0;
  out->len = len;
  return 0;
}

#endif
