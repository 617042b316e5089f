/* idna.h - domains in U-labels, as A-labels: the form that tables and DNS have
 *
 * Pure. RFC 5890, RFC 6531 3.2. */
#ifndef COMMON_IDNA_H
#define COMMON_IDNA_H

#include <stddef.h>

#define IDNA_MAX 255

/* a domain in lower case and, where it was UTF-8, in A-labels; a leading dot stays.
 * Returns its length; 0: it has no such form, or is longer than IDNA_MAX. */
size_t idna_ascii(const char *domain, size_t len, char out[IDNA_MAX + 1]);
/* whether some byte is outside ASCII */
int idna_is_needed(const char *s, size_t len);

#endif
