/* base64.h - base64 as RFC 4648 4 has it: with padding, without line ends
 *
 * Pure. */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include <stddef.h>
#include <stralloc.h>

/* the bytes that s stands for, in out (replaced). 0; -1 with errno: EINVAL when s is no
 * base64 (a byte of another alphabet, white space, padding missing or misplaced), ENOMEM. */
int base64_decode(const char *s, size_t len, stralloc *out);
/* appends s in base64; 0, or -1 (ENOMEM) */
int base64_encode(stralloc *out, const char *s, size_t len);

#endif
