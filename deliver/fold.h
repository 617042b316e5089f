/* fold.h - header lines of at most 998 bytes, where white space allows */
#ifndef DELIVER_FOLD_H
#define DELIVER_FOLD_H

#include <stddef.h>
#include <stralloc.h>

/* appends the field, with CR LF put before white space in lines over 998 bytes (RFC 5322
 * 2.1.1, 2.2.3); what has no white space stays long. Pure; unfolding gives the same bytes.
 * 0, or -1 (ENOMEM). */
int fold_field(stralloc *out, const char *field, size_t len);
/* whether some line of it is that long */
int fold_is_long(const char *field, size_t len);

#endif
