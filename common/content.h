/* content.h - what a message's bytes are: scanned as they pass
 *
 * Pure; constant memory; any chunking gives the same result. The intake scans what its
 * clients send, because flags decide how the message may go out. */
#ifndef COMMON_CONTENT_H
#define COMMON_CONTENT_H

#include <stddef.h>
#include <stdint.h>

struct content {
  /* results */
  uint64_t size;          /* bytes */
  uint64_t header_size;   /* bytes up to and with the empty line; so far, while in the header */
  unsigned int received;  /* Received fields in the header */
  unsigned int longest;   /* longest line without its CR LF (RFC 5321: 998) */
  int has_8bit_header, has_8bit_body, has_dot_line;
  int has_nul, has_bare_cr, has_bare_lf; /* not in canonical form */
  int ends_line;          /* the last line is complete (also when empty) */
  /* state: see content.c */
  int in_header, at_line_start, after_cr;
  unsigned int line, match;
};

void content_start(struct content *c);
void content_scan(struct content *c, const char *s, size_t len);
/* call after the last chunk: a CR at the very end counts as bare */
void content_end(struct content *c);

#endif
