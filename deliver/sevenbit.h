/* sevenbit.h - a message for a peer that cannot take 8-bit content
 *
 * RFC 6152 3: a client that holds 8-bit content for a server without 8BITMIME converts it
 * to valid 7-bit MIME. Byte-exact after decoding, idempotent, bounded memory; hostile input
 * (the MIME structure) never makes it fail: what is malformed is one opaque body. */
#ifndef DELIVER_SEVENBIT_H
#define DELIVER_SEVENBIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sevenbit_source {
  /* reads up to len bytes at offset `at` of the message; bytes read, 0 at its end, -1 with errno */
  ssize_t (*read)(void *arg, char *buf, size_t len, uint64_t at);
  void *arg;
  uint64_t size;
};

struct sevenbit_sink {
  /* takes the next bytes of the converted message: 0, or -1 to stop */
  int (*write)(void *arg, const char *s, size_t len);
  void *arg;
};

/* converts source to sink, wire form in, wire form out. With only_lines, 8-bit bytes may
 * stay, and only what has lines over 998 bytes is encoded (RFC 2045 2.8). 0; -1 with errno
 * when reading or writing failed or memory is out. */
int sevenbit_convert(const struct sevenbit_source *source, const struct sevenbit_sink *sink,
                     int only_lines);
/* whether the message's header has such a field; 0 also when reading failed */
int sevenbit_has_field(const struct sevenbit_source *source, const char *name);

#endif
