/* xtext.h - xtext, and what stands in it: the parameters ENVID and ORCPT of RFC 3461
 *
 * Pure. The bytes are hostile. */
#ifndef COMMON_XTEXT_H
#define COMMON_XTEXT_H

#include <stddef.h>
#include <stralloc.h>

#define XTEXT_ORCPT_MAX 500   /* bytes of ORCPT, RFC 3461 4.2 */
#define XTEXT_ORCPT_ROOM 2500 /* the same with UTF-8 made 7-bit: at most 10 bytes for 2 */

/* whether s is xtext */
int xtext_is(const char *s, size_t len);
/* decodes to out (replaced; may hold any byte but NUL); -1 when s is none */
int xtext_decode(const char *s, size_t len, stralloc *out);

/* whether it is xtext of printable ASCII and spaces, as ENVID and ORCPT must be (RFC 3461 4.2, 4.4) */
int xtext_is_printable(const char *s, size_t len);
/* appends what stands behind "utf-8;" in ORCPT (RFC 6533 3: 7-bit, or UTF-8 as it is where
 * has_utf8) in its 7-bit form. 0; -1 with errno EINVAL (it is none) or ENOMEM */
int xtext_utf8(stralloc *out, const char *s, size_t len, int has_utf8);

/* appends an address in ASCII: what is none as \x{HEX} (RFC 6533 3, type utf-8). 0, or -1
 * (ENOMEM) */
int xtext_ascii(stralloc *out, const char *s, size_t len);
/* ORCPT for an address, type and xtext, in out (replaced). 0, or -1 (ENOMEM) */
int xtext_orcpt(stralloc *out, const char *address);

#endif
