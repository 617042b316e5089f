/* header.h - header fields of a message, as bytes
 *
 * Pure. RFC 5322 2.2, 3.6.8, 4.5. A field is given whole: name, colon, value, folded
 * lines, with or without the line end behind it. The bytes are hostile. */
#ifndef COMMON_HEADER_H
#define COMMON_HEADER_H

#include <stddef.h>
#include <stralloc.h>

/* length of the field name that s begins with, if a colon follows it (white space may
 * stand before the colon); 0 when s begins no field */
size_t header_name(const char *s, size_t len);
/* whether the field s has this name, in any case; `name` ending in "-*" stands for all
 * names with that beginning */
int header_is(const char *s, size_t len, const char *name);
/* where its value begins: after the colon. s must begin a field. */
size_t header_value(const char *s, size_t len);
/* appends bytes without their CR LF: unfolds. 0, or -1 (ENOMEM). */
int header_unfold(stralloc *out, const char *s, size_t len);

/* whether some byte is outside ASCII */
int header_has_8bit(const char *s, size_t len);
/* whether all of it is well-formed UTF-8 (RFC 3629) */
int header_is_utf8(const char *s, size_t len);
/* the same of what comes in pieces; it starts with zeroes */
struct header_utf8 {
  int is_bad;
  unsigned int left;       /* bytes that the character at hand still needs, */
  unsigned char from, to;  /* the next of them between these */
};
void header_utf8_piece(struct header_utf8 *u, const char *s, size_t len);
/* after the last piece */
int header_utf8_is_good(const struct header_utf8 *u);

#endif
